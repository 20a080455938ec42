package law

import (
	"errors"

	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// eventRing checks an event ring, every event in it, and its cursors.
func (c *checker) eventRing(r *look.Ring) {
	ahead := r.Intent - r.Tail
	if r.Tail%16 != 0 || (int64(ahead) < 0 || ahead > r.Size) && !r.Owner.Alive {
		c.broken(r.Name, "positions", "tail %d, intent %d in a ring of %d bytes", r.Tail, r.Intent, r.Size)
		return
	}
	c.ok(r.Name, "positions", "tail %d, intent %d", r.Tail, r.Intent)
	for _, rd := range r.Readers {
		c.eventCursor(r, rd)
	}
	last, whole := c.walk(r)
	if whole && last != 0 {
		undisturbed := r.Owner.Epoch == 1
		c.counted(r.Name, "records", r.Events.Events, evtring.Counter(last), r.Owner, undisturbed)
	}
}

func (c *checker) eventCursor(r *look.Ring, rd *look.Reader) {
	object := rd.Cursor + " cursor"
	switch pos := rd.Info.Position; {
	case rd.Err != nil: // among the problems
	case rd.Foreign:
		c.note(object, "positions", "of another ring, %016x; its owner makes a new one", rd.Info.RingID)
	case rd.Beyond:
		c.broken(object, "positions", "position %d is not in the ring: tail %d, capacity %d", pos, r.Tail, r.Size)
	case rd.Lapped:
		c.note(object, "positions", "position %d was overwritten: intent %d, capacity %d; a snapshot will follow", pos, r.Intent, r.Size)
	default:
		c.ok(object, "positions", "position %d, tail %d", pos, r.Tail)
	}
	if rd.Err == nil && rd.Events.Corrupt > 0 {
		c.note(object, "damage", "%d damaged places met, %d events lost", rd.Events.Corrupt, rd.Events.Lost)
	}
}

// walk reads every event that the ring still holds: length, block, checksum,
// sequence without a gap, epochs that do not fall, payloads that parse. It returns
// the sequence number of the last one.
func (c *checker) walk(r *look.Ring) (last uint64, whole bool) {
	t, err := evtring.Tail(r.Path, evtring.Oldest)
	if err != nil {
		c.broken(r.Name, "events", "%v", err)
		return 0, false
	}
	defer func() { _ = t.Close() }()
	var n, bad, missed uint64
	err = t.Guard(func() error {
		for int64(r.Tail-t.Position()) > 0 {
			rec, err := t.Next()
			var over *evtring.Overrun
			switch {
			case errors.Is(err, evtring.ErrIdle):
				return nil
			case errors.As(err, &over):
				missed += over.Lost
				continue
			case err != nil:
				return err
			}
			if evtring.Epoch(rec.Seq) < evtring.Epoch(last) {
				c.broken(r.Name, "events", "event %d is of epoch %d, after one of epoch %d",
					evtring.Counter(rec.Seq), evtring.Epoch(rec.Seq), evtring.Epoch(last))
			}
			last, n = rec.Seq, n+1
			if !parses(rec) {
				bad++
			}
		}
		return nil
	})
	return last, c.walked(r, err, n, bad, missed, last)
}

// walked says what the walk brought.
func (c *checker) walked(r *look.Ring, err error, n, bad, missed, last uint64) bool {
	switch {
	case err != nil:
		c.broken(r.Name, "events", "after %d events: %v", n, err)
	case missed > 0 && !r.Owner.Alive:
		c.broken(r.Name, "events", "%d of %d events are missing in the sequence", missed, n+missed)
	case bad > 0:
		c.broken(r.Name, "events", "%d of %d events have a payload that cannot be read", bad, n)
	case n == 0 && r.Tail > 0 && !r.Owner.Alive:
		c.broken(r.Name, "events", "%d bytes were published, no event can be found", r.Tail)
	case last != 0 && evtring.Epoch(last) > r.Owner.Epoch:
		c.broken(r.Name, "events", "event %d is of epoch %d, the ring has had %d producers",
			evtring.Counter(last), evtring.Epoch(last), r.Owner.Epoch)
	default:
		c.ok(r.Name, "events", "%d events read, the last is number %d", n, evtring.Counter(last))
		return true
	}
	return false
}

// parses reports whether a payload is what its type says. Types and versions of
// later programs are taken as they are.
func parses(rec evtring.Record) bool {
	if rec.Version != event.Version {
		return true
	}
	var err error
	switch t := event.Type(rec.Type); {
	case t.HasFlow():
		_, err = event.ParseFlow(rec.Payload)
	case t == event.Epoch:
		_, err = event.ParseAttached(rec.Payload)
	case t == event.LostInput:
		_, err = event.ParseLoss(rec.Payload)
	case t >= event.SnapBegin && t <= event.SnapAbort:
		_, err = event.ParseSnapshot(rec.Payload)
	}
	return err == nil
}

// owner checks an owner line against the kernel's lock.
func (c *checker) owner(object string, o layout.Peer) {
	switch {
	case o.State > layout.StateRetired:
		c.broken(object, "owner", "state %d does not exist", o.State)
	case o.State == layout.StateClosed && o.Alive:
		c.ok(object, "owner", "leaving")
	case o.Alive && o.PID != 0 && o.StartTicks != 0 && stranger(o):
		c.note(object, "owner", "locked, but not by process %d: it runs in another container, or the line is damaged", o.PID)
	case o.State == layout.StateLive && !o.Alive:
		c.note(object, "owner", "its owner, process %d, was killed; or this is a copy", o.PID)
	default:
		c.ok(object, "owner", "%s, epoch %d", o.State, o.Epoch)
	}
}

func stranger(o layout.Peer) bool { return layout.StartTicks(o.PID) != o.StartTicks }
