package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"weir/capd/source"
	"weir/proto/pkt"
)

// frames is a source of frames in memory.
type frames struct {
	list []*source.Frame
	end  error
}

func (s *frames) Next(f *source.Frame) error {
	if len(s.list) == 0 {
		return s.end
	}
	*f, s.list = *s.list[0], s.list[1:]
	return nil
}

// stream is a mixed stream of n frames: flows in both directions, gaps in time,
// steps back, fragments, frames that are counted only.
func stream(n int) *frames {
	s := &frames{end: io.EOF}
	ts := uint64(1e18)
	frag := split4(77, 17, udp(9, 9, random(60)), 32)
	for i := range n {
		port := uint16(1000 + i%37)
		b := outer(6, tcp(port, 443, fmt.Sprint("packet ", i)))
		switch {
		case i%5 == 1:
			b = eth(0x0800, ip4(6, "10.0.0.2", "10.0.0.1", tcp(443, port, "answer")))
		case i%11 == 3:
			b = eth(0x0806, make([]byte, 28))
		case i%13 < 3:
			b = bytes.Clone(frag[i%13%len(frag)])
			b[18], b[19] = byte(i/13>>8), byte(i/13)
			b[24], b[25] = 0, 0
		case i%17 == 5:
			b = b[:20]
		}
		ts += uint64(i%29) * uint64(time.Millisecond)
		f := frame(1, b)
		f.TS = ts
		if i%19 == 7 {
			f.TS -= uint64(3 * time.Second)
		}
		if i%101 == 100 {
			ts += uint64(2 * time.Second)
		}
		s.list = append(s.list, f)
	}
	return s
}

// TestDispatch holds that every packet goes to the worker of its flow, in order,
// with its ordinal, and both directions to the same one.
func TestDispatch(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2, 3, 8} {
		mem, outs := rings(workers)
		s, err := New(Config{Seed: testSeed(), Outputs: outs})
		if err != nil {
			t.Fatal(err)
		}
		src := stream(1000)
		list := src.list
		if err := s.Run(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		var p Packet
		packets, used := uint64(0), 0
		for w, m := range mem {
			if m.published != len(m.records) {
				t.Errorf("%d workers: %d records put, %d published", workers, len(m.records), m.published)
			}
			last := int64(-1)
			for _, r := range m.packets() {
				d := r.d()
				if d.HashLo()%uint64(workers) != uint64(w) {
					t.Fatalf("%d workers: hash %#x in ring %d", workers, d.HashLo(), w)
				}
				if int64(d.Ordinal()) <= last {
					t.Fatalf("%d workers: ordinal %d after %d", workers, d.Ordinal(), last)
				}
				last = int64(d.Ordinal())
				packets++
				if d.Flags()&pkt.FlagFragment != 0 {
					continue
				}
				f := list[last]
				if p.Parse(f) != Delivered || !bytes.Equal(r.frame, f.Data) || d.TS() != f.TS {
					t.Fatalf("%d workers: record %d is not frame %d", workers, last, last)
				}
				if lo, hi := p.Key.Hash(testSeed()); lo != d.HashLo() || hi != d.HashHi() {
					t.Fatalf("%d workers: frame %d: hash differs", workers, last)
				}
			}
			if len(m.packets()) > 0 {
				used++
			}
		}
		c := s.Counters()
		if packets != c[Delivered] || c.Sum() != 1000 || used != workers {
			t.Errorf("%d workers: %d packets in %d rings, counters %s", workers, packets, used, counted(c))
		}
	}
}

