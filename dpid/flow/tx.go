package flow

import "encoding/binary"

// A transaction is a batch of packets of one ring (or a slice of timer work with
// no packet). Before a record changes, its old bytes go to the undo log; when the
// batch is done its events are published, then the ring's head is stored, then the
// log is void. A kill in between leaves one of three phases:
//
//	idle        nothing to do
//	running     the records are put back; the packets are read again
//	committing  events published (or none to publish): head goes forward to its end;
//	            events not published: as running
//
// A record is saved once per transaction: it carries the number of the last one
// that saved it. Stores to shared memory are plain and rely on the order in which
// this process makes them, which a kill preserves (the kernel stops a thread between
// two instructions, and what it has stored stays stored); only the phase is atomic,
// because it also keeps the compiler from moving the stores around it.
const (
	phaseIdle       = 0
	phaseRunning    = 1
	phaseCommitting = 2
)

// Begin starts a transaction over packets of ring from position head; events is
// the published tail of the event ring. Work that stands outside packets (timers)
// passes the same head and commits with it.
func (t *Table) Begin(ring uint32, head, events uint64) {
	t.tx++
	if t.tx == 0 {
		t.tx = 1 // 0 is the stamp of records that were never saved
	}
	t.put32(ctlTx, t.tx)
	t.put32(ctlUndo, 0)
	t.put32(ctlRing, ring)
	t.put64(ctlHead, head)
	t.put64(ctlEvents, events)
	t.undo = 0
	copy(t.statsUndo(), t.mem[ctlStats:ctlStats+StatsSize])
	t.phase.Store(phaseRunning)
}

// statsUndo is where the counters are saved: behind the log's entries in use they
// would have to move, so they have the place before the records to themselves.
func (t *Table) statsUndo() []byte { return t.mem[ctlStats+StatsSize : ctlStats+2*StatsSize] }

// Stats returns the owner's counters in the slab, u64 words. They are part of the
// transaction.
func (t *Table) Stats() []byte { return t.mem[ctlStats : ctlStats+StatsSize : ctlStats+StatsSize] }

// Room reports whether n more records can be saved in this transaction.
func (t *Table) Room(n int) bool { return t.undo+n <= maxUndo }

// Touch saves the hot line of a record before its first change in the transaction.
func (t *Table) Touch(slot uint32) *Record {
	r := t.record(slot)
	if r.stamp() != t.tx {
		t.save(slot, r, hotSize)
		r.setStamp(t.tx)
	}
	return r
}

// TouchAll saves a whole record: for those that begin or are freed.
func (t *Table) TouchAll(slot uint32) *Record {
	r := t.record(slot)
	t.save(slot, r, RecordSize)
	r.setStamp(t.tx)
	return r
}

func (t *Table) save(slot uint32, r *Record, n int) {
	if t.undo == maxUndo {
		panic("BUG: flow: transaction without room; the caller did not ask Room")
	}
	e := t.mem[undoAt+t.undo*undoEntry:]
	binary.LittleEndian.PutUint32(e[0:], slot)
	binary.LittleEndian.PutUint32(e[4:], uint32(n))
	if n == hotSize {
		*(*[hotSize]byte)(e[16:]) = *(*[hotSize]byte)(r[:])
	} else {
		*(*Record)(e[16:]) = *r
	}
	t.undo++
	t.put32(ctlUndo, uint32(t.undo))
}

// Prepare ends the changes: the transaction is done when publish has made its
// events visible (emitted says whether there are any) and head has been stored.
// Call Commit after both.
func (t *Table) Prepare(headEnd uint64, emitted bool) {
	t.put64(ctlHeadEnd, headEnd)
	e := uint32(0)
	if emitted {
		e = 1
	}
	t.put32(ctlEmitted, e)
	t.phase.Store(phaseCommitting)
}

// Commit ends the transaction: what was ended or replaced in it becomes free.
func (t *Table) Commit() {
	t.phase.Store(phaseIdle)
	for _, s := range t.freed {
		t.setFree(s)
	}
	t.freed = t.freed[:0]
	t.pool.release()
}

// recover puts the slab back to the border of a transaction after a kill. It
// returns the ring whose head must go forward to headEnd, if any.
func (t *Table) recover(events uint64) (ring uint32, headEnd uint64, forward bool) {
	phase := t.phase.Load()
	if phase == phaseCommitting {
		published := t.u32(ctlEmitted) == 0 || events != t.u64(ctlEvents)
		if published {
			ring, headEnd, forward = t.u32(ctlRing), t.u64(ctlHeadEnd), true
		} else {
			phase = phaseRunning
		}
	}
	if phase == phaseRunning {
		n := min(int(t.u32(ctlUndo)), maxUndo)
		for i := n - 1; i >= 0; i-- {
			e := t.mem[undoAt+i*undoEntry:]
			slot, size := binary.LittleEndian.Uint32(e[0:]), binary.LittleEndian.Uint32(e[4:])
			if slot < t.flows && (size == hotSize || size == RecordSize) {
				copy(t.record(slot)[:size], e[16:])
			}
		}
		copy(t.mem[ctlStats:ctlStats+StatsSize], t.statsUndo())
	}
	t.phase.Store(phaseIdle)
	return ring, headEnd, forward
}
