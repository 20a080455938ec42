package target

import (
	"container/heap"
	"time"

	"weir/proto/config"
)

// Ledger keeps, for each set, which elements are wanted and which are believed to
// be in the kernel. It does no I/O: the caller takes Changes to a backend and says
// with Done that they are made. It is not safe for concurrent use.
type Ledger struct {
	sets  []*book
	dirty []*entry // entries that may need a change, each once
	held  []*entry // entries to be deleted, when nothing is on hold any more
	due   dueHeap
	now   time.Time
}

type book struct {
	set      *Set
	entries  map[string]*entry
	inKernel int
	full     uint64 // wishes refused because the set had its size

	suspended bool     // no changes for now: the set cannot be filled
	waiting   []*entry // entries to be looked at when it can
}

// entry is one element that is wanted, in the kernel, or both.
type entry struct {
	book    *book
	key     string
	rule    string // the first that wanted it, for people
	timeout time.Duration
	refs    int       // flows that want it
	kernel  bool      // believed to be in the kernel
	vouched bool      // a flow wanted it to its end, or may have: it lives out its timeout
	last    bool      // its last flow just ended: one more full timeout is due
	foreign bool      // put there by somebody else
	expires time.Time // when the kernel drops it; zero: never
	due     time.Time // when to look at it again; zero: never
	at      int       // index in the heap + 1
	queued  bool      // in dirty
	parked  bool      // in held, or waiting in its book
	wait    bool      // the set was full: not before due
}

// Op is what a change does.
type Op uint8

// Operations.
const (
	Add     Op = iota // put an element into a set
	Refresh           // begin the timeout of an element anew
	Delete            // take an element out
)

// Change is one thing to do in the kernel.
type Change struct {
	Op      Op
	Set     *Set
	Key     string
	Timeout time.Duration // 0: none
	Rule    string        // who wants it
	entry   *entry
}

// NewLedger returns the ledger of sets, all empty.
func NewLedger(sets []*Set) *Ledger {
	l := &Ledger{}
	for _, s := range sets {
		l.sets = append(l.sets, &book{set: s, entries: map[string]*entry{}})
	}
	return l
}

// Element is a place in the ledger that a flow holds on to.
type Element struct{ e *entry }

// Set returns the element's set.
func (x Element) Set() *Set { return x.e.book.set }

// Key returns the element's key.
func (x Element) Key() string { return x.e.key }

// InKernel reports whether the element is believed to be in the kernel.
func (x Element) InKernel() bool { return x.e.kernel }

// Expires returns when the kernel drops the element unless it is refreshed; the
// zero time for never.
func (x Element) Expires() time.Time { return x.e.expires }

// Want notes that one more flow wants an element of set number set. timeout 0 means
// the set's own. The caller keeps what is returned for Release.
func (l *Ledger) Want(set int, key []byte, timeout time.Duration, rule string) Element {
	b := l.sets[set]
	e := b.entries[string(key)]
	if e == nil {
		e = &entry{book: b, key: string(key)}
		b.entries[e.key] = e
	}
	if timeout == 0 {
		timeout = b.set.Timeout
	}
	if e.rule == "" || e.refs == 0 {
		e.rule = rule
	}
	e.refs++
	if timeout > e.timeout || !e.kernel || e.refs == 1 {
		e.timeout = max(timeout, e.timeout)
		l.queue(e)
	}
	return Element{e}
}

// Release notes that a flow no longer wants an element: because it ended, or
// because the rules no longer match it. In sets whose elements leave by timeout
// only the latter takes the element out at once, and only when no flow that
// ended had wanted it too.
func (l *Ledger) Release(x Element, ended bool) {
	e := x.e
	if e.refs--; e.refs < 0 {
		panic("BUG: element released more often than wanted")
	}
	if ended && e.book.set.Remove == config.RemoveTimeout {
		e.vouched, e.last = true, e.refs == 0
	}
	l.queue(e)
}

func (l *Ledger) queue(e *entry) {
	if !e.queued && !e.wait {
		e.queued = true
		l.dirty = append(l.dirty, e)
	}
}

// schedule has e looked at again at due, or only when it is queued when due is zero.
func (l *Ledger) schedule(e *entry, due time.Time) {
	e.due = due
	switch {
	case e.at == 0 && !e.due.IsZero():
		heap.Push(&l.due, e)
	case e.at != 0 && e.due.IsZero():
		heap.Remove(&l.due, e.at-1)
	case e.at != 0:
		heap.Fix(&l.due, e.at-1)
	}
}

// Count returns how many elements of set number set are wanted and how many are
// believed to be in the kernel, and how many wishes its size refused.
func (l *Ledger) Count(set int) (wanted, kernel int, full uint64) {
	b := l.sets[set]
	for _, e := range b.entries {
		if e.refs > 0 {
			wanted++
		}
	}
	return wanted, b.inKernel, b.full
}

// Find returns the element with this key in set number set.
func (l *Ledger) Find(set int, key string) (Element, bool) {
	e, ok := l.sets[set].entries[key]
	return Element{e}, ok
}

// Next returns when the next element is due for a change, the zero time for never.
func (l *Ledger) Next() time.Time {
	if len(l.due) == 0 {
		return time.Time{}
	}
	return l.due[0].due
}

// Suspend holds back all changes of set number set, or lets them go.
func (l *Ledger) Suspend(set int, yes bool) {
	b := l.sets[set]
	if b.suspended = yes; !yes {
		b.waiting = l.unpark(b.waiting)
	}
}

// park puts e aside; what happens to it meanwhile queues it all the same.
func park(list []*entry, e *entry) []*entry {
	if e.parked {
		return list
	}
	e.parked = true
	return append(list, e)
}

// unpark queues all entries of list and returns it empty.
func (l *Ledger) unpark(list []*entry) []*entry {
	for _, e := range list {
		e.parked = false
		l.queue(e)
	}
	clear(list)
	return list[:0]
}

// Suspended reports whether the changes of set number set are held back.
func (l *Ledger) Suspended(set int) bool { return l.sets[set].suspended }

// Pending returns how many elements may need a change.
func (l *Ledger) Pending() int { return len(l.dirty) }

// dueHeap orders entries by their due time.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i+1, j+1
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	*h = append(*h, e)
	e.at = len(*h)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.at = 0
	return e
}
