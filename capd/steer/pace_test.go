package steer

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"weir/capd/source"
	"weir/proto/pkt"
)

// fakeClock moves only by sleeping.
type fakeClock struct {
	now    time.Duration
	sleeps int
	limit  time.Duration // Sleep fails beyond, if not 0
}

func (c *fakeClock) Now() time.Duration { return c.now }

func (c *fakeClock) Sleep(_ context.Context, d time.Duration) error {
	c.sleeps++
	c.now += d
	if c.limit != 0 && c.now > c.limit {
		return context.Canceled
	}
	return nil
}

// pacedRing notes at what time each packet came, and wants all of them published
// whenever the clock moves.
type pacedRing struct {
	*memoryRing
	clock *fakeClock
	at    []time.Duration
}

func (r *pacedRing) Put(desc, prefix, frame []byte) bool {
	if prefix != nil {
		r.at = append(r.at, r.clock.now)
	}
	return r.memoryRing.Put(desc, prefix, frame)
}

func TestPace(t *testing.T) {
	t.Parallel()
	// Steps in ms; time also goes back once.
	steps := []int64{0, 10, 10, 500, -100, 200, 60_000}
	for _, factor := range []float64{1, 2, 0.5, 10} {
		clock := &fakeClock{now: time.Hour}
		ring := &pacedRing{memoryRing: newMemoryRing(), clock: clock}
		pace, err := NewPace(factor, clock)
		if err != nil {
			t.Fatal(err)
		}
		housekeeping := 0
		s, err := New(Config{Seed: testSeed(), Outputs: []Output{ring}, Pace: pace, Housekeep: func() error { housekeeping++; return nil }})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // two captures, the second one played like the first
			src := &frames{end: errEnd}
			start, ring0 := clock.now, len(ring.at)
			ts, due := uint64(1e18), []time.Duration{}
			for _, ms := range steps {
				ts += uint64(ms * int64(time.Millisecond))
				f := frame(1, outer(6, tcp(1, 2, "x")))
				f.TS = ts
				src.list = append(src.list, f)
				late := time.Duration(float64(ts-1e18) / factor)
				if n := len(due); n > 0 {
					late = max(late, due[n-1]) // a packet from the past goes at once
				}
				due = append(due, late)
			}
			if err := s.Run(t.Context(), src); !errors.Is(err, errEnd) {
				t.Fatal(err)
			}
			for i, at := range ring.at[ring0:] {
				if d := at - start - due[i]; d < 0 || d > time.Microsecond {
					t.Errorf("factor %v: packet %d came after %v, want %v", factor, i, at-start, due[i])
				}
			}
		}
		if want := int(60 * time.Second / maxPause / time.Duration(max(factor, 1))); housekeeping < want {
			t.Errorf("factor %v: housekeeping %d times in a long pause, want at least %d", factor, housekeeping, want)
		}
	}
}

var errEnd = errors.New("end")

func TestPaceErrors(t *testing.T) {
	t.Parallel()
	for _, factor := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := NewPace(factor, nil); err == nil {
			t.Errorf("NewPace(%v) gives no error", factor)
		}
	}
	clock := &fakeClock{limit: time.Second}
	pace, err := NewPace(1, clock)
	if err != nil {
		t.Fatal(err)
	}
	_, outs := rings(1)
	s, err := New(Config{Seed: testSeed(), Outputs: outs, Pace: pace})
	if err != nil {
		t.Fatal(err)
	}
	a, b := frame(1, outer(6, tcp(1, 2, "x"))), frame(1, outer(6, tcp(1, 2, "x")))
	b.TS = math.MaxUint64
	if err := s.Run(t.Context(), &frames{list: []*source.Frame{a, b}, end: errEnd}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the error of Sleep", err)
	}
}

// TestPaceResume: a resumed run does not wait while it repeats.
func TestPaceResume(t *testing.T) {
	t.Parallel()
	whole, outs := rings(1)
	s, err := New(Config{Seed: testSeed(), Outputs: outs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), stream(300)); err != nil {
		t.Fatal(err)
	}
	clock := &fakeClock{}
	pace, err := NewPace(1, clock)
	if err != nil {
		t.Fatal(err)
	}
	_, outs = rings(1)
	last := whole[0].records[len(whole[0].records)-1].d()
	if s, err = New(Config{Seed: testSeed(), Outputs: outs, Pace: pace, Last: []pkt.Descriptor{last}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), stream(300)); err != nil {
		t.Fatal(err)
	}
	if clock.sleeps != 0 {
		t.Errorf("slept %d times while repeating what is in the ring", clock.sleeps)
	}
}

func TestRealClock(t *testing.T) {
	t.Parallel()
	c := realClock{start: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Sleep = %v, want context.Canceled", err)
	}
	a := c.Now()
	if err := c.Sleep(t.Context(), time.Millisecond); err != nil || c.Now() < a+time.Millisecond {
		t.Errorf("Sleep = %v, clock moved %v", err, c.Now()-a)
	}
}
