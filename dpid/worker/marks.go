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
	if !end || ts > w.now {
		w.tick(i, ts)
	}
	if end {
		w.ended[i] = true
		w.now = max(w.now, ts)
		if w.allEnded() {
			w.finale(i)
		}
	}
	w.begin(i)
	w.table.SetClock(w.now)
	w.count(cMarks)
	w.commit(i, 1)
	return 1
}

// tick ends the flows whose time is over and lets the other workers know how far
// this one is. Several rings have one clock, that of the host: the latest counts.
func (w *Worker) tick(i int, ts uint64) {
	w.now = max(w.now, ts)
	for more := true; more; {
		w.begin(i)
		for more && w.table.Room(slack) {
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
}

// finale ends all flows at the end of a capture. Those whose time was over are
// idle, the others are ended by the end.
func (w *Worker) finale(i int) {
	for from, done := uint32(0), false; !done; {
		w.begin(i)
		for !done && w.table.Room(slack) {
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
}

// allEnded reports whether every ring has told its end. One that an earlier process
// of this worker read to its end tells nothing more: its capd left, and it is empty.
func (w *Worker) allEnded() bool {
	for i, r := range w.part.Rings {
		if !w.ended[i] && (r.ProducerState() != layout.StateClosed || r.Backlog() > 0) {
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
