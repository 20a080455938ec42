package target

import (
	"container/heap"
	"time"

	"weir/proto/config"
)

// retryFull is how long a wish waits when its set is full.
const retryFull = 5 * time.Second

// Changes returns what is to be done in the kernel at now, at most limit changes. With
// hold nothing is deleted: somebody whom we do not know of may want it; what is to
// go waits. Nothing is assumed to be made before Done says so, so that Changes
// may be called again after a failure.
func (l *Ledger) Changes(now time.Time, hold bool, limit int) []Change {
	l.now = now
	for len(l.due) > 0 && !l.due[0].due.After(now) {
		e := heap.Pop(&l.due).(*entry)
		e.due, e.wait = time.Time{}, false
		l.queue(e)
	}
	if !hold {
		l.held = l.unpark(l.held)
	}
	var out []Change
	kept := l.dirty[:0]
	room := map[*book]int{}
	for i, e := range l.dirty {
		if len(out) >= limit {
			kept = append(kept, l.dirty[i:]...)
			break
		}
		c, ok := l.change(e, hold, room)
		if !ok {
			e.queued = false
			continue
		}
		out = append(out, c)
		kept = append(kept, e)
	}
	clear(l.dirty[len(kept):])
	l.dirty = kept
	return out
}

// change says what e needs; not ok: nothing, or nothing now.
func (l *Ledger) change(e *entry, hold bool, room map[*book]int) (c Change, ok bool) {
	c = Change{Set: e.book.set, Key: e.key, Rule: e.rule, entry: e}
	if e.book.set.timed {
		c.Timeout = e.timeout
	}
	if e.kernel && !e.expires.IsZero() && !e.expires.After(l.now) {
		e.kernel, e.last, e.expires = false, false, time.Time{} // the kernel dropped it
		e.book.inKernel--
	}
	switch {
	case e.book.suspended:
		e.book.waiting = park(e.book.waiting, e)
		return c, false
	case e.foreign:
		if e.refs == 0 {
			l.forget(e)
		}
		return c, false
	case !e.kernel && (e.refs > 0 || e.last):
		c.Op = Add
		return c, l.fits(e, room)
	case !e.kernel:
		l.forget(e)
		return c, false
	case e.refs > 0:
		c.Op = Refresh
		return c, l.refresh(e, e.timeout/2)
	case e.vouched && !e.expires.IsZero():
		c.Op = Refresh
		return c, e.last && l.refresh(e, e.timeout/8*7)
	case hold:
		l.held = park(l.held, e)
		return c, false
	}
	c.Op = Delete
	return c, true
}

// fits reports whether e's set has room for it. If not, e is tried again later.
func (l *Ledger) fits(e *entry, room map[*book]int) bool {
	if e.book.inKernel+room[e.book] >= e.book.set.Size {
		e.book.full++
		e.wait = true
		l.schedule(e, l.now.Add(retryFull))
		return false
	}
	room[e.book]++
	return true
}

func (l *Ledger) forget(e *entry) {
	l.schedule(e, time.Time{})
	if e.book.entries[e.key] == e {
		delete(e.book.entries, e.key)
	}
}

// refresh reports whether e is in its set with less than left to live, or with no
// end though it should have one. If not, e is looked at again when it is.
func (l *Ledger) refresh(e *entry, left time.Duration) bool {
	if !e.book.set.timed || e.timeout == 0 {
		return false
	}
	if e.expires.IsZero() || e.expires.Sub(l.now) < left {
		return true
	}
	e.last = false
	l.schedule(e, e.lookAt())
	return false
}

// lookAt returns when e needs a change for the sake of its timeout.
func (e *entry) lookAt() time.Time {
	switch {
	case e.expires.IsZero():
		return time.Time{}
	case e.refs > 0:
		return e.expires.Add(-e.timeout / 2)
	}
	return e.expires
}

// Done notes that changes were made at the time their Changes was called for.
// Their elements stay queued: Changes finds that nothing is left to do, or that
// they are wanted again.
func (l *Ledger) Done(changes []Change) {
	for _, c := range changes {
		e := c.entry
		switch {
		case c.Op == Delete:
			e.kernel, e.expires = false, time.Time{}
			e.book.inKernel--
		case !e.kernel:
			e.kernel = true
			e.book.inKernel++
		}
		if c.Op != Delete && c.Timeout > 0 {
			e.expires = l.now.Add(c.Timeout)
		}
		e.last = false
		l.schedule(e, e.lookAt())
	}
}

// Found is an element that a backend found in the kernel.
type Found struct {
	Key     string
	Expires time.Duration // left to live; 0: for ever
	Ours    bool          // it bears our mark
	Rule    string        // whom it says it is for
}

// Reconcile compares the ledger with what was found in set number set at now.
// What is wanted and missing will be added. What is there and bears our mark, but
// is not known, will be deleted where elements leave with their flow, or when
// known reports that its rule is gone; elsewhere it lives out its timeout.
func (l *Ledger) Reconcile(set int, found []Found, now time.Time, known func(rule string) bool) {
	b := l.sets[set]
	before := make(map[*entry]bool, len(b.entries))
	for _, e := range b.entries {
		before[e] = e.kernel
		e.kernel, e.foreign, e.expires = false, false, time.Time{}
	}
	b.inKernel = len(found)
	for _, f := range found {
		e := b.entries[f.Key]
		if e == nil {
			if !f.Ours {
				continue
			}
			e = &entry{book: b, key: f.Key, rule: f.Rule, timeout: b.set.Timeout}
			b.entries[f.Key] = e
		}
		e.kernel, e.foreign = true, !f.Ours
		if f.Expires > 0 {
			e.expires = now.Add(f.Expires)
		}
		if !before[e] { // nobody knows who wanted it
			e.vouched = b.set.Remove == config.RemoveTimeout && known(f.Rule)
		}
	}
	for _, e := range b.entries {
		l.schedule(e, e.lookAt())
		l.queue(e)
	}
}
