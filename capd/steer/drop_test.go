package steer

import (
	"context"
	"testing"

	"weir/proto/pkt"
	"weir/shm/pktring"
)

// TestDrop holds that a live stream waits for no ring, that what found no room is
// counted once, here and in the ring, and that a full ring is published: a worker
// makes no room of what it cannot see.
func TestDrop(t *testing.T) {
	t.Parallel()
	mem, outs := rings(2)
	s, err := New(Config{Seed: testSeed(), Outputs: outs, Drop: true})
	if err != nil {
		t.Fatal(err)
	}
	src := stream(1000)
	wire := uint64(0)
	for i, f := range src.list {
		if i%100 == 0 {
			for _, m := range mem {
				m.room = 10
			}
		}
		full := s.count[RingFull]
		steerFrame(t, s, f)
		if s.count[RingFull] == full {
			continue
		}
		wire += uint64(s.p.Fields.WireLen)
		m := mem[s.p.Fields.HashLo%2]
		if m.room != 0 || m.published != len(m.records) {
			t.Fatalf("frame %d dropped: room %d, %d of %d records published", i, m.room, m.published, len(m.records))
		}
	}
	packets := uint64(len(mem[0].packets()) + len(mem[1].packets()))
	c := s.Counters()
	if c.Sum() != 1000 || packets != c[Delivered] || c[RingFull] < 500 {
		t.Errorf("%d packets in the rings, counters %s, sum %d", packets, counted(c), c.Sum())
	}
	if n := mem[0].dropped + mem[1].dropped; n != c[RingFull] || mem[0].lost+mem[1].lost != wire {
		t.Errorf("rings know of %d dropped packets, %d bytes; want %d, %d", n, mem[0].lost+mem[1].lost, c[RingFull], wire)
	}
	if mem[0].waits+mem[1].waits != 0 {
		t.Errorf("waited %d times", mem[0].waits+mem[1].waits)
	}
}

// TestDropMarks: a tick gives way, the end mark does not.
func TestDropMarks(t *testing.T) {
	t.Parallel()
	mem, outs := rings(1)
	s, err := New(Config{Seed: testSeed(), Outputs: outs, Drop: true})
	if err != nil {
		t.Fatal(err)
	}
	m := mem[0]
	f := frame(1, outer(6, tcp(1, 2, "x")))
	steerFrame(t, s, f)
	m.room = 0
	f.TS += 2 * tickEvery
	if err := s.advance(t.Context(), f.TS); err != nil || m.waits != 0 || m.dropped != 0 {
		t.Errorf("tick: %v, %d waits, %d dropped packets, want none of them", err, m.waits, m.dropped)
	}
	m.refill = func(m *memoryRing) bool { m.room = 1; return true }
	if err := s.Finish(t.Context()); err != nil || m.waits != 1 {
		t.Errorf("Finish = %v after %d waits, want nil after 1", err, m.waits)
	}
	if k := m.records[len(m.records)-1].d().Kind(); k != pkt.KindEOF {
		t.Errorf("last record is of kind %d, want an end mark", k)
	}
}

// TestDropRealRing: a worker that comes too late learns from a real ring of every
// packet that it does not find there.
func TestDropRealRing(t *testing.T) {
	t.Parallel()
	p, c, err := pktring.NewHeap(pktring.Config{Descriptors: 64, PayloadBytes: 1 << 15})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Seed: testSeed(), Outputs: []Output{p}, Drop: true})
	if err != nil {
		t.Fatal(err)
	}
	var packets, lost uint64
	read := func() {
		for b := c.Peek(64); len(b) > 0; b = c.Peek(64) {
			n := len(b) / pkt.DescSize
			for ; len(b) > 0; b = b[pkt.DescSize:] {
				switch d := pkt.Descriptor(b[:pkt.DescSize]); d.Kind() {
				case pkt.KindPacket:
					packets++
				case pkt.KindLost:
					lost += d.HashLo()
				}
			}
			c.Release(n)
		}
	}
	for i, f := range stream(2000).list {
		steerFrame(t, s, f)
		if i%300 == 299 {
			read()
		}
	}
	read()
	if err := s.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	read()
	n := s.Counters()
	if packets != n[Delivered] || lost != n[RingFull] || lost == 0 || n.Sum() != 2000 || p.Stats().Dropped != lost {
		t.Errorf("%d packets and %d lost from the ring, %+v; counters %s", packets, lost, p.Stats(), counted(n))
	}
}