// TestTicks holds that all rings get the same ticks and end mark at the same
// places of the stream, whatever the number of workers.
func TestTicks(t *testing.T) {
	t.Parallel()
	type mark struct {
		kind    pkt.Kind
		ts, ord uint64
	}
	var want []mark
	for _, workers := range []int{1, 2, 5} {
		mem, outs := rings(workers)
		s, err := New(Config{Seed: testSeed(), Outputs: outs})
		if err != nil {
			t.Fatal(err)
		}
		src := stream(500)
		list := src.list
		if err := errors.Join(s.Run(t.Context(), src), s.Finish(t.Context())); err != nil {
			t.Fatal(err)
		}
		for w, m := range mem {
			var got []mark
			for i, r := range m.records {
				d := r.d()
				if r.prefix != nil {
					if n := len(got); n > 0 && d.TS() >= got[n-1].ts+uint64(tickEvery)+29e6 {
						t.Fatalf("ring %d, record %d: no tick before time %d", w, i, d.TS())
					}
					continue
				}
				got = append(got, mark{d.Kind(), d.TS(), d.Ordinal()})
			}
			if want == nil {
				want = got
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%d workers, ring %d: marks %v, want %v", workers, w, got, want)
			}
		}
		end := want[len(want)-1]
		if end != (mark{pkt.KindEOF, s.Time(), 500}) {
			t.Errorf("end mark %+v, want time %d, ordinal 500", end, s.Time())
		}
		for i, m := range want[:len(want)-1] {
			if m.kind != pkt.KindTick || list[m.ord].TS != m.ts {
				t.Errorf("mark %d = %+v, want a tick with the time of the packet that follows, %d", i, m, list[m.ord].TS)
			}
			if i > 0 && m.ts < want[i-1].ts+uint64(tickEvery) {
				t.Errorf("tick %d at %d, the one before at %d", i, m.ts, want[i-1].ts)
			}
		}
	}
	if len(want) < 20 {
		t.Errorf("only %d marks", len(want))
	}
}

func TestTickExactly(t *testing.T) {
	t.Parallel()
	for gap, want := range map[uint64]int{tickEvery - 1: 2, tickEvery: 3} {
		s, ring := newTestSteerer(t, FragmentConfig{})
		for i := range uint64(2) {
			f := frame(1, outer(6, tcp(1, 2, "x")))
			f.TS += i * gap
			steerFrame(t, s, f)
		}
		if len(ring.records) != want {
			t.Errorf("two packets %d ns apart make %d records, want %d", gap, len(ring.records), want)
		}
	}
}

