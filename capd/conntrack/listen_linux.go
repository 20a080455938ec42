package conntrack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"weir/proto/flowkey"
)

// Config says what a Listener works with.
type Config struct {
	Threads      int // capture threads
	Seed         *flowkey.Seed
	Table        []byte        // TableSize bytes, as an earlier Listener left them, or zero
	Idle         Idle          // of the workers
	Interval     time.Duration // between two looks at all connections
	SocketBuffer int           // bytes of events on their way to us
	Now          func() uint64 // time of packets, ns
	Log          *slog.Logger
}

// Listener listens to conntrack. See the package comment.
type Listener struct {
	tracker
	cfg    Config
	events int // file descriptors
	dumps  int
	gets   int
	buf    []byte
	entry  entry

	dumping  bool
	whole    bool // and it showed all so far
	sequence uint32
	due      time.Time
	begun    time.Time
}

// TableSize is the length of Config.Table for so many flows.
func TableSize(flows int) int { return tableSize(flows) }

// Listen opens sockets in the network namespace of the calling thread. The kernel demands
// CAP_NET_ADMIN for events.
func Listen(cfg Config) (*Listener, error) {
	l := &Listener{cfg: cfg, events: -1, dumps: -1, gets: -1, buf: make([]byte, bufferSize)}
	l.table, l.idle, l.now = newTable(cfg.Table, cfg.Seed), cfg.Idle, cfg.Now
	l.table.renumber()
	for range cfg.Threads {
		l.ports = append(l.ports, newPort())
	}
	sendEvents(cfg.Log)
	if err := l.open(); err != nil {
		_ = l.Close() // the first error says more
		return nil, fmt.Errorf("listen to connection tracking: %w", err)
	}
	return l, nil
}

const (
	// bufferSize is the most that the kernel puts into one answer to a dump.
	bufferSize = 64 << 10

	// turnSize is how many messages are read from one socket before the other is looked at.
	turnSize = 64

	// share is which part of the time at most goes into looking at all connections.
	share = 20
)

func (l *Listener) open() (err error) {
	for _, fd := range []*int{&l.events, &l.dumps, &l.gets} {
		if *fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER); err != nil {
			return fmt.Errorf("open a netlink socket: %w", err)
		}
		if err = unix.Bind(*fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return fmt.Errorf("bind a netlink socket: %w", err)
		}
	}
	if unix.SetsockoptInt(l.events, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, l.cfg.SocketBuffer) != nil {
		_ = unix.SetsockoptInt(l.events, unix.SOL_SOCKET, unix.SO_RCVBUF, l.cfg.SocketBuffer) // smaller: dumps make up for it
	}
	for _, group := range []int{unix.NFNLGRP_CONNTRACK_NEW, unix.NFNLGRP_CONNTRACK_UPDATE, unix.NFNLGRP_CONNTRACK_DESTROY} {
		if err := unix.SetsockoptInt(l.events, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return fmt.Errorf("join the events of connections: %w", err)
		}
	}
	return nil
}

// Port returns the port of capture thread n.
func (l *Listener) Port(n int) *Port { return l.ports[n] }

// Close closes the sockets. Run must have ended.
func (l *Listener) Close() (err error) {
	for _, fd := range []int{l.events, l.dumps, l.gets} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

// Run listens until ctx is done; it returns nil then. Another error is one of the sockets,
// after which nothing is heard any more.
func (l *Listener) Run(ctx context.Context) error {
	l.due = time.Now()
	for ctx.Err() == nil {
		wait := 100 * time.Millisecond
		fds := []unix.PollFd{{Fd: int32(l.events), Events: unix.POLLIN}, {Fd: int32(l.gets), Events: unix.POLLIN}, {Fd: int32(l.dumps), Events: unix.POLLIN}}
		timeout := unix.NsecToTimespec(int64(wait))
		if _, err := unix.Ppoll(fds, &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for conntrack: %w", err)
		}
		l.drain()
		if err := l.turn(); err != nil {
			return err
		}
	}
	return nil
}

// turn reads what is there, a little of each socket, and asks what is to be asked.
func (l *Listener) turn() error {
	for _, fd := range []int{l.events, l.gets} {
		if err := l.read(fd, turnSize); err != nil {
			return err
		}
	}
	l.sendAsks()
	if l.dumping {
		return l.read(l.dumps, 2)
	}
	now := time.Now()
	if now.Before(l.due) && (!l.hurry || now.Sub(l.begun) < l.cfg.Interval/10) {
		return nil
	}
	return l.startDump(now)
}

// read handles up to n datagrams of a socket.
func (l *Listener) read(fd, n int) error {
	for range n {
		size, from, err := unix.Recvfrom(fd, l.buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			return nil
		case errors.Is(err, unix.ENOBUFS): // messages were lost
			l.count.overruns.Add(1)
			l.hurry = true
			l.whole = l.whole && fd != l.dumps
			continue
		case err != nil:
			return fmt.Errorf("read from conntrack: %w", err)
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
			continue // not from the kernel
		}
		l.drain() // who was met before the message
		for h, body := range messages(l.buf[:size]) {
			l.message(fd, h, body)
		}
	}
	return nil
}

func (l *Listener) message(fd int, h header, body []byte) {
	l.count.messages.Add(1)
	if fd == l.dumps && h.flags&flagInterrupted != 0 {
		l.whole = false
	}
	what := looked
	switch {
	case h.typ == msgDone && fd == l.dumps:
		l.endDump()
		return
	case h.typ == msgError:
		if fd == l.dumps && l.dumping { // busy, or no such thing here: the next may go better
			l.whole = false
			l.endDump()
		}
		return // else a connection that is gone: its end is an event
	case h.typ == msgDelete:
		what = gone
	case h.typ != msgNew:
		return
	case fd == l.events && h.flags&flagCreate != 0:
		what = created
	case fd == l.events:
		what = updated
	}
	if !l.entry.parse(body) {
		l.count.malformed.Add(1)
		return
	}
	l.met(what, &l.entry)
}

// sendAsks asks for single connections, as long as the kernel takes questions.
func (l *Listener) sendAsks() {
	for i, r := range l.asks {
		if err := unix.Sendto(l.gets, r, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			l.hurry = true
			l.asks = append(l.asks[:0], l.asks[i+1:]...)
			return
		}
	}
	l.asks = l.asks[:0]
}

// startDump asks for all connections. They come in pieces, as they are read.
func (l *Listener) startDump(now time.Time) error {
	l.sequence++
	l.begun, l.hurry = now, false
	l.due = now.Add(l.cfg.Interval)
	err := unix.Sendto(l.dumps, request(nil, unix.AF_UNSPEC, l.sequence), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err != nil {
		return fmt.Errorf("ask for all connections: %w", err)
	}
	l.dumping, l.whole = true, true
	return nil
}

func (l *Listener) endDump() {
	l.dumping = false
	l.count.dumps.Add(1)
	took := time.Since(l.begun)
	if next := l.begun.Add(share * took); next.After(l.due) {
		l.due = next
	}
	if l.whole {
		l.sweep()
		l.dump++
	}
}
