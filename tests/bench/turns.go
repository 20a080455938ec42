package main

import (
	"context"
	"fmt"
	"time"

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
	worked time.Duration // CPU time of the worker's turns
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
	if err := t.put(frames); err != nil {
		return err
	}
	start := threadTime()
	err := t.worker.worker.Run(untilEmpty{context.Background(), t.ring})
	t.worked += threadTime() - start
	return err
}

// put brings frames into the ring.
func (t *turns) put(frames []source.Frame) error {
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
		if i%64 == 63 {
			if err := t.steer.Flush(ctx); err != nil {
				return err
			}
		}
	}
	return t.steer.Flush(ctx)
}

// firsts gives each the first packets of n flows, in pieces.
func (t *turns) firsts(n int, each func([]source.Frame) error) error {
	payload := finalPayload(100)
	piece := make([]source.Frame, 0, pieceSize)
	for i := 0; i < n; piece = piece[:0] {
		for ; i < n && len(piece) < pieceSize; i++ {
			piece = append(piece, finalFrame(i, false, payload))
		}
		if err := each(piece); err != nil {
			return err
		}
	}
	return nil
}

// open sends one packet of each of n flows, which all live afterwards.
func (t *turns) open(n int) error {
	if err := t.firsts(n, t.piece); err != nil {
		return err
	}
	if got := int(t.worker.table.Live()); got != n {
		return fmt.Errorf("%d flows are alive, want %d", got, n)
	}
	return nil
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
