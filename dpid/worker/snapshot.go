package worker

import (
	"slices"
	"time"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
)

// snapshots answers consumers that ask for all living flows: one at a time, in
// slices, and only while that consumer keeps up. A walk changes no record, so it
// stands between transactions and needs none.
type snapshots struct {
	asked   []evtring.ResyncRequest // at most one of each consumer
	running bool
	req     evtring.ResyncRequest
	gen     uint32
	next    uint32
	count   uint64
	stuck   time.Time // since when the consumer has not moved
	at      uint64    // its cursor then
}

// giveUp is how long a consumer that asked for a snapshot may stand still.
const giveUp = 5 * time.Second

// requests notes who asks for a snapshot. Who asks again was lapped, or restarted:
// what it was being told is of no use to it.
func (w *Worker) requests() {
	s := &w.snap
	for _, r := range w.events.ResyncRequests() {
		if s.running && s.req.Consumer == r.Consumer {
			w.snapEnd(event.SnapAbort)
		}
		s.asked = slices.DeleteFunc(s.asked, func(o evtring.ResyncRequest) bool { return o.Consumer == r.Consumer })
		s.asked = append(s.asked, r)
	}
	if s.running || len(s.asked) == 0 {
		return
	}
	s.req, s.asked = s.asked[0], s.asked[1:]
	s.running, s.next, s.count, s.stuck = true, 0, 0, time.Time{}
	s.gen++
	w.snapMark(event.SnapBegin)
	w.events.SnapshotBegun()
}

// snapshot goes on with the snapshot that is running until the time given.
func (w *Worker) snapshot(until time.Time) {
	s := &w.snap
	for s.running && w.consumerKeepsUp() {
		done := false
		for !done && w.uncommitted() < w.most {
			s.next, done = w.table.Each(s.next, sliceFlows, func(_ uint32, r *flow.Record) {
				if r.State() != flow.Ended && r.Has(flow.Announced) {
					w.emit(event.SnapFlow, r, 0)
					s.count++
				}
			})
		}
		w.events.Publish()
		if done {
			w.snapEnd(event.SnapEnd)
			w.events.SnapshotDone()
		}
		if !time.Now().Before(until) {
			return
		}
	}
}

// consumerKeepsUp reports whether the asking consumer has room for a slice; one that
// left or has not moved for giveUp is given up.
func (w *Worker) consumerKeepsUp() bool {
	s := &w.snap
	r, ok := w.events.Reader(s.req.Consumer)
	if !ok || r.State == layout.StateClosed {
		w.snapEnd(event.SnapAbort)
		return false
	}
	if r.Lag < w.events.Capacity()/4 {
		s.stuck = time.Time{}
		return w.mayWrite()
	}
	now := time.Now()
	if s.stuck.IsZero() || r.Position != s.at {
		s.stuck, s.at = now, r.Position
		return false
	}
	if now.Sub(s.stuck) > giveUp {
		w.snapEnd(event.SnapAbort)
	}
	return false
}

// snapEnd ends the running snapshot.
func (w *Worker) snapEnd(t event.Type) {
	w.snapMark(t)
	w.snap.running = false
}

// snapMark writes the begin, end or abort of a snapshot.
func (w *Worker) snapMark(t event.Type) {
	b := w.events.Reserve(uint16(t), event.Version, evtring.FlagSnapshot, w.now, event.SnapshotSize)
	if b == nil {
		return
	}
	m := event.Snapshot{Generation: w.snap.gen, Request: w.snap.req.Req, Count: w.snap.count, Consumer: w.snap.req.Consumer}
	m.Encode(b)
	w.events.Publish()
}
