// Package feed reads the event rings of all workers in one loop and hands their
// events to a handler.
//
// It knows rings, not flows: what an event means is the handler's business. It
// waits for rings that are not there yet, follows a ring that is replaced, and
// survives one whose memory is lost.
//
// The invariant: a cursor is stored only after the handler has said that everything
// up to it is applied. Whoever kills the process has events delivered again, never
// lost; where events are missing all the same, the handler is told before it gets the
// next one.
package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/shm/evtring"
	"weir/shm/layout"
)

// Reasons for asking a worker for a snapshot; they show up in its cursor file.
const (
	ReasonStart   uint32 = 1 // this process knows nothing yet
	ReasonLost    uint32 = 2 // events were lost
	ReasonTable   uint32 = 3 // the worker has another flow table
	ReasonRetry   uint32 = 4 // the snapshot asked for did not come, or not whole
	ReasonRequest uint32 = 5 // somebody asked
)

const (
	batch     = 512                    // events of one ring before the others have their turn
	tickEvery = 100 * time.Millisecond // housekeeping
	sleepMax  = 10 * time.Millisecond
)

// Handler takes events. Its methods are called from the loop only.
type Handler interface {
	// Attached says that the ring of worker w is being read from now on. Unless it
	// was resumed where this consumer left it, events before are missing.
	Attached(w int, resumed bool)
	// Event hands over one event. The payload is valid until it returns.
	Event(w int, r *evtring.Record)
	// Lost says that events are missing; n is 0 when their number is not known.
	Lost(w int, n uint64)
	// Closed says that the worker has ended in good order and that all of its
	// events were handed over. It is called when draining only.
	Closed(w int)
	// Commit applies everything handed over so far; then the cursors move. It is
	// called after each batch, and every 100 ms without one. An error ends the loop.
	Commit() error
}

// Feed is the loop. Create it with New.
type Feed struct {
	root  layout.Root
	name  string
	log   *slog.Logger
	rings []*ring
	calls chan func()
	next  time.Time // of the next tick
	beat  func()
	calm  time.Duration
	busy  time.Time // events were read last
}

// New returns a feed of the event rings of workers 0 to n-1 under root. name is
// the consumer's: it has a cursor of its own in each ring.
func New(root layout.Root, name string, n int, log *slog.Logger) *Feed {
	f := &Feed{root: root, name: name, log: log, calls: make(chan func())}
	for w := range n {
		f.rings = append(f.rings, &ring{worker: w, state: "waiting for the ring"})
	}
	return f
}

// OnBeat has fn called with every turn of the loop, for a watchdog.
func (f *Feed) OnBeat(fn func()) { f.beat = fn }

// Calm has events that come one by one read together: the loop looks for more no sooner
// than d after the last. To be woken costs the worker more than to write an event.
func (f *Feed) Calm(d time.Duration) { f.calm = d }

// Do runs fn in the loop and returns when it has run. It reports false when ctx
// ended first.
func (f *Feed) Do(ctx context.Context, fn func()) bool {
	done := make(chan struct{})
	select {
	case f.calls <- func() { fn(); close(done) }:
	case <-ctx.Done():
		return false
	}
	<-done
	return true
}

// Run reads until ctx ends. With drain it returns nil when every worker has ended in
// good order and all of its events are applied. Whatever was handed over is
// committed before it returns, unless committing failed.
func (f *Feed) Run(ctx context.Context, h Handler, drain bool) error {
	defer f.close()
	for {
		n, err := f.turn(h)
		if err != nil {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case drain && f.drained(h):
			return f.commit(h)
		case n == 0:
			f.wait()
		case f.calm > 0:
			f.busy = time.Now()
		}
		f.serve()
	}
}

// turn reads one batch of each ring and commits.
func (f *Feed) turn(h Handler) (n int, err error) {
	if f.beat != nil {
		f.beat()
	}
	now := time.Now()
	tick := !now.Before(f.next)
	if tick {
		f.next = now.Add(tickEvery)
		for _, r := range f.rings {
			if err := f.attach(r, h, now); err != nil {
				return 0, err
			}
		}
	}
	for _, r := range f.rings {
		n += f.read(r, h, now)
	}
	if n > 0 || tick {
		err = f.commit(h)
	}
	return n, err
}

// commit has the handler apply what it was given, and then moves the cursors.
func (f *Feed) commit(h Handler) error {
	if err := h.Commit(); err != nil {
		return err
	}
	for _, r := range f.rings {
		if r.reader != nil {
			r.guard(f, h, func() error { r.reader.Commit(); return nil })
		}
	}
	return nil
}

// serve runs what others want done in the loop.
func (f *Feed) serve() {
	for {
		select {
		case fn := <-f.calls:
			fn()
		default:
			return
		}
	}
}

// wait sleeps until a ring has something, or for a while.
func (f *Feed) wait() {
	if left := f.calm - time.Since(f.busy); f.calm > 0 && left > 0 {
		f.rest(left)
		return
	}
	var readers []*evtring.Reader
	for _, r := range f.rings {
		if r.reader != nil && !r.done {
			readers = append(readers, r.reader)
		}
	}
	if len(readers) == 0 {
		f.rest(sleepMax)
		return
	}
	// A ring that is lost meanwhile is found out by the next read.
	_ = guardAll(readers, func() error { evtring.WaitAny(readers, sleepMax); return nil })
}

// rest sleeps, unless somebody wants something done.
func (f *Feed) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case fn := <-f.calls:
		fn()
	case <-t.C:
	}
}

func guardAll(rs []*evtring.Reader, fn func() error) error {
	if len(rs) == 0 {
		return fn()
	}
	return rs[0].Guard(func() error { return guardAll(rs[1:], fn) })
}

// drained reports whether all workers have ended and all of their events were read.
func (f *Feed) drained(h Handler) bool {
	all := true
	for _, r := range f.rings {
		if r.closed && !r.done {
			r.done, r.state = true, "drained"
			h.Closed(r.worker)
		}
		all = all && r.done
	}
	return all
}

func (f *Feed) close() {
	for _, r := range f.rings {
		if r.reader != nil {
			_ = r.reader.Close()
			r.reader = nil
		}
	}
}

// Resync asks worker w for a snapshot and returns the number of the request, 0 when
// its ring is not there.
func (f *Feed) Resync(w int, reason uint32) (request uint32) {
	r := f.rings[w]
	if r.reader == nil {
		return 0
	}
	_ = r.reader.Guard(func() error { request = r.reader.RequestResync(reason); return nil })
	return request
}

// ResyncDone notes that the snapshot of request came whole.
func (f *Feed) ResyncDone(w int, request uint32) {
	if r := f.rings[w]; r.reader != nil {
		_ = r.reader.Guard(func() error { r.reader.ResyncDone(request); return nil })
	}
}

// attachError says what to do about a ring that cannot be read.
func attachError(w int, err error) error {
	if errors.Is(err, layout.ErrOwned) {
		return fmt.Errorf("events of worker %d: another process reads them under our name: %w", w, err)
	}
	return fmt.Errorf("events of worker %d: %w", w, err)
}
