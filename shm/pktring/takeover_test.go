package pktring

import (
	"errors"
	"os"
	"testing"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// fill puts packets first..last-1 and publishes them.
func fill(tb testing.TB, p *Producer, first, last uint64) {
	tb.Helper()
	for n := first; n < last; n++ {
		if pkt := makePacket(n, 200); !pkt.put(p) {
			tb.Fatalf("Put() of packet %d = false", n)
		}
	}
	p.Publish()
}

// drain checks that the ring holds packets first..last-1 and releases them.
func drain(tb testing.TB, c *Consumer, first, last uint64) {
	tb.Helper()
	for n := first; n < last; {
		run := c.Peek(64)
		if len(run) == 0 {
			tb.Fatalf("ring ends before packet %d, want up to %d", n, last)
		}
		k := len(run) / DescSize
		for ; len(run) != 0; run = run[DescSize:] {
			pkt := makePacket(n, 200)
			pkt.check(tb, run[:DescSize], c.Payload(run))
			n++
		}
		c.Release(k)
	}
	if run := c.Peek(1); len(run) != 0 {
		tb.Fatalf("packet %d after the last, %d", le.Uint64(run[offOrdinal:]), last)
	}
}

func TestProducerTakeOver(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 30)
	drain(t, c, 0, 30)
	fill(t, p, 30, 60)
	pkt := makePacket(99, 200)
	pkt.put(p) // never published
	id := p.RingID()
	p.kill()
	if c.ProducerAlive() {
		t.Error("ProducerAlive() = true after the kill")
	}

	q := openProducer(t, cfg)
	if q.Fresh() || q.Epoch() != 2 || q.RingID() != id || !c.ProducerAlive() {
		t.Errorf("taken over: fresh %v, epoch %d, alive %v, want false, 2, true", q.Fresh(), q.Epoch(), c.ProducerAlive())
	}
	last, ok := q.Last()
	if !ok || le.Uint64(last[offOrdinal:]) != 59 {
		t.Fatalf("Last() = ordinal %d, %v, want 59", le.Uint64(last[offOrdinal:]), ok)
	}
	if q.InRing() != 30 || q.Position() != 60 {
		t.Errorf("in ring %d, position %d, want 30, 60", q.InRing(), q.Position())
	}
	fill(t, q, 60, 80)
	drain(t, c, 30, 80)
	if s := q.Stats(); s.Records != 80 {
		t.Errorf("records = %d, want 80 over both producers", s.Records)
	}

	// Everything consumed: the last descriptor is still told.
	q.kill()
	q = openProducer(t, cfg)
	last, ok = q.Last()
	if !ok || le.Uint64(last[offOrdinal:]) != 79 {
		t.Fatalf("Last() of a drained ring = ordinal %d, %v, want 79", le.Uint64(last[offOrdinal:]), ok)
	}
	fill(t, q, 80, 120)
	drain(t, c, 80, 120)
}

// TestTakeOverOfADrainedRing: all of the payload area is free again.
func TestTakeOverOfADrainedRing(t *testing.T) {
	cfg := testConfig(t, 64, 4096)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 7)
	drain(t, c, 0, 7)
	p.kill()
	p = openProducer(t, cfg)
	var desc [DescSize]byte
	var prefix [PrefixSize]byte
	p.payNext, p.payHead = p.payNext&^511, p.payHead&^511 // the next skip would cost a record
	if p.payNext != p.payHead {
		t.Fatalf("payload used from %d to %d, want none", p.payHead, p.payNext)
	}
	for i := range 8 {
		if !p.Put(desc[:], prefix[:], make([]byte, p.MaxFrame())) {
			t.Fatalf("longest frame number %d of 8 does not fit", i)
		}
	}
}

// TestTakeOverWithAHostileHead: what the consumer wrote is believed no more after
// a restart than before.
func TestTakeOverWithAHostileHead(t *testing.T) {
	for _, head := range []uint64{0, 9, 41, 1 << 40, 1<<64 - 1} {
		cfg := testConfig(t, 64, 1<<16)
		p, c := openPair(t, cfg)
		fill(t, p, 0, 10)
		drain(t, c, 0, 10)
		p.InRing()
		fill(t, p, 10, 40)
		p.kill()
		c.position.Store(head)
		p = openProducer(t, cfg)
		if p.Fresh() || p.InRing() != 30 {
			t.Errorf("head %d: fresh %v, %d in the ring, want false, 30", head, p.Fresh(), p.InRing())
		}
		fill(t, p, 40, 60)
		drain(t, c, 10, 60)
	}
}

