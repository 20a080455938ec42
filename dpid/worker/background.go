package worker

import (
	"time"

	"weir/dpid/flow"
	"weir/proto/event"
)

// Walks over the whole table stand back behind packets: they work for a slice of
// time, and while there are packets they leave four times as long to those.
const (
	sliceTime  = 2 * time.Millisecond
	sliceHeld  = 200 * time.Microsecond // when packets wait for the worker: the walk is what they wait for
	sliceFlows = 64                     // records between two looks at the room in the event ring
)

// background goes on with the walks over the table. busy says that there are packets.
func (w *Worker) background(now time.Time, busy bool) {
	if !w.snap.running && !w.stats.running || busy && now.Before(w.slice) {
		return
	}
	slice := sliceTime
	if w.held.rings != nil {
		slice = sliceHeld
	}
	until := now.Add(slice)
	w.snapshot(until)
	w.walkStats(until)
	w.slice = time.Now().Add(4 * slice)
}

// statsWalk emits FLOW_STATS of the flows that had packets since the last walk.
type statsWalk struct {
	due     uint64 // packet time, ns
	since   uint64
	next    uint32
	running bool
}

// startStats begins a walk when its time has come.
func (w *Worker) startStats() {
	s := &w.stats
	if w.set.StatsInterval <= 0 || s.running || w.now < s.due {
		return
	}
	s.running, s.next, s.since = true, 0, s.due-min(s.due, uint64(w.set.StatsInterval))
	s.due = w.now + uint64(w.set.StatsInterval)
}

// walkStats goes on with the walk that is running until the time given.
func (w *Worker) walkStats(until time.Time) {
	s := &w.stats
	for s.running && w.mayWrite() {
		w.begin(0)
		done := false
		for n := 0; n < sliceFlows && !done && w.room(); n++ {
			s.next, done = w.table.Each(s.next, 1, func(slot uint32, r *flow.Record) {
				if r.State() == flow.Alive && r.Last() > s.since && r.Has(flow.Announced) && !r.Has(flow.Pending) {
					w.emit(event.FlowStats, w.table.Touch(slot), 0)
				}
			})
		}
		w.commit(0, 0)
		s.running = !done
		if !time.Now().Before(until) {
			return
		}
	}
}

// room reports whether the transaction may take one more packet, timer or request:
// its records can be undone, and its events stay unpublished until it is over.
func (w *Worker) room() bool { return w.table.Room(slack) && w.uncommitted() < w.most }

// uncommitted is how many bytes of events nobody sees yet.
func (w *Worker) uncommitted() uint64 { return w.events.Next() - w.events.Tail() }

// patience is how long a transaction waits for slow readers before the worker looks
// at its signals.
const patience = 100 * time.Millisecond

// mayWrite reports whether a transaction may begin that writes events: offline, when
// the readers have left room for them.
func (w *Worker) mayWrite() bool { return !w.set.Offline || w.events.WaitRoom(patience) }
