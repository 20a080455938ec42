package steer

import (
	"context"
	"errors"
	"io"

	"weir/capd/source"
)

// Run steers all frames of src and returns nil at its clean end, else what ended
// it. In any case all frames before are in the rings and published. Several
// sources may follow one another; after the last one the caller calls Finish.
func (s *Steerer) Run(ctx context.Context, src source.Source) error {
	err := s.run(ctx, src)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if flushed := s.Flush(ctx); err == nil {
		err = flushed
	}
	return err
}

func (s *Steerer) run(ctx context.Context, src source.Source) error {
	f := &s.frame
	if s.cfg.Pace != nil {
		s.cfg.Pace.restart()
	}
	for {
		if err := src.Next(f); err != nil {
			return err
		}
		if s.cfg.Pace != nil && !s.Resuming() && s.cfg.Pace.ahead(f.TS) {
			if err := s.pause(ctx, f.TS); err != nil {
				return err
			}
		}
		if err := s.Steer(ctx, f); err != nil {
			return err
		}
		if s.pending >= batch {
			if err := s.Flush(ctx); err != nil {
				return err
			}
		}
	}
}

// pause waits until the packet of time ts is due. Nothing stays unpublished
// meanwhile.
func (s *Steerer) pause(ctx context.Context, ts uint64) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	return s.cfg.Pace.wait(ctx, ts, s.housekeep)
}
