package netif

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)

// List returns the interfaces of the network namespace by number.
func List() ([]Link, error) {
	t, err := dump()
	return t.links(), err
}

// Watch returns a channel that first gets an Added for each interface there is,
// then what becomes of them, until ctx is done or after a Failed. Then it is closed.
func Watch(ctx context.Context) (<-chan Event, error) {
	// Listen before asking: what changes in between is told twice, and applied once.
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: groups})
	if err != nil {
		return nil, fmt.Errorf("listen for changes of interfaces: %w", err)
	}
	first, err := dump()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	ask, err := netlink.Dial(unix.NETLINK_ROUTE, nil) // in the namespace of the caller's thread
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ask for interfaces: %w", err)
	}
	w := &watch{ctx: ctx, conn: conn, ask: ask, now: table{}, out: make(chan Event, 16)}
	go w.run(first)
	return w.out, nil
}

type watch struct {
	ctx  context.Context
	conn *netlink.Conn // gets the kernel's messages
	ask  *netlink.Conn
	now  table
	out  chan Event
}

func (w *watch) run(first table) {
	stop := context.AfterFunc(w.ctx, func() { _ = w.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer close(w.out)
	defer func() { _, _ = w.conn.Close(), w.ask.Close() }()
	if w.send(w.now.replace(first)...) {
		w.follow()
	}
}

// follow tells what the kernel tells until there is no more to tell.
func (w *watch) follow() {
	for w.ctx.Err() == nil {
		messages, err := w.conn.Receive()
		if err != nil && w.ctx.Err() != nil {
			return
		}
		if errors.Is(err, unix.ENOBUFS) { // messages were dropped
			now, err := dumpBy(w.ask)
			if err != nil {
				w.send(Event{Kind: Failed, Err: err})
				return
			}
			if !w.send(w.now.replace(now)...) {
				return
			}
			continue
		}
		if err != nil {
			w.send(Event{Kind: Failed, Err: fmt.Errorf("listen for changes of interfaces: %w", err)})
			return
		}
		for _, m := range messages {
			if e, ok := w.now.apply(m); ok && !w.send(e) {
				return
			}
		}
	}
}

// send returns false when nobody listens any more.
func (w *watch) send(events ...Event) bool {
	for _, e := range events {
		select {
		case w.out <- e:
		case <-w.ctx.Done():
			return false
		}
	}
	return true
}

func dump() (table, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for interfaces: %w", err)
	}
	defer func() { _ = conn.Close() }()
	return dumpBy(conn)
}

// dumpBy asks for all interfaces, then for their addresses.
func dumpBy(conn *netlink.Conn) (table, error) {
	t := table{}
	for _, q := range []struct {
		typ  netlink.HeaderType
		size int
	}{{unix.RTM_GETLINK, unix.SizeofIfInfomsg}, {unix.RTM_GETADDR, unix.SizeofIfAddrmsg}} {
		messages, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: q.typ, Flags: netlink.Request | netlink.Dump}, Data: make([]byte, q.size),
		})
		if err != nil {
			return nil, fmt.Errorf("ask for interfaces: %w", err)
		}
		for _, m := range messages {
			t.apply(m)
		}
	}
	return t, nil
}
