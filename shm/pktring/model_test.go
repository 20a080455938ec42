package pktring

import (
	"math/rand/v2"
	"testing"
	"time"

	"weir/shm/internal/shmtest"
	"weir/shm/layout"
)

// TestModel drives a ring with random operations and compares it with a slice:
// every geometry, records around the wrap, positions around 2^64.
func TestModel(t *testing.T) {
	tests := []struct {
		name       string
		n, payload int
		pos        uint64
	}{
		{"few descriptors", 16, 1 << 20, 0},
		{"small payload area", 1024, 4096, 0},
		{"both tight", 16, 4096, 0},
		{"usual", 256, 1 << 16, 0},
		{"near the end of positions", 64, 1 << 14, 1<<64 - 100},
		{"payload near the end of positions", 64, 1 << 14, 1<<60 - 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, c := heapPair(t, tt.n, tt.payload, tt.pos)
			runModel(t, shmtest.Rand(t), p, c, 6000)
		})
	}
	t.Run("mapped", func(t *testing.T) {
		p, c := openPair(t, testConfig(t, 64, 1<<14))
		runModel(t, shmtest.Rand(t), p, c, 6000)
	})
}

func runModel(t *testing.T, rnd *rand.Rand, p *Producer, c *Consumer, steps int) {
	var next, published, seen, released uint64 // ordinals
	full := 0
	for range steps {
		switch rnd.IntN(8) {
		case 0, 1, 2, 3:
			for range rnd.IntN(12) {
				pkt := makePacket(next, min(p.MaxFrame(), 8000))
				if !pkt.put(p) {
					full++
					break
				}
				next++
			}
			published = next - (p.next - p.published) // a long batch publishes itself
		case 4:
			p.Publish()
			published = next
		case 5, 6:
			run := c.Peek(1 + rnd.IntN(70))
			if len(run) == 0 && published != released {
				t.Fatalf("Peek() is empty, %d are published", published-released)
			}
			seen = released
			for ; len(run) != 0; run = run[DescSize:] {
				if seen == published {
					t.Fatalf("Peek() shows packet %d, which is not published", seen)
				}
				pkt := makePacket(seen, min(p.MaxFrame(), 8000))
				pkt.check(t, run[:DescSize], c.Payload(run))
				seen++
			}
		case 7:
			n := rnd.Uint64N(seen - released + 1)
			c.Release(int(n))
			released += n
		}
		if got, want := p.Position()-c.Position(), next-released; got != want {
			t.Fatalf("%d in the ring, want %d", got, want)
		}
		if next-released > p.mask+1 {
			t.Fatalf("%d descriptors in a ring of %d", next-released, p.mask+1)
		}
	}
	if full == 0 || released < uint64(steps)/10 {
		t.Errorf("the test is too tame: %d times full, %d released", full, released)
	}
	if s := c.Stats(); s.Corrupt != 0 || s.Resyncs != 0 || s.Records != released {
		t.Errorf("consumer stats %+v, want no damage and %d records", s, released)
	}
	if s := p.Stats(); s.Records != published {
		t.Errorf("producer stats %+v, want %d records", s, published)
	}
}