func TestTakeOverIsFast(t *testing.T) {
	cfg := testConfig(t, 4096, 8<<20)
	p, _ := openPair(t, cfg)
	fill(t, p, 0, 4000)
	fastest := time.Hour
	for range 10 {
		p.kill()
		began := time.Now()
		p = openProducer(t, cfg)
		fastest = min(fastest, time.Since(began))
	}
	if fastest > 100*time.Millisecond {
		t.Errorf("fastest of 10 takeovers took %v, want less than 100 ms", fastest)
	}
	t.Logf("8 MiB, 4000 packets: %v", fastest)
}

func TestLastOfANewRing(t *testing.T) {
	p, _ := openPair(t, testConfig(t, 16, 4096))
	if _, ok := p.Last(); ok {
		t.Error("Last() of a new ring is ok, want none")
	}
}

func TestSecondProducerRefused(t *testing.T) {
	cfg := testConfig(t, 16, 4096)
	openPair(t, cfg)
	var ae *layout.AttachError
	_, err := OpenProducer(cfg)
	if !errors.Is(err, layout.ErrOwned) || !errors.As(err, &ae) || ae.Got != uint64(os.Getpid()) {
		t.Errorf("second OpenProducer() = %v, want ErrOwned with our pid", err)
	}
	if _, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{}); !errors.Is(err, layout.ErrOwned) {
		t.Errorf("second OpenConsumer() = %v, want ErrOwned", err)
	}
}

func TestConsumerTakeOver(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 40)
	c.Peek(10)
	c.Release(10)
	c.Peek(20) // read, not released
	c.kill()
	if p.ConsumerAlive() {
		t.Error("ConsumerAlive() = true after the kill")
	}
	p.Drop(1, 60)
	if s := p.Stats(); s.DroppedConsumerDown != 1 || s.Dropped != 0 {
		t.Errorf("stats %+v, want the drop under consumer down", s)
	}
	p.lostPackets, p.lostBytes = 0, 0
	c = openConsumer(t, cfg)
	if c.Position() != 10 {
		t.Errorf("Position() = %d, want 10", c.Position())
	}
	drain(t, c, 10, 40)
	if s := c.Stats(); s.Records != 30 {
		t.Errorf("records = %d, want the 30 of this consumer: the killed one had not committed its 10", s.Records)
	}
}

// TestNewCursor: without a usable cursor nothing is lost that is still whole.
func TestNewCursor(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"deleted":  func(_ *testing.T, path string) { _ = os.Remove(path) },
		"garbage":  func(t *testing.T, path string) { write(t, path, 0, make([]byte, 4096)) },
		"ahead":    func(t *testing.T, path string) { write(t, path, 128, []byte{200, 0, 0, 0, 0, 0, 0, 0}) },
		"nonsense": func(t *testing.T, path string) { write(t, path, 128, []byte{1, 2, 3, 4, 5, 6, 7, 8}) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, 64, 1<<16)
			p, c := openPair(t, cfg)
			fill(t, p, 0, 40)
			c.Peek(10)
			c.Release(10)
			p.InRing() // the producer believes 10
			c.kill()
			spoil(t, cfg.CursorPath)
			c = openConsumer(t, cfg)
			if !p.ConsumerAlive() {
				t.Error("producer does not see the new cursor")
			}
			drain(t, c, 10, 40)
			fill(t, p, 40, 100)
			drain(t, c, 40, 100)
		})
	}
}

