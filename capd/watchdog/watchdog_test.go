package watchdog

import (
	"context"
	"testing"
	"time"
)

func TestLongest(t *testing.T) {
	var a, b Pulse
	a.Beat()
	l := NewLook([]*Pulse{&a, &b})
	for i, step := range []struct {
		beat          []*Pulse
		thread, looks int
	}{
		{[]*Pulse{&a, &b}, 0, 0},
		{[]*Pulse{&a}, 1, 1},
		{[]*Pulse{&b}, 0, 1}, // each was still once, neither twice
		{[]*Pulse{&b, &b}, 0, 2},
		{[]*Pulse{&a, &b}, 0, 0},
		{nil, 0, 1},
		{[]*Pulse{&a}, 1, 2},
	} {
		for _, p := range step.beat {
			p.Beat()
		}
		if thread, looks := l.Longest(); thread != step.thread || looks != step.looks {
			t.Errorf("step %d: Longest() = %d, %d, want %d, %d", i, thread, looks, step.thread, step.looks)
		}
	}
}

func TestWait(t *testing.T) {
	const patience = 3
	var a, b Pulse
	l := NewLook([]*Pulse{&a, &b})
	tick, found := make(chan time.Time), make(chan int)
	go func() {
		thread, hung := l.Wait(context.Background(), tick, patience)
		if !hung {
			thread = -1
		}
		found <- thread
	}()
	for range 2 * patience { // slow, but it gets on
		a.Beat()
		tick <- time.Time{}
		b.Beat()
	}
	for range patience {
		a.Beat()
		select {
		case tick <- time.Time{}:
		case thread := <-found:
			t.Fatalf("Wait = %d before its patience was over", thread)
		}
	}
	a.Beat()
	select { // the first of these looks saw the last beat of b
	case tick <- time.Time{}:
		if thread := <-found; thread != 1 {
			t.Errorf("Wait = %d, want 1", thread)
		}
	case thread := <-found:
		if thread != 1 {
			t.Errorf("Wait = %d, want 1", thread)
		}
	}
}

func TestWaitEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, hung := NewLook([]*Pulse{{}}).Wait(ctx, nil, 1); hung {
		t.Error("Wait found somebody hung, want the end that was asked for")
	}
}