// TestFull fills a ring to the last byte and descriptor.
func TestFull(t *testing.T) {
	var desc [DescSize]byte
	var prefix [PrefixSize]byte
	t.Run("descriptors", func(t *testing.T) {
		p, c := heapPair(t, 16, 4096, 0)
		for i := range 16 {
			if !p.Put(desc[:], nil, nil) {
				t.Fatalf("Put() number %d of 16 = false", i)
			}
		}
		if p.Put(desc[:], nil, nil) {
			t.Fatal("Put() into a full ring = true")
		}
		p.Publish()
		c.Peek(1)
		c.Release(1)
		if !p.Put(desc[:], nil, nil) || p.Put(desc[:], nil, nil) {
			t.Fatal("one released descriptor did not make room for exactly one")
		}
	})
	t.Run("payload", func(t *testing.T) {
		p, c := heapPair(t, 1024, 4096, 0)
		frame := make([]byte, 512-PrefixSize)
		if p.MaxFrame() != len(frame) {
			t.Fatalf("MaxFrame() = %d, want %d", p.MaxFrame(), len(frame))
		}
		for i := range 8 {
			if !p.Put(desc[:], prefix[:], frame) {
				t.Fatalf("Put() number %d of 8 = false", i)
			}
		}
		if p.Put(desc[:], prefix[:], nil) {
			t.Fatal("Put() of 16 bytes into a full payload area = true")
		}
		if !p.Put(desc[:], nil, nil) {
			t.Fatal("Put() without payload needs no payload area")
		}
		p.Publish()
		c.Peek(1)
		c.Release(1)
		if !p.Put(desc[:], prefix[:], frame) || p.Put(desc[:], prefix[:], nil) {
			t.Fatal("512 released bytes did not make room for exactly 512")
		}
	})
	t.Run("one byte more", func(t *testing.T) {
		p, _ := heapPair(t, 16, 4096, 0)
		if p.Put(desc[:], prefix[:], make([]byte, p.MaxFrame()+1)) {
			t.Fatal("Put() of MaxFrame+1 bytes = true")
		}
		if got := p.Stats().TooLong; got != 1 {
			t.Errorf("TooLong = %d, want 1", got)
		}
	})
	t.Run("skip leaves less than it seems", func(t *testing.T) {
		// 16 bytes into the last 512: a payload of 512 must go to the start.
		p, c := heapPair(t, 64, 4096, 0)
		p.startAt(0, 4096-512+16)
		if !p.Put(desc[:], prefix[:], make([]byte, 512-PrefixSize)) {
			t.Fatal("Put() into an empty ring = false")
		}
		p.Publish()
		if got := c.Payload(c.Peek(1)); len(got) != 512 || &got[0] != &c.pay[0] {
			t.Error("payload does not lie at the start of the area")
		}
	})
}

func TestMaxFrame(t *testing.T) {
	for payload, want := range map[int]int{4096: 496, 1 << 19: 65520, 1 << 20: MaxFrame, 1 << 24: MaxFrame} {
		p, c := heapPair(t, 16, payload, 0)
		if got := p.MaxFrame(); got != want {
			t.Errorf("MaxFrame() with %d bytes = %d, want %d", payload, got, want)
		}
		var desc [DescSize]byte
		var prefix [PrefixSize]byte
		frame := make([]byte, want)
		frame[want-1] = 9
		for i := range 40 { // several turns
			if !p.Put(desc[:], prefix[:], frame) {
				t.Fatalf("Put() number %d of a longest frame = false", i)
			}
			p.Publish()
			if got := c.Payload(c.Peek(1)); len(got) != want+PrefixSize || got[len(got)-1] != 9 {
				t.Fatalf("payload has %d bytes, want %d", len(got), want+PrefixSize)
			}
			c.Release(1)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Descriptors: 0, PayloadBytes: 4096},
		{Descriptors: 17, PayloadBytes: 4096},
		{Descriptors: 8, PayloadBytes: 4096},
		{Descriptors: 16, PayloadBytes: 5000},
		{Descriptors: 16, PayloadBytes: 0},
		{Descriptors: -16, PayloadBytes: 4096},
	} {
		cfg.Path = "x"
		if _, err := OpenProducer(cfg); err == nil {
			t.Errorf("OpenProducer(%d, %d) = nil, want an error", cfg.Descriptors, cfg.PayloadBytes)
		}
	}
}