func write(t *testing.T, path string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestInconsistentRingIsRetired damages what a restarted producer reads of its own
// file: each must lead to a new file, and the consumer must hear of it.
func TestInconsistentRingIsRetired(t *testing.T) {
	const desc = layout.HeaderSize
	word := func(v uint64) []byte { return host.AppendUint64(nil, v) }
	for name, d := range map[string]struct {
		off int64
		b   []byte
	}{
		"position falls":       {desc + 20*64 + 24, word(0)},
		"position jumps":       {desc + 20*64 + 24, word(1 << 40)},
		"position not aligned": {desc + 20*64 + 24, word(8)},
		"length too long":      {desc + 20*64 + 36, []byte{255, 255, 255, 255}},
		"tail far off":         {128, word(1 << 50)},
		"tail went back":       {128, word(3)},
		"freed beyond tail":    {136, word(90)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, 64, 1<<16)
			p, c := openPair(t, cfg)
			fill(t, p, 0, 10)
			drain(t, c, 0, 10)
			p.InRing()
			for n := uint64(10); n < 40; n++ {
				pkt := makePacket(n, 200)
				pkt.bare = false
				pkt.put(p)
			}
			p.Publish()
			p.kill()
			write(t, cfg.Path, d.off, d.b)
			q := openProducer(t, cfg)
			if !q.Fresh() {
				t.Fatal("Fresh() = false, want a new ring")
			}
			if !c.Replaced() || c.ProducerState() != layout.StateRetired {
				t.Errorf("consumer sees replaced %v, state %v, want true, retired", c.Replaced(), c.ProducerState())
			}
			_ = c.Close()
			c = openConsumer(t, cfg)
			q.ConsumerAlive()
			fill(t, q, 100, 140)
			drain(t, c, 100, 140)
		})
	}
}

// TestOtherGeometry: the old ring is drained to its tail, then the new one opened.
func TestOtherGeometry(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 20)
	p.kill()
	bigger := cfg
	bigger.Descriptors = 128
	q := openProducer(t, bigger)
	fill(t, q, 20, 40)
	if !c.Replaced() {
		t.Fatal("Replaced() = false, want true")
	}
	drain(t, c, 0, 20)
	_ = c.Close()
	c = openConsumer(t, cfg)
	drain(t, c, 20, 40)

	q.kill()
	bigger.Tag = 5
	q = openProducer(t, bigger)
	if !q.Fresh() || !c.Replaced() {
		t.Errorf("another tag: fresh %v, replaced %v, want true, true", q.Fresh(), c.Replaced())
	}
}

func TestHostileHead(t *testing.T) {
	p, c := openPair(t, testConfig(t, 64, 1<<16))
	fill(t, p, 0, 30)
	drain(t, c, 0, 30)
	p.InRing()
	fill(t, p, 30, 60)
	for _, h := range []uint64{0, 29, 61, 1 << 40, 1<<64 - 1, 1<<64 - 34} {
		c.position.Store(h)
		if got := p.InRing(); got != 30 {
			t.Errorf("in ring with a head of %d = %d, want 30: do not believe it", h, got)
		}
	}
	c.position.Store(30)
	drain(t, c, 30, 60)
}

// TestHostileTail: a tail that makes no sense hides the ring until it is repaired.
func TestHostileTail(t *testing.T) {
	p, c := openPair(t, testConfig(t, 64, 1<<16))
	fill(t, p, 0, 10)
	drain(t, c, 0, 10)
	for _, tail := range []uint64{9, 0, 75, 1 << 40, 1<<64 - 1} {
		p.tail.Store(tail)
		if run := c.Peek(1); len(run) != 0 {
			t.Errorf("Peek() with a tail of %d shows packets", tail)
		}
	}
	if got := c.Stats().Corrupt; got == 0 {
		t.Error("nothing counted as corrupt")
	}
	fill(t, p, 10, 20)
	drain(t, c, 10, 20)
}

// TestOvertaken: when the producer believed a damaged cursor, the consumer must
// notice that its packets may be gone.
func TestOvertaken(t *testing.T) {
	p, c := openPair(t, testConfig(t, 64, 1<<16))
	fill(t, p, 0, 50)
	c.Peek(10)
	c.Release(10)
	c.position.Store(50) // flipped
	p.InRing()           // believed
	fill(t, p, 50, 100)  // overwrites what was not read
	c.tail = c.head      // as after the last known packet
	drain(t, c, 50, 100)
	if got := c.Stats().Resyncs; got != 1 {
		t.Errorf("Resyncs = %d, want 1", got)
	}
}

