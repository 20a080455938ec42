package pktring

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/shm/internal/shmtest"
	"weir/shm/layout"
)

// TestWake: a sleeping consumer sees what is published at once, and a producer
// that waits for space sees what is released.
func TestWake(t *testing.T) {
	p, c := openPair(t, testConfig(t, 64, 1<<16))
	const total = 3000
	done := make(chan time.Duration)
	go func() {
		var worst time.Duration
		for n := uint64(0); n < total; {
			run := c.Peek(5)
			if len(run) == 0 {
				c.Wait(0, time.Minute)
				continue
			}
			worst = max(worst, time.Duration(layout.Monotonic()-le.Uint64(run)))
			n += uint64(len(run) / DescSize)
			c.Release(len(run) / DescSize)
		}
		done <- worst
	}()
	var desc [DescSize]byte
	for n := uint64(0); n < total; {
		le.PutUint64(desc[:], layout.Monotonic())
		if !p.Put(desc[:], nil, nil) {
			if !p.WaitSpace(10 * time.Second) {
				t.Fatal("WaitSpace() = false, want room")
			}
			continue
		}
		n++
		if n%3 == 0 {
			p.Publish()
		}
	}
	p.Publish()
	select {
	case worst := <-done:
		t.Logf("slowest hand-over %v", worst)
	case <-time.After(30 * time.Second):
		t.Fatal("consumer hangs")
	}
}

func TestWaitSpaceGivesUp(t *testing.T) {
	p, c := openPair(t, testConfig(t, 16, 4096))
	fillUp(t, p)
	began := time.Now()
	if p.WaitSpace(30 * time.Millisecond) {
		t.Error("WaitSpace() of a full ring = true")
	}
	if d := time.Since(began); d < 25*time.Millisecond || d > 5*time.Second {
		t.Errorf("WaitSpace(30 ms) took %v", d)
	}
	c.Peek(16)
	c.Release(16)
	if !p.WaitSpace(0) {
		t.Error("WaitSpace() of an empty ring = false")
	}
}

// TestWaitSpaceKeepsTheHeartBeating: a producer that waits for room again and
// again still shows that it lives.
func TestWaitSpaceKeepsTheHeartBeating(t *testing.T) {
	p, _ := openPair(t, testConfig(t, 16, 4096))
	fillUp(t, p)
	p.nextCheck, p.nextLook = 0, 0
	before := p.owner.Heartbeat()
	if p.WaitSpace(time.Millisecond) {
		t.Fatal("WaitSpace() of a full ring = true")
	}
	if p.nextLook == 0 {
		t.Error("WaitSpace() did not look for the consumer")
	}
	if _, err := p.Housekeeping(); err != nil || p.owner.Heartbeat() == before {
		t.Errorf("Housekeeping() = %v after WaitSpace, heartbeat %d as before", err, before)
	}
}

// TestWaitSpaceFindsAConsumer: the ring is full before the consumer comes.
func TestWaitSpaceFindsAConsumer(t *testing.T) {
	cfg := testConfig(t, 16, 4096)
	p := openProducer(t, cfg)
	fillUp(t, p)
	c := openConsumer(t, cfg)
	c.Peek(16)
	c.Release(16)
	if !p.WaitSpace(10 * time.Second) {
		t.Error("WaitSpace() = false, want the room that a new consumer made")
	}
}

func fillUp(t *testing.T, p *Producer) {
	t.Helper()
	var desc [DescSize]byte
	for range 16 {
		if !p.Put(desc[:], nil, nil) {
			t.Fatal("Put() = false")
		}
	}
	if p.Put(desc[:], nil, nil) {
		t.Fatal("Put() into a full ring = true")
	}
	p.Publish()
}

func TestWaitAny(t *testing.T) {
	var ps []*Producer
	var cs []*Consumer
	for range 3 {
		p, c := openPair(t, testConfig(t, 16, 4096))
		ps, cs = append(ps, p), append(cs, c)
	}
	if c := WaitAny(cs, 10, time.Millisecond); c != nil {
		t.Error("WaitAny() of empty rings is not nil")
	}
	if c := WaitAny(cs[:1], 10, time.Millisecond); c != nil {
		t.Error("WaitAny() of one empty ring is not nil")
	}
	for i, c := range cs {
		if c.waiting.Load() != 0 {
			t.Errorf("consumer %d still says that it sleeps", i)
		}
	}
	for i, p := range ps {
		got := make(chan *Consumer)
		go func() {
			for {
				if c := WaitAny(cs, 0, time.Minute); c != nil {
					got <- c
					return
				}
			}
		}()
		fill(t, p, 0, 1)
		select {
		case c := <-got:
			if c != cs[i] {
				t.Errorf("WaitAny() is not ring %d", i)
			}
			c.Peek(1)
			c.Release(1)
		case <-time.After(10 * time.Second):
			t.Fatalf("WaitAny() hangs though ring %d has a packet", i)
		}
	}
}

