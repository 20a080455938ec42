package worker

import (
	"math"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/pkt"
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
		w.finale(i, ts)
	}
	w.begin(i)
	w.table.SetClock(w.now)
	w.count(cMarks)
	w.commit(i, 1)
	if end {
		w.ended[i] = true
	}
	return 1
}

// tick ends the flows whose time is over and lets the other workers know how far
// this one is. With several rings, time is what the slowest of them has reached.
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
func (w *Worker) finale(i int, ts uint64) {
	w.now = max(w.now, ts)
	w.part.Hints.Pass(math.MaxUint64)
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
	w.settle()
}

// allEnded reports whether every ring has told its end.
func (w *Worker) allEnded() bool {
	for _, e := range w.ended {
		if !e {
			return false
		}
	}
	return len(w.ended) > 0
}

// finished reports whether the capture is over and everything about it was told.
func (w *Worker) finished() bool { return w.set.Offline && w.allEnded() && w.pending.len() == 0 }
