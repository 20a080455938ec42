package worker

import (
	"time"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/shm/evtring"
)

// snapshots answers consumers that ask for all living flows: one at a time, in
// slices, and only while that consumer keeps up.
type snapshots struct {
	asked   []evtring.ResyncRequest
	running bool
	req     evtring.ResyncRequest
	gen     uint32
	next    uint32
	count   uint64
	stuck   time.Time // since when the consumer has not moved
	at      uint64    // its cursor then
}

// sliceFlows is how many records one slice of a walk looks at.
const sliceFlows = 4096

// snapshot goes on with a snapshot, or begins one that was asked for.
func (w *Worker) snapshot() {
	s := &w.snap
	s.asked = append(s.asked, w.events.ResyncRequests()...)
	if !s.running {
		if len(s.asked) == 0 {
			return
		}
		s.req, s.asked = s.asked[0], s.asked[1:]
		s.running, s.next, s.count, s.stuck = true, 0, 0, time.Time{}
		s.gen++
		w.snapMark(event.SnapBegin)
		w.events.SnapshotBegun()
	}
	if !w.consumerKeepsUp() {
		return
	}
	for done := false; !done; {
		w.begin(0)
		for !done && w.table.Room(slack) {
			s.next, done = w.table.Each(s.next, 1, func(_ uint32, r *flow.Record) {
				if r.State() != flow.Ended && r.Has(flow.Announced) {
					w.emit(event.SnapFlow, r, 0)
					s.count++
				}
			})
			if s.next%sliceFlows == 0 {
				break
			}
		}
		w.commit(0, 0)
		if s.next%sliceFlows == 0 && !done {
			return // the rest in the next rounds: packets come first
		}
	}
	w.snapMark(event.SnapEnd)
	w.events.SnapshotDone()
	s.running = false
}

// consumerKeepsUp reports whether the asking consumer has room for a slice; one
// that has not moved for 5 s is given up, one that left as well.
func (w *Worker) consumerKeepsUp() bool {
	s := &w.snap
	r, ok := w.events.Reader(s.req.Consumer)
	if ok && r.Lag < w.events.Capacity()/4 {
		s.stuck = time.Time{}
		return true
	}
	now := time.Now()
	if ok && (s.stuck.IsZero() || r.Position != s.at) {
		s.stuck, s.at = now, r.Position
		return false
	}
	if !ok || now.Sub(s.stuck) > 5*time.Second {
		w.snapMark(event.SnapAbort)
		s.running = false
	}
	return false
}

// snapMark writes the begin, end or abort of a snapshot.
func (w *Worker) snapMark(t event.Type) {
	b := w.events.Reserve(uint16(t), event.Version, 2, w.now, event.SnapshotSize)
	if b == nil {
		return
	}
	m := event.Snapshot{Generation: w.snap.gen, Request: w.snap.req.Req, Count: w.snap.count, Consumer: w.snap.req.Consumer}
	m.Encode(b)
	w.events.Publish()
}

// statsWalk emits FLOW_STATS of the flows that had packets since the last walk.
type statsWalk struct {
	due     uint64 // packet time, ns
	since   uint64
	next    uint32
	running bool
}

// walkStats goes on with a walk, or begins one when its time has come.
func (w *Worker) walkStats() {
	s := &w.stats
	if w.set.StatsInterval <= 0 {
		return
	}
	if !s.running {
		if w.now < s.due {
			return
		}
		s.running, s.next, s.since = true, 0, s.due-min(s.due, uint64(w.set.StatsInterval))
		s.due = w.now + uint64(w.set.StatsInterval)
	}
	w.begin(0)
	done := false
	for n := 0; n < sliceFlows && !done && w.table.Room(slack); n++ {
		s.next, done = w.table.Each(s.next, 1, func(slot uint32, r *flow.Record) {
			if r.State() == flow.Alive && r.Last() > s.since && r.Has(flow.Announced) && !r.Has(flow.Pending) {
				w.emit(event.FlowStats, w.table.Touch(slot), 0)
			}
		})
	}
	w.commit(0, 0)
	s.running = !done
}