func TestHostilePayload(t *testing.T) {
	p, c := openPair(t, testConfig(t, 16, 4096))
	for i, d := range []struct {
		pos uint64
		cap uint32
	}{
		{0, 1 << 31}, {0, 1<<32 - 1}, {4096 - 16, 1}, {4096 - 15, 0}, {0, 497}, {1<<64 - 16, 16},
	} {
		var desc [DescSize]byte
		var prefix [PrefixSize]byte
		p.Put(desc[:], prefix[:], nil)
		p.Publish()
		at := p.desc[(p.next-1)&p.mask*DescSize:]
		le.PutUint64(at[offPayPos:], d.pos)
		le.PutUint32(at[offCapLen:], d.cap)
		run := c.Peek(1)
		if got := c.Payload(run); got != nil {
			t.Errorf("Payload(position %d, length %d) = %d bytes, want nil", d.pos, d.cap, len(got))
		}
		if got := c.Stats().Corrupt; got != uint64(i+1) {
			t.Errorf("Corrupt = %d, want %d", got, i+1)
		}
		c.Release(1)
	}
}

func TestReleaseTooMany(t *testing.T) {
	_, c := openPair(t, testConfig(t, 16, 4096))
	defer func() {
		if recover() == nil {
			t.Error("Release(1) of an empty ring did not panic")
		}
	}()
	c.Release(1)
}

// die opens the consumer, works on the packet at position pos and is killed.
func die(t *testing.T, cfg Config, pos uint64) {
	t.Helper()
	c := openConsumer(t, cfg)
	c.Peek(16)
	c.Inflight(pos)
	c.kill()
}

func TestPoison(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p := openProducer(t, cfg)
	fill(t, p, 0, 40)
	poison := func() (uint64, bool) {
		c := openConsumer(t, cfg)
		defer c.kill()
		return c.Poison()
	}
	die(t, cfg, 3)
	if pos, ok := poison(); ok {
		t.Fatalf("Poison() after one death = %d, true", pos)
	}
	if pos, ok := poison(); ok {
		t.Fatalf("Poison() = %d, true after a death before the first packet", pos)
	}
	die(t, cfg, 5)
	if pos, ok := poison(); ok {
		t.Fatalf("Poison() after deaths at two packets = %d, true", pos)
	}
	die(t, cfg, 7)
	die(t, cfg, 7)
	c := openConsumer(t, cfg)
	if pos, ok := c.Poison(); !ok || pos != 7 {
		t.Fatalf("Poison() after two deaths at 7 = %d, %v, want 7, true", pos, ok)
	}
	c.Peek(8)
	c.SkippedPoison()
	c.Release(8)
	if _, ok := c.Poison(); ok || c.Stats().PoisonSkipped != 1 {
		t.Errorf("after the skip: %v, %+v, want no poison, 1 skipped", ok, c.Stats())
	}
	c.kill()
	if pos, ok := poison(); ok {
		t.Errorf("Poison() after it was released = %d, true", pos)
	}
}

func TestIndices(t *testing.T) {
	cfg := testConfig(t, 16, 4096)
	cfg.Producer, cfg.Consumer = 1, 2
	openProducer(t, cfg)
	_, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{Indices: &[2]uint16{1, 3}})
	if !errors.Is(err, layout.ErrGeometry) {
		t.Errorf("OpenConsumer() with wrong indices = %v, want ErrGeometry", err)
	}
	c, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{Indices: &[2]uint16{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_, err = OpenConsumer(cfg.Path, cfg.CursorPath, Options{CheckUID: true, UID: os.Getuid() + 1})
	if !errors.Is(err, layout.ErrForeign) {
		t.Errorf("OpenConsumer() of another user's ring = %v, want ErrForeign", err)
	}
}

func TestCursorKindsDoNotMix(t *testing.T) {
	cfg := testConfig(t, 16, 4096)
	p, _ := openPair(t, cfg)
	if _, err := cursor.Map(cfg.CursorPath, cursor.Event, p.RingID()); !errors.Is(err, layout.ErrGeometry) {
		t.Errorf("packet cursor mapped as event cursor = %v, want ErrGeometry", err)
	}
	if _, err := cursor.Map(cfg.CursorPath, cursor.Packet, p.RingID()+1); !errors.Is(err, layout.ErrGeometry) {
		t.Errorf("cursor mapped for another ring = %v, want ErrGeometry", err)
	}
}