func TestCloseIsSeen(t *testing.T) {
	cfg := testConfig(t, 16, 4096)
	p, c := openPair(t, cfg)
	if got := c.ProducerState(); got != layout.StateLive {
		t.Errorf("state = %v, want live", got)
	}
	pkt := makePacket(0, 200)
	pkt.put(p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := c.ProducerState(); got != layout.StateClosed {
		t.Errorf("state = %v, want closed", got)
	}
	if c.Replaced() {
		t.Error("Replaced() = true for a closed ring")
	}
	drain(t, c, 0, 1)
	if c.Backlog() != 0 {
		t.Errorf("Backlog() = %d, want 0", c.Backlog())
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	q := openProducer(t, cfg)
	q.Retire()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	c = openConsumer(t, cfg)
	if got := c.ProducerState(); got != layout.StateRetired || !c.Replaced() {
		t.Errorf("state = %v, want retired, also after Close", got)
	}
}

func expire(p *Producer, c *Consumer) { p.nextCheck, c.nextCheck = 0, 0 }

// TestDeleted: rm -rf while running. The producer makes a new ring; the consumer
// drains the old one, sees that it is replaced, and opens the new one.
func TestDeleted(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 20)
	if err := os.RemoveAll(filepath.Dir(cfg.Path)); err != nil {
		t.Fatal(err)
	}
	fill(t, p, 20, 30)
	if err := os.Mkdir(filepath.Dir(cfg.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	pkt := makePacket(30, 200)
	pkt.put(p) // not published yet
	expire(p, c)
	if rebuilt, err := p.Housekeeping(); !rebuilt || err != nil {
		t.Fatalf("Housekeeping() = %v, %v, want true, nil", rebuilt, err)
	}
	if rebuilt, err := p.Housekeeping(); rebuilt || err != nil {
		t.Fatalf("second Housekeeping() = %v, %v, want false, nil", rebuilt, err)
	}
	if !c.Replaced() {
		t.Fatal("Replaced() = false, want true")
	}
	drain(t, c, 0, 31)
	_ = c.Close()
	c = openConsumer(t, cfg)
	expire(p, c)
	if _, err := p.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	fill(t, p, 31, 80)
	drain(t, c, 31, 80)
}

// TestCursorDeleted: the producer would wait for the new file after a restart.
func TestCursorDeleted(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 20)
	c.Peek(5)
	c.Release(5)
	if err := os.Remove(cfg.CursorPath); err != nil {
		t.Fatal(err)
	}
	expire(p, c)
	if err := c.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	p.kill()
	p = openProducer(t, cfg)
	if p.InRing() != 15 || !p.ConsumerAlive() {
		t.Errorf("in ring %d, consumer alive %v, want 15, true", p.InRing(), p.ConsumerAlive())
	}
	drain(t, c, 5, 20)
	fill(t, p, 20, 70)
	drain(t, c, 20, 70)
}

// TestTruncated: both sides survive the loss of the ring's memory.
func TestTruncated(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 20)
	if err := os.Truncate(cfg.Path, 4096); err != nil {
		t.Fatal(err)
	}
	err := c.Guard(func() error {
		if bytes.IndexByte(c.Peek(64), 0xff) == -2 {
			t.Error("not reached: the bytes are gone")
		}
		return nil
	})
	if !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("reading a truncated ring = %v, want ErrRingLost", err)
	}
	err = p.Guard(func() error { fill(t, p, 20, 30); return nil })
	if !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("writing a truncated ring = %v, want ErrRingLost", err)
	}
	if rebuilt, err := p.Housekeeping(); !rebuilt || err != nil {
		t.Fatalf("Housekeeping() = %v, %v, want a new ring", rebuilt, err)
	}
	if !c.Replaced() {
		t.Error("Replaced() = false, want true")
	}
	_ = c.Close()
	c = openConsumer(t, cfg)
	p.ConsumerAlive()
	fill(t, p, 0, 40)
	drain(t, c, 0, 40)
}

