package worker

import (
	"math"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/pkt"
	"weir/shm/layout"
)

// mark handles a tick or the end of a capture, the first descriptor of ring i. The
// work it brings may take several transactions; the descriptor is consumed by the
// last, so that a kill in between repeats what is left.
func (w *Worker) mark(i int, d pkt.Descriptor) int {
	end := d.Kind() == pkt.KindEOF
	ts := d.TS()
	if (!end || ts > w.now) && !w.tick(i, ts) {
		return 0
	}
	if end {
		w.now = max(w.now, ts)
		if w.othersEnded(i) && !w.finale(i) {
			return 0
		}
	}
	w.begin(i)
	w.table.SetClock(w.now)
	w.count(cMarks)
	w.commit(i, 1)
	w.ended[i] = end
	return 1
}

// tick ends the flows whose time is over and lets the other workers know how far
// this one is. Several rings have one clock, that of the host: the latest counts. It
// returns false when readers left no room for all ends.
func (w *Worker) tick(i int, ts uint64) bool {
	w.now = max(w.now, ts)
	for more := true; more; {
		if !w.mayWrite() {
			return false
		}
		w.begin(i)
		for more && w.room() {
			slot, ok := w.table.Expired(w.now)
			if !ok {
				more = false
				break
			}
			w.end(slot, w.table.Record(slot), event.EndIdle)
		}
		w.commit(i, 0)
	}
	w.part.Hints.Pass(w.now)
	w.settle()
	return true
}

// finale ends all flows at the end of a capture. Those whose time was over are
// idle, the others are ended by the end. It returns false when readers left no room
// for all ends; what is left, the next call does.
func (w *Worker) finale(i int) bool {
	for from, done := uint32(0), false; !done; {
		if !w.mayWrite() {
			return false
		}
		w.begin(i)
		for !done && w.room() {
			from, done = w.table.Each(from, 1, func(slot uint32, r *flow.Record) {
				if r.State() == flow.Ended {
					return
				}
				reason := event.EndShutdown
				if w.deadline(r) <= w.now {
					reason = event.EndIdle
				}
				w.end(slot, r, reason)
			})
		}
		w.commit(i, 0)
	}
	return true
}

// allEnded reports whether every ring has told its end.
func (w *Worker) allEnded() bool { return w.othersEnded(-1) }

// othersEnded reports whether every ring but i has told its end. One that an earlier
// process of this worker read to its end tells nothing more: its capd left, and it is
// empty.
func (w *Worker) othersEnded(i int) bool {
	for j, r := range w.part.Rings {
		if j != i && !w.ended[j] && (r.ProducerState() != layout.StateClosed || r.Backlog() > 0) {
			return false
		}
	}
	return len(w.ended) > 0
}

// finished reports whether the capture is over and everything about it was told. It
// lets the other workers know that no name will come from this one any more.
func (w *Worker) finished() bool {
	if !w.set.Offline || !w.allEnded() {
		return false
	}
	w.part.Hints.Pass(math.MaxUint64)
	w.settle()
	return w.pending.len() == 0
}
