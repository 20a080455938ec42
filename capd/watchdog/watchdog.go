// Package watchdog finds out that a thread hangs, by a pulse that it shows with each
// turn of its loop.
//
// It counts looks, not time: after a process was stopped, or its host slept, threads
// get the chance to go on before they are judged. What is to be done about a thread
// that hangs is the caller's business.
package watchdog

import (
	"context"
	"sync/atomic"
	"time"
)

// Pulse is one thread's.
type Pulse struct {
	n atomic.Uint64 // pairs with Look.Longest
}

// Beat says that the thread gets on.
func (p *Pulse) Beat() { p.n.Add(1) }

// Look sees pulses through the eyes of one goroutine.
type Look struct {
	pulses []*Pulse
	seen   []uint64
	still  []int // looks in a row
}

// NewLook looks at the pulses for the first time.
func NewLook(pulses []*Pulse) *Look {
	l := &Look{pulses: pulses, seen: make([]uint64, len(pulses)), still: make([]int, len(pulses))}
	for i, p := range pulses {
		l.seen[i] = p.n.Load()
	}
	return l
}

// Longest looks again, and returns the pulse that has stood still for the most looks
// in a row, and how many they are: 0 means that all moved since the last one.
func (l *Look) Longest() (thread, looks int) {
	for i, p := range l.pulses {
		now := p.n.Load()
		if l.still[i]++; now != l.seen[i] {
			l.still[i] = 0
		}
		l.seen[i] = now
		if l.still[i] > looks {
			thread, looks = i, l.still[i]
		}
	}
	return thread, looks
}

// Wait looks with every tick until a pulse has stood still for as many of them in a row
// as patience says; hung is false when ctx is done before.
func (l *Look) Wait(ctx context.Context, tick <-chan time.Time, patience int) (thread int, hung bool) {
	for {
		select {
		case <-ctx.Done():
			return 0, false
		case <-tick:
			if i, looks := l.Longest(); looks >= patience {
				return i, true
			}
		}
	}
}
