package pktring

import (
	"testing"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// FuzzConsumer lets a hostile producer write the words and the descriptors, and
// then reads: nothing outside the areas may be touched, and reading must end.
func FuzzConsumer(f *testing.F) {
	f.Add(uint64(3), uint64(0), uint64(0), []byte{1, 2, 3})
	f.Add(uint64(1<<63), uint64(1<<62), uint64(5), make([]byte, 200))
	f.Add(uint64(16), uint64(0), uint64(1<<64-1), []byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, tail, freed, head uint64, desc []byte) {
		p, c := heapPair(t, 16, 4096, 0)
		copy(c.desc, desc)
		p.tail.Store(tail)
		p.freed.Store(freed)
		c.position.Store(head)
		c.start(c.cur, false)
		total := 0
		for range 100 {
			run := c.Peek(64)
			if len(run) > len(c.desc) || len(run)%DescSize != 0 {
				t.Fatalf("Peek() = %d bytes", len(run))
			}
			for d := run; len(d) != 0; d = d[DescSize:] {
				if b := c.Payload(d); len(b) > len(c.pay) {
					t.Fatalf("Payload() = %d bytes of %d", len(b), len(c.pay))
				}
			}
			c.Release(len(run) / DescSize)
			total += len(run) / DescSize
			c.Wait(1, 0)
		}
		if total > 16 {
			t.Errorf("%d descriptors from one tail of a ring of 16", total)
		}
	})
}

// FuzzTakeOver gives a producer an arbitrary ring to take over: it accepts it only
// when it can go on without harm.
func FuzzTakeOver(f *testing.F) {
	f.Add(uint64(3), uint64(0), uint64(0), []byte{1, 2, 3})
	f.Add(uint64(20), uint64(10), uint64(15), make([]byte, 1024))
	f.Fuzz(func(t *testing.T, tail, freed, head uint64, desc []byte) {
		p, c := heapPair(t, 16, 4096, 0)
		copy(p.desc, desc)
		p.tail.Store(tail)
		p.freed.Store(freed)
		p.cur.Position.Store(head)
		if p.takeOver() != nil {
			return
		}
		if p.next-p.head > 16 || p.payNext-p.payHead > 4096 {
			t.Fatalf("took over %d descriptors, %d payload bytes", p.next-p.head, p.payNext-p.payHead)
		}
		c.start(c.cur, false)
		for n := range uint64(100) {
			if pkt := makePacket(n, 100); !pkt.put(p) {
				p.Publish()
				run := c.Peek(64)
				c.Release(len(run) / DescSize)
			}
		}
	})
}

// FuzzCursor gives both sides an arbitrary cursor file.
func FuzzCursor(f *testing.F) {
	f.Add(cursor.NewHeap(cursor.Packet, 7).Bytes()[:1024])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, c := heapPair(t, 16, 4096, 0)
		fill(t, p, 0, 10)
		copy(c.cur.Bytes(), b)
		c.start(c.cur, false)
		if n := p.InRing(); n > 10 {
			t.Fatalf("InRing() = %d, want at most 10", n)
		}
		if p.head > p.published {
			t.Fatalf("believed head %d beyond tail %d", p.head, p.published)
		}
		p.cur.Waiting.Store(0)
		fill(t, p, 10, 12)
		for range 20 {
			c.Release(len(c.Peek(3)) / DescSize)
		}
		c.Poison()
		_ = c.own.State() == layout.StateLive
	})
}
