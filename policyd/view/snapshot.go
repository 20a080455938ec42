package view

import (
	"time"

	"weir/proto/event"
	"weir/proto/flowkey"
)

// Lost says that reports of worker w are missing: the view is stale, and a snapshot
// that was coming in is not whole.
func (v *View[S]) Lost(w int) {
	v.workers[w].stale, v.workers[w].snapshot = true, false
}

// Begin says that a snapshot of worker w begins.
func (v *View[S]) Begin(w int) {
	k := &v.workers[w]
	k.generation++
	k.snapshot = true
}

// Snapshot reports whether a snapshot of worker w is coming in.
func (v *View[S]) Snapshot(w int) bool { return v.workers[w].snapshot }

// Abort says that the snapshot of worker w was given up.
func (v *View[S]) Abort(w int) { v.workers[w].snapshot = false }

// End says that the snapshot of worker w is over, and returns the flows that are
// no longer in the view: those without a report since it began. It does nothing
// and reports false when the snapshot was not seen from its beginning without a loss.
func (v *View[S]) End(w int) (gone []*Flow[S], whole bool) {
	k := &v.workers[w]
	if !k.snapshot {
		return nil, false
	}
	k.snapshot, k.stale = false, false
	for _, f := range k.flows {
		if f.mark != k.generation && !f.orphan {
			gone = append(gone, f)
			k.remove(f)
		}
	}
	return gone, true
}

// Closed says that worker w has ended in good order and all of its events were
// read: what it has not ended itself is over, and returned.
func (v *View[S]) Closed(w int) (gone []*Flow[S]) {
	v.Begin(w)
	k := &v.workers[w]
	for _, f := range k.flows {
		f.orphan = false
	}
	clear(k.orphans)
	k.orphaned = 0
	gone, _ = v.End(w)
	return gone
}

// Attached says that worker w runs with the flow table called slab, with adopted
// flows of its last life in it. Where that is another table than before, all flows of
// w are orphans until deadline: the worker knows nothing of them and will learn those
// that live again under new ids. Attached reports whether the view of w is stale now.
func (v *View[S]) Attached(w int, slab uint64, adopted uint32, deadline time.Time) (stale bool) {
	k := &v.workers[w]
	old := k.slab
	k.slab = slab
	if old == slab || old == 0 && adopted > 0 {
		return k.stale // the table goes on: no flow is lost, no snapshot owed
	}
	v.Lost(w)
	if k.orphans == nil {
		k.orphans = map[flowkey.Key]*Flow[S]{}
	}
	for _, f := range k.flows {
		if !f.orphan {
			f.orphan, f.deadline = true, deadline
			k.orphaned++
			k.orphans[key(f.Flow)] = f
		}
	}
	return true
}

// Relearnt returns the orphan that f, a classified flow of worker w, replaces, and
// takes it out of the view; nil when there is none.
func (v *View[S]) Relearnt(w int, f event.Flow) *Flow[S] {
	k := &v.workers[w]
	if len(k.orphans) == 0 {
		return nil
	}
	old := k.orphans[key(f)]
	if old == nil || old.ID() == f.ID() {
		return nil
	}
	k.remove(old)
	return old
}

// Expire takes the orphans out of the view whose grace is over at now.
func (v *View[S]) Expire(now time.Time) (gone []*Flow[S]) {
	for i := range v.workers {
		k := &v.workers[i]
		if k.orphaned == 0 {
			continue
		}
		for _, f := range k.flows {
			if f.orphan && now.After(f.deadline) {
				k.remove(f)
				gone = append(gone, f)
			}
		}
	}
	return gone
}

// key is the canonical 7-tuple of a flow.
func key(f event.Flow) (k flowkey.Key) {
	client, server := f.ClientAddr().As16(), f.ServerAddr().As16()
	k.Set(&client, &server, f.ClientPort(), f.ServerPort())
	k.SetInterfaces(f.In(), f.Out())
	k.VLAN, k.Proto, k.Version = f.VLAN(), f.IPProto(), f.IPVersion()
	return k
}
