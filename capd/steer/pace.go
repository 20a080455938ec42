package steer

import (
	"context"
	"errors"
	"math"
	"time"
)

// Clock is the time that a Pace goes by.
type Clock interface {
	// Now returns a time that never goes back.
	Now() time.Duration

	// Sleep waits for d, or until ctx is done, whose error it returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// maxPause bounds one sleep, so that the Steerer's housekeeping is done in time.
const maxPause = 50 * time.Millisecond

// Pace holds packets back until they are due. It reads the clock only when the
// stream's time has passed what the last reading allowed.
type Pace struct {
	factor  float64
	clock   Clock
	started bool
	begin   time.Duration // clock at the first packet
	first   uint64        // time of the first packet, ns
	allowed uint64        // packet time that is due now, ns
}

// NewPace returns a Pace of factor times the recorded speed: 1 as recorded, 2
// twice as fast. A nil clock is the real one.
func NewPace(factor float64, clock Clock) (*Pace, error) {
	if !(factor > 0) || math.IsInf(factor, 1) {
		return nil, errors.New("pace: the factor must be a number above 0")
	}
	if clock == nil {
		clock = realClock{start: time.Now()}
	}
	return &Pace{factor: factor, clock: clock}, nil
}

// restart makes the next packet the first one: what lies between two captures is
// no part of either.
func (p *Pace) restart() { p.started = false }

// ahead reports whether a packet of time ts must wait, as far as is known without
// looking at the clock. The first packet never waits.
func (p *Pace) ahead(ts uint64) bool {
	if !p.started {
		p.started = true
		p.begin, p.first, p.allowed = p.clock.Now(), ts, ts
	}
	return ts > p.allowed
}

// wait returns when the packet of time ts is due; between is called at least
// every maxPause.
func (p *Pace) wait(ctx context.Context, ts uint64, between func() error) error {
	for {
		passed := float64(p.clock.Now()-p.begin) * p.factor
		if passed >= float64(ts-p.first) {
			p.allowed = ts
			return nil
		}
		p.allowed = p.first + uint64(passed)
		left := math.Ceil(float64(ts-p.allowed) / p.factor)
		if err := p.clock.Sleep(ctx, time.Duration(min(left, float64(maxPause)))); err != nil {
			return err
		}
		if err := between(); err != nil {
			return err
		}
	}
}

type realClock struct{ start time.Time }

func (c realClock) Now() time.Duration { return time.Since(c.start) }

func (c realClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
