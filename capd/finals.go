package main

import (
	"errors"
	"log/slog"

	"weir/shm/hashset"
	"weir/shm/layout"
)

// finals are the sets of final flows of all workers, as one capture thread sees them.
// Where there is none, packets go with all of their bytes.
type finals struct {
	root  layout.Root
	flows int // of each worker at most
	tag   uint32
	log   *slog.Logger
	sets  []*hashset.Reader // by worker; nil: none
	said  []bool            // by worker: what is wrong with the file
}

func newFinals(b *base) *finals {
	n := b.cfg.Workers.Count
	return &finals{
		root: b.root, flows: b.cfg.Flow.MaxFlows, tag: b.tag, log: b.log,
		sets: make([]*hashset.Reader, n), said: make([]bool, n),
	}
}

// Final implements steer.Finals. Precondition: faults panic, as in pktring.Guard.
func (f *finals) Final(w int, lo, hi uint64) bool {
	if f.sets[w] == nil {
		return false
	}
	defer f.survive(w) // some 3 ns: the packet at hand is half steered, so nobody further out could go on
	return f.sets[w].Has(lo, hi)
}

// survive is deferred: a worker that takes away the memory of its set must not end the
// capture. The flow at hand is not final, then.
func (f *finals) survive(w int) {
	r := recover()
	if r == nil {
		return
	}
	if !f.sets[w].Map().Lost(r) {
		panic(r) // a bug, or the loss of a ring
	}
	f.drop(w)
}

// drop lets the set of worker w go.
func (f *finals) drop(w int) {
	_ = f.sets[w].Close() // it was read only
	f.sets[w] = nil
}

// look opens what is there now and lets go what was replaced. It costs some system
// calls.
func (f *finals) look() {
	for w := range f.sets {
		if r := f.sets[w]; r != nil {
			if !r.Replaced() {
				continue
			}
			f.drop(w)
		}
		r, err := hashset.Open(f.root.Final(w), f.flows, f.tag)
		switch {
		case err == nil:
			f.sets[w], f.said[w] = r, false
		case errors.Is(err, layout.ErrAwait):
		case !f.said[w]:
			f.said[w] = true
			f.log.Warn("packets of final flows go with their bytes", "worker", w, "error", err)
		}
	}
}

func (f *finals) close() {
	for w, r := range f.sets {
		if r != nil {
			f.drop(w)
		}
	}
}