// TestLostRecord: what did not fit is told in the ring, before the next that fits.
func TestLostRecord(t *testing.T) {
	p, c := heapPair(t, 16, 4096, 0)
	var n uint64
	for ; ; n++ {
		if pkt := makePacket(n, 8); !pkt.put(p) {
			break
		}
	}
	p.Drop(1, 100)
	p.Drop(2, 250)
	p.Publish()
	c.Peek(16)
	c.Release(1) // room for one, but "lost" and the packet need two
	if pkt := makePacket(n, 8); pkt.put(p) {
		t.Fatal("Put() with a lost record and one free descriptor = true")
	}
	c.Release(15)
	pkt := makePacket(n, 8)
	if !pkt.put(p) {
		t.Fatal("Put() into an empty ring = false")
	}
	p.Publish()
	run := c.Peek(16)
	if len(run) != 2*DescSize {
		t.Fatalf("Peek() shows %d descriptors, want lost and packet", len(run)/DescSize)
	}
	lost := run[:DescSize]
	if lost[offKind] != kindLost || le.Uint64(lost[offHashLo:]) != 3 || le.Uint64(lost[offHashHi:]) != 350 {
		t.Errorf("lost record % x, want kind 2 with 3 packets, 350 bytes", lost)
	}
	if le.Uint64(lost[offTS:]) != n+1000 || le.Uint64(lost[offOrdinal:]) != n {
		t.Errorf("lost record has time %d, ordinal %d, want those of packet %d", le.Uint64(lost), le.Uint64(lost[offOrdinal:]), n)
	}
	if c.Payload(lost) != nil {
		t.Error("lost record has a payload")
	}
	pkt.check(t, run[DescSize:], c.Payload(run[DescSize:]))
	if s := p.Stats(); s.Dropped != 3 || s.DroppedBytes != 350 || s.DroppedConsumerDown != 0 {
		t.Errorf("stats %+v, want 3 packets of 350 bytes dropped", s)
	}
}

// TestLongBatch: a batch as long as the ring publishes itself in time, so that the
// last published descriptor is never overwritten by an unpublished one.
func TestLongBatch(t *testing.T) {
	p, c := heapPair(t, 16, 4096, 0)
	var desc [DescSize]byte
	for i := range 5 {
		le.PutUint64(desc[offOrdinal:], uint64(i))
		p.Put(desc[:], nil, nil)
	}
	p.Publish()
	c.Peek(5)
	c.Release(5)
	for i := range 16 {
		le.PutUint64(desc[offOrdinal:], uint64(5+i))
		p.Put(desc[:], nil, nil)
		last, ok := p.Last()
		if want := p.published - 1; !ok || le.Uint64(last[offOrdinal:]) != want {
			t.Fatalf("Last() after %d of a batch = %d, %v, want %d", i+1, le.Uint64(last[offOrdinal:]), ok, want)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	p, c := openPair(t, testConfig(t, 256, 1<<20))
	pkt := makePacket(3, 1400)
	batch := func() error {
		for range 32 {
			if !pkt.put(p) {
				t.Error("Put() = false")
			}
		}
		p.Publish()
		return nil
	}
	drain := func() error {
		for {
			run := c.Peek(64)
			if len(run) == 0 {
				return nil
			}
			for i := 0; i < len(run); i += DescSize {
				c.Inflight(c.Position() + uint64(i/DescSize))
				c.Payload(run[i:])
			}
			c.Release(len(run) / DescSize)
			c.Commit()
		}
	}
	got := testing.AllocsPerRun(100, func() {
		_ = p.Guard(batch)
		c.Wait(1, time.Millisecond)
		_ = c.Guard(drain)
	})
	if got != 0 {
		t.Errorf("%v allocations a batch, want 0", got)
	}
}

// TestHeapRace moves packets between two goroutines; the race detector watches.
func TestHeapRace(t *testing.T) {
	p, c := heapPair(t, 64, 1<<14, 0)
	const total = 20000
	go func() {
		for i := uint64(0); i < total; {
			pkt := makePacket(i, p.MaxFrame())
			if !pkt.put(p) {
				p.WaitSpace(time.Second)
				continue
			}
			i++
			if i%7 == 0 {
				p.Publish()
			}
		}
		p.Publish()
		p.SetState(layout.StateClosed)
	}()
	for got := uint64(0); got < total; {
		run := c.Peek(10)
		if len(run) == 0 {
			c.Wait(10, time.Millisecond)
			continue
		}
		n := len(run) / DescSize
		for ; len(run) != 0; run = run[DescSize:] {
			pkt := makePacket(got, p.MaxFrame())
			pkt.check(t, run[:DescSize], c.Payload(run))
			got++
		}
		c.Release(n)
	}
}
