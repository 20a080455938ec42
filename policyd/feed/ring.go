package feed

import (
	"errors"
	"time"

	"weir/shm/evtring"
	"weir/shm/layout"
)

const (
	retryAfter      = time.Second // after an error that is not "not there yet"
	quarantine      = 30 * time.Second
	corruptionsMax  = 3 // in corruptionsSpan: then the ring is left alone for a while
	corruptionsSpan = 10 * time.Second
)

// ring is the ring of one worker, present or not.
type ring struct {
	worker  int
	reader  *evtring.Reader // nil: not attached
	retry   time.Time       // not before
	state   string          // for people
	idle    bool            // the last read found nothing more
	closed  bool            // its producer had left in good order when we found it empty
	done    bool            // drained
	corrupt []time.Time     // when damage was found lately
	lost    uint64
}

// attach does what a ring needs now and then: find it, follow it, beat the heart.
func (f *Feed) attach(r *ring, h Handler, now time.Time) error {
	if r.reader != nil {
		r.guard(f, h, func() error {
			if err := r.reader.Housekeeping(); err != nil {
				f.log.Warn("event cursor", "worker", r.worker, "error", err)
			}
			if r.idle && r.reader.Replaced() {
				f.detach(r, h, "replaced")
			}
			return nil
		})
	}
	if r.reader != nil {
		return nil
	}
	if r.done || now.Before(r.retry) {
		return nil
	}
	reader, err := evtring.Attach(f.root.EventRing(r.worker), f.root.EventCursor(f.name, r.worker), f.name)
	switch {
	case errors.Is(err, layout.ErrOwned):
		return attachError(r.worker, err)
	case errors.Is(err, layout.ErrAwait):
		return nil
	case err != nil:
		r.retry, r.state = now.Add(retryAfter), err.Error()
		f.log.Error("cannot read events", "error", attachError(r.worker, err))
		return nil
	}
	r.reader, r.state, r.idle, r.closed = reader, "attached", false, false
	f.log.Info("reading events", "worker", r.worker, "resumed", reader.Resumed(), "position", reader.Position())
	h.Attached(r.worker, reader.Resumed())
	return nil
}

// read hands one batch of events over and returns how many things happened.
func (f *Feed) read(r *ring, h Handler, now time.Time) (n int) {
	if r.reader == nil || r.done {
		return 0
	}
	r.guard(f, h, func() error {
		for n < batch {
			// Before the ring is found empty: what is published before the producer
			// leaves must not be missed.
			closed := r.reader.ProducerState() == layout.StateClosed
			rec, err := r.reader.Next()
			if r.idle = errors.Is(err, evtring.ErrIdle); r.idle {
				r.closed = closed
				return nil
			}
			n++
			f.take(r, h, &rec, err, now)
			if r.reader == nil {
				return nil
			}
		}
		return nil
	})
	return n
}

// take hands over one event, or says what came instead.
func (f *Feed) take(r *ring, h Handler, rec *evtring.Record, err error, now time.Time) {
	var over *evtring.Overrun
	switch {
	case err == nil:
		h.Event(r.worker, rec)
	case errors.As(err, &over):
		r.lost += over.Lost
		f.log.Warn("events lost", "worker", r.worker, "count", over.Lost)
		h.Lost(r.worker, over.Lost)
	default:
		f.log.Error("damaged events", "worker", r.worker, "error", err)
		h.Lost(r.worker, 0)
		r.damaged(now)
		if len(r.corrupt) >= corruptionsMax {
			f.detach(r, h, "quarantined: too much damage")
			r.corrupt, r.retry = nil, now.Add(quarantine)
		}
	}
}

func (r *ring) damaged(now time.Time) {
	kept := r.corrupt[:0]
	for _, t := range r.corrupt {
		if now.Sub(t) < corruptionsSpan {
			kept = append(kept, t)
		}
	}
	r.corrupt = append(kept, now)
}

// detach lets a ring go. What was read of it was handed over; it is committed with
// the next batch, and if that fails, read again from the ring's successor's snapshot.
func (f *Feed) detach(r *ring, h Handler, why string) {
	f.log.Warn("event ring left", "worker", r.worker, "why", why)
	if err := r.reader.Close(); err != nil {
		f.log.Warn("close event ring", "worker", r.worker, "error", err)
	}
	r.reader, r.state = nil, why
	h.Lost(r.worker, 0)
}

// guard runs fn, which uses the ring's memory, and lets the ring go when that is lost.
func (r *ring) guard(f *Feed, h Handler, fn func() error) {
	if err := r.reader.Guard(fn); err != nil && r.reader != nil {
		f.detach(r, h, err.Error())
		r.retry = time.Now().Add(retryAfter)
	}
}

// Status is how one ring stands.
type Status struct {
	Worker   int    `json:"worker"`
	State    string `json:"state"`
	Alive    bool   `json:"producer_alive"`
	Position uint64 `json:"position"`
	Lag      uint64 `json:"lag_bytes"`
	Capacity uint64 `json:"capacity_bytes"`
	Events   uint64 `json:"events"`
	Lost     uint64 `json:"lost"`
	Overruns uint64 `json:"overruns"`
	Corrupt  uint64 `json:"corrupt"`
}

// Status returns how all rings stand. Call it in the loop (Do).
func (f *Feed) Status() []Status {
	var out []Status
	for _, r := range f.rings {
		s := Status{Worker: r.worker, State: r.state, Lost: r.lost}
		if r.reader != nil {
			_ = r.reader.Guard(func() error {
				st := r.reader.Stats()
				s.Alive, s.Position, s.Lag, s.Capacity = r.reader.ProducerAlive(), r.reader.Position(), r.reader.Lag(), r.reader.Capacity()
				s.Events, s.Overruns, s.Corrupt, s.Lost = st.Events, st.Overruns, st.Corrupt, st.Lost
				return nil
			})
		}
		out = append(out, s)
	}
	return out
}
