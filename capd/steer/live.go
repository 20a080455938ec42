package steer

import (
	"context"
	"errors"
	"time"

	"weir/capd/source"
	"weir/proto/pkt"
)

// Timeline is the time of an instance: it runs on while the host sleeps and does
// not jump when somebody sets the host's clock.
type Timeline interface {
	// Read returns the time on the line in ns since the epoch, and what must be added
	// to the host's clock to get there.
	Read() (now uint64, shift int64)
}

// RunLive steers the frames of src until ctx is done or src fails; it returns the
// reason. All frames before are in the rings and published. Time goes on, and ticks
// reach the workers, when nothing arrives.
func (s *Steerer) RunLive(ctx context.Context, src source.Live) error {
	err := s.runLive(ctx, src)
	s.publish()
	return err
}

func (s *Steerer) runLive(ctx context.Context, src source.Live) error {
	f := &s.frame
	_, shift := s.cfg.Time.Read()
	for {
		err := src.Next(f)
		switch {
		case errors.Is(err, source.ErrIdle):
			if err := s.rest(ctx, src); err != nil {
				return err
			}
			_, shift = s.cfg.Time.Read()
			continue
		case err != nil:
			return err
		}
		f.TS += uint64(shift)
		if err := s.Steer(ctx, f); err != nil {
			return err
		}
		if s.pending >= batch {
			if err := s.Flush(ctx); err != nil {
				return err
			}
			_, shift = s.cfg.Time.Read()
		}
	}
}

// rest publishes what there is, tells the time and waits for more.
func (s *Steerer) rest(ctx context.Context, src source.Live) error {
	now, _ := s.cfg.Time.Read()
	if err := s.advance(ctx, now); err != nil {
		return err
	}
	if err := s.Flush(ctx); err != nil {
		return err
	}
	return src.Wait(time.Duration(tickEvery))
}

// driver puts into p what only the driver of the frame at hand knows. A packet in a
// netfilter queue is of a flow between two interfaces, whichever way it goes.
func (s *Steerer) driver(p *Packet) {
	f := &s.frame
	p.Fields.Flags |= f.Flags
	p.Prefix.Out, p.Prefix.Mark = f.Out, f.Mark
	p.Key.IfA, p.Key.IfB = min(f.If, f.Out), max(f.If, f.Out)
	if f.Flags&pkt.FlagNFQ != 0 {
		p.Fields.Ordinal = uint64(f.ID) | uint64(f.Queue)<<32 | uint64(s.cfg.Generation)<<48
	}
}