// TestFullRing holds that a full ring stops the stream, that all other rings are
// published meanwhile, and that nothing is lost.
func TestFullRing(t *testing.T) {
	t.Parallel()
	mem, outs := rings(2)
	s, err := New(Config{Seed: testSeed(), Outputs: outs})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range mem {
		m.room = 3
		m.refill = func(m *memoryRing) bool {
			if other := mem[1-i]; other.published != len(other.records) {
				t.Errorf("ring %d waits while ring %d has unpublished records", i, 1-i)
			}
			if m.waits%2 == 0 { // not the first time
				m.room = 3
			}
			return m.room > 0
		}
	}
	if err := errors.Join(s.Run(t.Context(), stream(300)), s.Finish(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := uint64(len(mem[0].packets()) + len(mem[1].packets())); n != s.Counters()[Delivered] {
		t.Errorf("%d packets in the rings, want %d", n, s.Counters()[Delivered])
	}
}

// TestRunEnds holds how a run ends when it cannot go on.
func TestRunEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	newSteerer := func(c Config) (*Steerer, *memoryRing) {
		mem, outs := rings(1)
		c.Seed, c.Outputs = testSeed(), outs
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return s, mem[0]
	}
	t.Run("source", func(t *testing.T) {
		t.Parallel()
		s, m := newSteerer(Config{})
		src := stream(10)
		src.end = broken
		if err := s.Run(t.Context(), src); !errors.Is(err, broken) {
			t.Errorf("Run = %v, want %v", err, broken)
		}
		if m.published != len(m.records) || s.Frames() != 10 {
			t.Errorf("%d of %d records published, %d frames", m.published, len(m.records), s.Frames())
		}
	})
	t.Run("cancelled while full", func(t *testing.T) {
		t.Parallel()
		s, m := newSteerer(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		m.room = 0
		m.refill = func(*memoryRing) bool { cancel(); return false }
		if err := s.Run(ctx, stream(10)); !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want context.Canceled", err)
		}
	})
	t.Run("cancelled between batches", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		s, _ := newSteerer(Config{Housekeep: func() error { cancel(); return nil }})
		if err := s.Run(ctx, stream(1000)); !errors.Is(err, context.Canceled) || s.Frames() != batch {
			t.Errorf("Run = %v after %d frames, want context.Canceled after %d", err, s.Frames(), batch)
		}
	})
	t.Run("housekeeping", func(t *testing.T) {
		t.Parallel()
		s, _ := newSteerer(Config{Housekeep: func() error { return broken }})
		if err := s.Run(t.Context(), stream(1000)); !errors.Is(err, broken) {
			t.Errorf("Run = %v, want %v", err, broken)
		}
	})
	t.Run("ring that lies", func(t *testing.T) {
		t.Parallel()
		s, m := newSteerer(Config{})
		m.room = 0
		m.refill = func(*memoryRing) bool { return true }
		if err := s.Run(t.Context(), stream(10)); err == nil || !strings.Contains(err.Error(), "takes no frame") {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	_, outs := rings(2)
	for name, c := range map[string]Config{
		"no outputs":        {Seed: testSeed()},
		"no seed":           {Outputs: outs},
		"descriptors amiss": {Seed: testSeed(), Outputs: outs, Last: make([]pkt.Descriptor, 1)},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: New gives no error", name)
		}
	}
}

// smallRing takes frames of 100 bytes at most.
type smallRing struct{ *memoryRing }

func (smallRing) MaxFrame() int { return 100 }

func TestLongFrame(t *testing.T) {
	t.Parallel()
	m := newMemoryRing()
	s, err := New(Config{Seed: testSeed(), Outputs: []Output{smallRing{m}}})
	if err != nil {
		t.Fatal(err)
	}
	steerAll(t, s, outer(6, tcp(1, 2, string(random(300)))))
	d := m.records[0].d()
	if len(m.records[0].frame) != 100 || d.CapLen() != 100 || d.WireLen() != 354 || d.L4Len() != 300 || d.Flags()&pkt.FlagTruncated == 0 {
		t.Errorf("%d bytes, captured %d, wire %d, payload %d, flags %#x", len(m.records[0].frame), d.CapLen(), d.WireLen(), d.L4Len(), d.Flags())
	}
	if n := s.Truncated(); n != 1 {
		t.Errorf("Truncated() = %d after a long frame, want 1", n)
	}
	steerAll(t, s, outer(6, tcp(1, 2, "short")))
	if n := s.Truncated(); n != 1 {
		t.Errorf("Truncated() = %d after a short one more, want 1", n)
	}
}

// nullRing takes all and keeps nothing.
type nullRing struct{ packets int }

func (r *nullRing) Put(_, prefix, _ []byte) bool {
	if prefix != nil {
		r.packets++
	}
	return true
}
func (*nullRing) Drop(uint64, uint64)          {}
func (*nullRing) Publish()                     {}
func (*nullRing) Show()                        {}
func (*nullRing) WaitSpace(time.Duration) bool { return true }
func (*nullRing) MaxFrame() int                { return 65600 }

func TestSteerAllocs(t *testing.T) {
	ring := &nullRing{}
	s, err := New(Config{Seed: testSeed(), Outputs: []Output{ring, ring}})
	if err != nil {
		t.Fatal(err)
	}
	list := stream(2000).list
	i := 0
	if n := testing.AllocsPerRun(1500, func() {
		if err := s.Steer(context.Background(), list[i]); err != nil {
			t.Fatal(err)
		}
		i++
	}); n != 0 {
		t.Errorf("Steer allocates %v times a frame, want 0", n)
	}
	if ring.packets == 0 || s.count[Merged] == 0 {
		t.Errorf("the frames did not use the paths in question: %s", counted(s.count))
	}
}
