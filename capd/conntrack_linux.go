package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"weir/capd/conntrack"
	"weir/capd/steer"
	"weir/proto/config"
	"weir/proto/pkt"
	"weir/shm/layout"
)

// connections is what capd hears of from conntrack. Without a listener it is empty, and
// capd goes on without totals.
type connections struct {
	listener *conntrack.Listener
	table    *layout.Mapping
}

// magicConnections is the magic word of the table: "DPICONN1".
const magicConnections = 0x314e4e4f43495044

// mostConnections bounds the table, to 12 MiB.
const mostConnections = 1 << 16

// open begins to listen, where the configuration wants it. It is an error when the table
// cannot be had; without the rights or a kernel to listen to, capd goes on without.
func (c *connections) open(l *live) error {
	cfg := &l.cfg.Capture
	if cfg.Source != config.SourceNFQueue || !cfg.Conntrack.Listen {
		return nil
	}
	size := conntrack.TableSize(min(l.cfg.Flow.MaxFlows*l.cfg.Workers.Count/4, mostConnections))
	table, _, err := layout.CreateOrOpen(l.root.Connections(), layout.Spec{
		Magic: magicConnections, ABIMajor: layout.ABIMajor, ABIMinor: layout.ABIMinor, Size: layout.HeaderSize + int64(size),
		Params: [4]uint64{uint64(size), uint64(cfg.Rings())}, Tag: l.tag, Name: "flows by connection", Mode: 0o600,
	})
	if err != nil {
		return fmt.Errorf("table of connections: %w", err)
	}
	idle := &l.cfg.Flow.Timeouts
	listener, err := conntrack.Listen(conntrack.Config{
		Threads: cfg.Rings(), Seed: &l.seed, Table: table.Bytes()[layout.HeaderSize:], Interval: cfg.Conntrack.Interval,
		SocketBuffer: int(cfg.Conntrack.SocketBuffer), Log: l.log,
		Idle: conntrack.Idle{TCP: idle.TCPEstablished, UDP: idle.UDP, DNS: idle.DNS, Other: idle.Other},
		Now:  func() uint64 { now, _ := l.time.Read(); return now },
	})
	if err != nil {
		l.log.Warn("flows get no totals: packets that pass in the kernel are not counted; see capture.conntrack", "error", err)
		return table.Close()
	}
	if cfg.Conntrack.Accounting {
		conntrack.CountPackets(l.log, "packets that pass in the kernel are not counted")
	}
	c.listener, c.table = listener, table
	return nil
}

// run listens until ctx is done.
func (c *connections) run(ctx context.Context, log *slog.Logger) {
	if c.listener == nil {
		return
	}
	if err := c.listener.Run(ctx); err != nil {
		log.Warn("flows get no more totals; a restart of capd may help", "error", err)
	}
}

// port is where capture thread n tells of its flows; nil: nobody wants to know.
func (c *connections) port(n int) *conntrack.Port {
	if c.listener == nil {
		return nil
	}
	return c.listener.Port(n)
}

func (c *connections) counters() []uint64 {
	if c.listener == nil {
		return make([]uint64, len(conntrack.CounterNames))
	}
	return c.listener.Counters()
}

func (c *connections) close() (err error) {
	if c.listener != nil {
		err = errors.Join(c.listener.Close(), c.table.Close())
	}
	return err
}

// Saw implements steer.Witness. Conntrack knows the outer addresses of tunnels only.
func (t *thread) Saw(p *steer.Packet) {
	f := &p.Fields
	if f.Link != pkt.LinkPlain {
		return
	}
	tcp := f.IPProto == protoTCP
	t.conns.Saw(&conntrack.Sighting{
		Key: p.Key, HashLo: f.HashLo, HashHi: f.HashHi, TS: f.TS, L3: uint8(min(p.Prefix.L3, 255)),
		Begin: tcp && f.TCPFlags&(flagSYN|flagACK) == flagSYN, End: tcp && f.TCPFlags&(flagFIN|flagRST) != 0,
	})
}

// tellAccounts hands to the workers what conntrack said of their flows. What finds no
// room is lost: the next totals are of everything.
func (t *thread) tellAccounts() {
	if t.conns == nil {
		return
	}
	var n conntrack.Notice
	for t.conns.Take(&n) {
		if !t.steer.Account(n.HashLo, n.HashHi, n.IPProto, &n.Account) {
			t.conns.Refused()
		}
	}
	t.steer.Publish()
}

var _ steer.Witness = (*thread)(nil)