// TestGuardSeveral: the loss of any ring ends what goes on in all of them.
func TestGuardSeveral(t *testing.T) {
	for lost := range 2 {
		cfgs := []Config{testConfig(t, 64, 1<<16), testConfig(t, 64, 1<<16)}
		all := []*Producer{openProducer(t, cfgs[0]), openProducer(t, cfgs[1])}
		err := Guard(all, func() error {
			fill(t, all[0], 0, 10)
			fill(t, all[1], 0, 10)
			if err := os.Truncate(cfgs[lost].Path, 4096); err != nil {
				t.Fatal(err)
			}
			fill(t, all[lost], 10, 20)
			t.Error("not reached: the memory is gone")
			return nil
		})
		if !errors.Is(err, layout.ErrRingLost) {
			t.Errorf("ring %d truncated: %v, want ErrRingLost", lost, err)
		}
	}
	want := errors.New("other")
	if err := Guard(nil, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Guard(nil) = %v, want what f returned", err)
	}
}

// TestCursorTruncated: the producer survives the loss of the consumer's file.
func TestCursorTruncated(t *testing.T) {
	cfg := testConfig(t, 16, 1<<16)
	p, c := openPair(t, cfg)
	if err := os.Truncate(cfg.CursorPath, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Guard(func() error { p.InRing(); return nil }); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("reading a truncated cursor = %v, want ErrRingLost", err)
	}
	if _, err := p.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	if err := p.Guard(func() error { p.InRing(); return nil }); err != nil {
		t.Errorf("after Housekeeping() = %v, want nil", err)
	}
	expire(p, c)
	err := c.Guard(c.Housekeeping)
	if errors.Is(err, layout.ErrRingLost) {
		_ = c.Close()
		c = openConsumer(t, cfg)
	}
	expire(p, c)
	if _, err := p.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	fill(t, p, 0, 10)
	drain(t, c, 0, 10)
}

// TestHeaderOverwritten: both sides live on their private copies; who comes later
// is told.
func TestHeaderOverwritten(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 20)
	write(t, cfg.Path, 0, bytes.Repeat([]byte{0xff}, layout.StaticSize))
	fill(t, p, 20, 40)
	drain(t, c, 0, 40)
	if _, err := OpenConsumer(cfg.Path, cfg.CursorPath+"2", Options{}); !errors.Is(err, layout.ErrCorrupt) {
		t.Errorf("OpenConsumer() = %v, want ErrCorrupt", err)
	}
	p.kill()
	q := openProducer(t, cfg)
	if !q.Fresh() || !c.Replaced() {
		t.Errorf("fresh %v, replaced %v, want a new file", q.Fresh(), c.Replaced())
	}
}

// TestFlippedBytes changes random bytes of both files while the ring is in use.
// Nothing is promised but survival, and that a new pair of files works.
func TestFlippedBytes(t *testing.T) {
	rnd := shmtest.Rand(t)
	for range 40 {
		cfg := testConfig(t, 32, 1<<13)
		p, c := openPair(t, cfg)
		for n := range uint64(300) {
			if rnd.IntN(4) == 0 {
				flip(t, rnd, p, c)
			}
			for range rnd.IntN(6) {
				pkt := makePacket(n, 400)
				if !pkt.put(p) {
					p.Drop(1, 100)
				}
			}
			p.Publish()
			run := c.Peek(16)
			for i := 0; i < len(run); i += DescSize {
				c.Inflight(n)
				_ = bytes.Count(c.Payload(run[i:]), []byte{1})
			}
			c.Release(len(run) / DescSize)
			switch rnd.IntN(60) {
			case 0:
				p.kill()
				p = openProducer(t, cfg)
			case 1:
				c.kill()
				fresh, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{})
				if err != nil { // the header was hit: a new producer makes a new file
					p.kill()
					p = openProducer(t, cfg)
					fresh = openConsumer(t, cfg)
				}
				c = fresh
				p.ConsumerAlive()
			}
		}
	}
}

func flip(t *testing.T, rnd *rand.Rand, p *Producer, c *Consumer) {
	t.Helper()
	b := p.m.Bytes()
	if rnd.IntN(3) == 0 {
		b = c.cur.Bytes()
	}
	limit := len(b)
	if rnd.IntN(2) == 0 {
		limit = 600 // rather often where it hurts
	}
	b[rnd.IntN(limit)] ^= 1 << rnd.IntN(8)
}
