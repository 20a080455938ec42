package netif

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"weir/proto/network"
)

// Network knows which networks and addresses are ours, from the kernel's tables. Its
// methods are for one goroutine.
//
// Invariant: what View returns is what the kernel had at some time since the last
// message, also after the kernel had to drop messages.
type Network struct {
	conn       *netlink.Conn // gets the kernel's messages
	ask        *netlink.Conn
	role       func(name string) string
	links      table
	routes     []netip.Prefix // through interfaces with role lan
	neighbours neighbours
}

const networkGroups = groups | 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1) | 1<<(unix.RTNLGRP_NEIGH-1)

// settle is how long news are gathered before they are told: less than a person
// notices, and no more than a few files a second however much routes flap.
const settle = 200 * time.Millisecond

// OpenNetwork asks for the network of the caller's namespace. role returns the role of
// an interface, "" for none; it must always say the same of one name.
func OpenNetwork(role func(name string) string) (n *Network, err error) {
	n = &Network{role: role, neighbours: neighbours{all: map[netip.Addr]neighbour{}}}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	// Listen before asking: what changes in between is told twice, and applied once.
	if n.conn, err = netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: networkGroups}); err != nil {
		return n, fmt.Errorf("listen for changes of networks: %w", err)
	}
	if n.ask, err = netlink.Dial(unix.NETLINK_ROUTE, nil); err != nil {
		return n, fmt.Errorf("ask for networks: %w", err)
	}
	// With it the kernel leaves out the routes of other interfaces: a full table of
	// the Internet need not pass by here. Older kernels tell all, and we choose.
	_ = n.ask.SetOption(netlink.GetStrictCheck, true)
	return n, n.resync()
}

// Close lets go of the sockets.
func (n *Network) Close() {
	for _, c := range []*netlink.Conn{n.conn, n.ask} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// View returns what is ours.
func (n *Network) View() *network.View { return view(n.links, n.routes, &n.neighbours, n.role) }

// Refused returns how many neighbours were left out for want of room.
func (n *Network) Refused() uint64 { return n.neighbours.refused }

// Follow calls changed a little after something may have changed, until ctx is done.
// An error means that changes are not seen any more.
func (n *Network) Follow(ctx context.Context, changed func()) error {
	stop := context.AfterFunc(ctx, func() { _ = n.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		if err := n.gather(ctx, time.Time{}); err != nil || ctx.Err() != nil {
			return err
		}
		until := time.Now().Add(settle)
		for time.Now().Before(until) && ctx.Err() == nil {
			if err := n.gather(ctx, until); err != nil {
				return err
			}
		}
		if err := n.askRoutes(); err != nil {
			return err
		}
		changed()
	}
}

// gather waits for messages that change something, or for the time until, zero for
// none, or for the end of ctx.
func (n *Network) gather(ctx context.Context, until time.Time) error {
	if err := n.conn.SetReadDeadline(until); err != nil {
		return fmt.Errorf("listen for changes of networks: %w", err)
	}
	for ctx.Err() == nil { // after the deadline was set: the end of ctx sets it too
		messages, err := n.conn.Receive()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, unix.ENOBUFS): // messages were dropped
			return n.resync()
		case err != nil:
			return fmt.Errorf("listen for changes of networks: %w", err)
		}
		news := false
		for _, m := range messages {
			news = n.apply(m) || news
		}
		if news {
			return nil
		}
	}
	return nil
}

// apply takes a message in and reports whether something may have changed by it.
func (n *Network) apply(m netlink.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, err := parseRoute(m.Data)
		return err == nil && n.toLAN(&r)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		a, x, valid, err := parseNeighbour(m.Data)
		switch {
		case err != nil:
			return false
		case valid && m.Header.Type == unix.RTM_NEWNEIGH:
			return n.neighbours.put(a, x)
		case m.Header.Type == unix.RTM_DELNEIGH:
			n.neighbours.forget(a, x.index)
		}
		return false
	}
	_, news := n.links.apply(m)
	return news
}

// toLAN reports whether a route leads through an interface with role lan.
func (n *Network) toLAN(r *route) bool {
	for _, i := range r.out {
		if n.role(n.links[i].Name) == roleLAN {
			return true
		}
	}
	return false
}

// resync asks for everything.
func (n *Network) resync() (err error) {
	if n.links, err = dumpBy(n.ask); err != nil {
		return err
	}
	messages, err := n.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEIGH, Flags: netlink.Request | netlink.Dump}, Data: make([]byte, unix.SizeofNdMsg),
	})
	if err != nil {
		return fmt.Errorf("ask for neighbours: %w", err)
	}
	n.neighbours.forgetAll()
	for _, m := range messages {
		n.apply(m)
	}
	return n.askRoutes()
}

// askRoutes asks for the routes through each interface with role lan. They are asked
// for anew after each change: metrics and tables make it hard to tell which of several
// routes to a network is gone.
func (n *Network) askRoutes() error {
	n.routes = n.routes[:0]
	for _, l := range n.links.links() {
		if n.role(l.Name) != roleLAN {
			continue
		}
		for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
			if err := n.routesBy(l.Index, family); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Network) routesBy(index int, family byte) error {
	b := make([]byte, unix.SizeofRtMsg+8)
	b[0] = family
	binary.NativeEndian.PutUint16(b[unix.SizeofRtMsg:], 8)
	binary.NativeEndian.PutUint16(b[unix.SizeofRtMsg+2:], unix.RTA_OIF)
	binary.NativeEndian.PutUint32(b[unix.SizeofRtMsg+4:], uint32(index))
	messages, err := n.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETROUTE, Flags: netlink.Request | netlink.Dump}, Data: b,
	})
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		return nil // the interface has gone, or nothing of this family is there
	case err != nil:
		return fmt.Errorf("ask for routes: %w", err)
	}
	for _, m := range messages {
		if r, err := parseRoute(m.Data); err == nil && n.toLAN(&r) && len(n.routes) < 2*maxNetworks {
			n.routes = append(n.routes, r.to)
		}
	}
	return nil
}
