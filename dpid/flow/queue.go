package flow

// queue holds the flows in probation in order of arrival. A flow that leaves stays
// in the queue as a stale entry (its slot is no longer in probation, or is another
// flow by now) and is dropped when the queue comes to it or is full: leaving costs
// nothing on the way of a packet, and memory is bounded by the probation area.
type queue struct {
	ring       []waiting
	head, tail uint32 // free-running
	n          int    // flows in probation
}

type waiting struct{ slot, id uint32 }

func newQueue(limit int) queue {
	n := 64
	for n < 2*limit {
		n *= 2
	}
	return queue{ring: make([]waiting, n)}
}

func (q *queue) at(i uint32) *waiting { return &q.ring[i&uint32(len(q.ring)-1)] }

func (q *queue) push(t *Table, slot uint32, r *Record) {
	if q.tail-q.head == uint32(len(q.ring)) {
		q.compact(t)
	}
	*q.at(q.tail) = waiting{slot: slot, id: uint32(r.ID())}
	q.tail++
	q.n++
}

// compact drops the stale entries. At least half of a full ring is stale: it is
// twice as large as the area.
func (q *queue) compact(t *Table) {
	to := q.head
	for i := q.head; i != q.tail; i++ {
		if e := *q.at(i); q.valid(t, e) {
			*q.at(to) = e
			to++
		}
	}
	q.tail = to
}

func (q *queue) valid(t *Table, e waiting) bool {
	r := t.record(e.slot)
	return r.State() == Probation && uint32(r.ID()) == e.id
}

// front returns the flow that has waited longest.
func (q *queue) front(t *Table) (uint32, bool) {
	for ; q.head != q.tail; q.head++ {
		if e := *q.at(q.head); q.valid(t, e) {
			return e.slot, true
		}
	}
	return 0, false
}
