package main

import (
	"context"
	"syscall"
	"time"
)

// runLive lets the set work until ctx is done or the time of the job is over, and
// stops it in the order of the stream: what was captured is still inspected, and what
// was found is still printed.
func (s *set) runLive(ctx context.Context) error {
	if s.job.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.job.For)
		defer cancel()
	}
	if err := s.wait(ctx); ctx.Err() == nil {
		s.stop(syscall.SIGKILL)
		return err
	}
	s.stopStage("capd")
	s.settle("dpid", s.packetsRead)
	s.stopStage("dpid")
	s.settle("policyd", s.eventsRead)
	s.stopStage("policyd")
	return nil
}

// stopStage stops all processes of one name and waits for their ends.
func (s *set) stopStage(name string) {
	deadline := time.After(stopTime)
	for _, p := range s.procs {
		if p.name == name && p.cmd != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	for _, p := range s.procs {
		for p.name == name && p.cmd != nil {
			select {
			case q := <-s.ends:
				q.cmd = nil
			case <-deadline:
				s.signal(syscall.SIGKILL)
			}
		}
	}
}
