package worker

import "weir/proto/event"

// makeRoom sees to it that a batch finds a free record for each of its packets: a
// record that is freed can be used only after its transaction, so the table is kept
// from getting full rather than emptied when it is.
func (w *Worker) makeRoom(i int) {
	for w.table.Cap()-w.table.Live() < batchSize {
		before := w.table.Live()
		w.begin(i)
		for w.table.Cap()-w.table.Live() < 2*batchSize && w.room() {
			if !w.evict() && !w.settleOne(true) {
				break
			}
		}
		w.commit(i, 0)
		if w.table.Live() == before {
			return
		}
	}
}

// evict ends the least valuable flow, false when there is none. Needs Room(slack).
func (w *Worker) evict() bool {
	slot, ok := w.table.Victim()
	if !ok {
		return false
	}
	r := w.table.Touch(slot)
	w.count(cEvicted)
	w.endNow(slot, r, event.EndEvicted)
	return true
}
