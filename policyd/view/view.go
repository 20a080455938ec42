// Package view is the merged picture of the living flows of all workers, as their
// events and snapshots tell it.
//
// It decides nothing about flows: what is to be done about one hangs on the state
// that the caller keeps with it. It does no I/O and has no clock.
//
// The invariants: of two reports of a flow the higher revision wins, in whatever
// order they come and however often; a worker can only speak of its own flows; no
// flow is given up before a whole snapshot was seen without it, and never one that
// had an event since that snapshot began.
package view

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"weir/proto/event"
	"weir/proto/flowkey"
)

// Flow is one living flow and what the caller, S, keeps with it.
type Flow[S any] struct {
	event.Flow        // newest payload, a private copy
	TS         uint64 // time of its event, ns
	State      S

	// Changed is what reports changed since the caller last cleared it.
	Changed Parts

	mark     uint64    // generation of the newest report
	deadline time.Time // of an orphan
	orphan   bool
}

// Orphan reports whether the flow's worker lost its table: the flow lives on until
// it is learnt again or its grace ends.
func (f *Flow[S]) Orphan() bool { return f.orphan }

// Change says what a report did to a flow.
type Change uint8

// Changes.
const (
	None    Change = iota // nothing new in it
	Added                 // the flow was not known
	Updated               // the report is newer than what was known
	Ended                 // the flow is over and no longer in the view
)

// ErrFull means that the view holds as much of the worker as it may.
var ErrFull = errors.New("view is full")

// flowBytes is what a flow may take on average. The worker keeps its own flows in
// less; one that says more than it can know shall not eat our memory.
const flowBytes = 768

// View is the picture. It is not safe for concurrent use.
type View[S any] struct {
	workers []worker[S]
	max     int
	ended   *Flow[S]   // what Merge returned last, when it was Ended: free by now
	free    []*Flow[S] // for new flows, so that their coming and going leaves no garbage
}

type worker[S any] struct {
	flows      map[uint64]*Flow[S]
	bytes      int                      // of all payloads
	orphans    map[flowkey.Key]*Flow[S] // the newest of each key
	orphaned   int                      // how many of flows are orphans
	generation uint64
	snapshot   bool // between begin and end
	stale      bool
	slab       uint64 // id of its flow table, 0 unknown
}

// New returns the empty view of n workers with at most max flows of usual size each. All workers
// are stale until their first snapshot.
func New[S any](n, max int) *View[S] {
	v := &View[S]{workers: make([]worker[S], n), max: max}
	for i := range v.workers {
		v.workers[i] = worker[S]{flows: map[uint64]*Flow[S]{}, stale: true, generation: 1}
	}
	return v
}

// Merge takes a report of a worker in and returns the flow it is about, which for
// Ended is no longer in the view. f is copied. A report of a flow that is not the
// worker's own is an error; ErrFull means that a new flow was not taken in. A flow
// that Ended is the caller's until the next call.
func (v *View[S]) Merge(w int, typ event.Type, ts uint64, f event.Flow) (*Flow[S], Change, error) {
	if owner := int(f.ID() >> 56); owner != w {
		return nil, None, fmt.Errorf("worker %d reports flow %016x of worker %d", w, f.ID(), owner)
	}
	v.recycle()
	k := &v.workers[w]
	old := k.flows[f.ID()]
	if typ == event.FlowEnd {
		v.ended = v.end(k, old, ts, f)
		return v.ended, Ended, nil
	}
	if old == nil {
		if len(k.flows) >= v.max || k.bytes+len(f) > v.max*flowBytes {
			return nil, None, fmt.Errorf("worker %d: %d flows in %d bytes: %w", w, len(k.flows), k.bytes, ErrFull)
		}
		n := v.take()
		n.mark = k.generation
		k.flows[f.ID()] = n
		k.keep(n, ts, f)
		return n, Added, nil
	}
	old.mark = k.generation
	switch {
	case f.Rev() <= old.Rev():
		return old, None, nil
	case len(f) > cap(old.Flow) && k.bytes+len(f) > v.max*flowBytes:
		return old, None, fmt.Errorf("worker %d: %d flows in %d bytes: %w", w, len(k.flows), k.bytes, ErrFull)
	}
	k.keep(old, ts, f)
	return old, Updated, nil
}

// keep makes f the newest payload of n, a flow of the view.
func (k *worker[S]) keep(n *Flow[S], ts uint64, f event.Flow) {
	held := cap(n.Flow) * min(len(n.Flow), 1) // the room of a recycled flow is not counted yet
	n.take(ts, f)
	k.bytes += cap(n.Flow) - held
}

// end takes a flow out. One that was not known is returned all the same: what its
// earlier life left in the kernel may have to go.
func (v *View[S]) end(k *worker[S], old *Flow[S], ts uint64, f event.Flow) *Flow[S] {
	if old == nil {
		old = v.take()
		old.take(ts, f)
		return old
	}
	k.remove(old)
	if f.Rev() >= old.Rev() {
		old.take(ts, f)
	}
	return old
}

func (k *worker[S]) remove(f *Flow[S]) {
	delete(k.flows, f.ID())
	k.bytes -= cap(f.Flow)
	if !f.orphan {
		return
	}
	k.orphaned--
	if at := key(f.Flow); k.orphans[at] == f {
		delete(k.orphans, at)
	}
}

// take makes p the payload of f.
func (f *Flow[S]) take(ts uint64, p event.Flow) {
	f.Changed |= differ(f.Flow, p)
	f.Flow, f.TS = append(f.Flow[:0], p...), ts
}

// Find returns a flow by its id, nil when it is not in the view.
func (v *View[S]) Find(id uint64) *Flow[S] {
	if w := int(id >> 56); w < len(v.workers) {
		return v.workers[w].flows[id]
	}
	return nil
}

// All yields every flow, in no order. The view must not be changed meanwhile.
func (v *View[S]) All() iter.Seq[*Flow[S]] {
	return func(yield func(*Flow[S]) bool) {
		for i := range v.workers {
			for _, f := range v.workers[i].flows {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// Len returns how many flows of worker w are in the view.
func (v *View[S]) Len(w int) int { return len(v.workers[w].flows) }

// Stale reports whether the view of worker w may lack flows.
func (v *View[S]) Stale(w int) bool { return v.workers[w].stale }

// AnyStale reports whether the view of some worker may lack flows.
func (v *View[S]) AnyStale() bool {
	for i := range v.workers {
		if v.workers[i].stale {
			return true
		}
	}
	return false
}
