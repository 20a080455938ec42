package main

import (
	"context"
	"errors"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/flowkey"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// pieceSize is how many frames go into the ring before the worker's turn comes: they
// are in the second-level cache then.
const pieceSize = 1000

// turns is what capd does to a packet and what dpid does to it in one process on one
// thread, in turn, with a ring in between that is their only connection.
type turns struct {
	ring   *pktring.Consumer
	steer  *steer.Steerer
	worker *benchWorker
	step   uint64 // ns of packet time from frame to frame; 0: each frame has its own
	now    uint64
}

// newTurns needs done to be called, also after an error.
func newTurns(root layout.Root, seed *flowkey.Seed, catalogFile string, inspect int) (t *turns, done func() error, err error) {
	none := func() error { return nil }
	p, c, err := pktring.NewHeap(pktring.Config{Descriptors: 1 << 12, PayloadBytes: 4 << 20, Wait: true})
	if err != nil {
		return nil, none, err
	}
	t = &turns{ring: c, now: uint64(mixBase) * 1000}
	if t.steer, err = steer.New(steer.Config{Seed: seed, Outputs: []steer.Output{p}}); err != nil {
		return nil, none, err
	}
	t.worker, done, err = newWorker(root, c, catalogFile, seed, inspect)
	return t, done, err
}

// all is every frame, in pieces; before is called with each piece first.
func (t *turns) all(frames []source.Frame, before func(piece []source.Frame)) error {
	for at := 0; at < len(frames); at += pieceSize {
		piece := frames[at:min(at+pieceSize, len(frames))]
		before(piece)
		if err := t.piece(piece); err != nil {
			return err
		}
	}
	return nil
}

// piece brings frames into the ring and lets the worker empty it.
func (t *turns) piece(frames []source.Frame) error {
	ctx := context.Background()
	for i := range frames {
		f := frames[i]
		if t.step != 0 {
			t.now += t.step
			f.TS = t.now
		}
		if err := t.steer.Steer(ctx, &f); err != nil {
			return err
		}
	}
	return errors.Join(t.steer.Flush(ctx), t.worker.worker.Run(untilEmpty{ctx, t.ring}))
}

// untilEmpty is a context that is done when there is nothing in a ring.
type untilEmpty struct {
	context.Context
	ring *pktring.Consumer
}

// Err implements context.Context.
func (c untilEmpty) Err() error {
	if c.ring.Backlog() == 0 {
		return context.Canceled
	}
	return nil
}
