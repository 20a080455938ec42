package law

import (
	"encoding/binary"
	"errors"

	"weir/proto/pkt"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/ringctl/look"
)

// packetRing checks a ring of descriptors and its cursor.
func (c *checker) packetRing(r *look.Ring) {
	if r.Freed > r.Tail || r.Tail-r.Freed > r.Size {
		c.broken(r.Name, "positions", "freed %d, tail %d: more than the %d descriptors of the ring between them", r.Freed, r.Tail, r.Size)
		return
	}
	rd := r.Readers[0]
	head := r.Freed
	switch {
	case rd.Missing():
		c.ok(r.Name, "positions", "freed %d <= tail %d, no cursor yet", r.Freed, r.Tail)
	case rd.Err != nil:
		// among the problems
	case rd.Foreign:
		c.note(rd.Cursor+" cursor", "positions", "of another ring, %016x; its owner makes a new one", rd.Info.RingID)
	case rd.Beyond:
		c.broken(rd.Cursor+" cursor", "positions", "head %d is not within freed %d and tail %d", rd.Info.Position, r.Freed, r.Tail)
	default:
		head = rd.Info.Position
		c.ok(r.Name, "positions", "freed %d <= head %d <= tail %d", r.Freed, head, r.Tail)
		c.inflight(r, rd)
		c.conservation(r, rd)
	}
	c.unread(r, head)
}

// inflight checks the note of the packet in work.
func (c *checker) inflight(r *look.Ring, rd *look.Reader) {
	note := rd.Info.Inflight
	if note == 0 || rd.Info.Owner.Alive {
		return
	}
	pos := note - 1
	switch {
	case pos < rd.Info.Position || pos >= r.Tail:
		c.note(rd.Cursor+" cursor", "in work", "packet %d was in work when the worker ended, and is no longer unread", pos)
	case rd.Info.Owner.State == layout.StateClosed:
		c.broken(rd.Cursor+" cursor", "in work", "the worker left in good order, with packet %d in work", pos)
	default:
		c.note(rd.Cursor+" cursor", "in work", "packet %d was in work when the worker ended (times before: %d)", pos, rd.Info.InflightTries)
	}
}

// conservation: published = consumed + poison + in the ring, where consumed are
// those that were handed on, damaged ones included.
func (c *checker) conservation(r *look.Ring, rd *look.Reader) {
	p, k := r.Packets, rd.Packets
	head, left := rd.Info.Position, r.Tail-rd.Info.Position
	if int64(left) < 0 {
		left = 0 // read since
	}
	say := c.ok
	if k.PoisonSkipped > k.Records {
		say = c.broken
	}
	say(r.Name, "conservation", "published %d = consumed %d + poison %d + in the ring %d; of the consumed %d were damaged",
		head+left, head-min(head, k.PoisonSkipped), k.PoisonSkipped, left, k.Corrupt)
	if k.Corrupt > 0 {
		c.note(rd.Cursor+" cursor", "damage", "%d payloads or tails made no sense", k.Corrupt)
	}
	c.counted(r.Name, "records", p.Records, r.Tail, r.Owner, r.Owner.Epoch == 1)
	c.counted(rd.Cursor+" cursor", "records", k.Records, head, rd.Info.Owner,
		r.Owner.Epoch == 1 && rd.Info.Owner.Epoch == 1 && k.Resyncs == 0)
}

// counted compares a counter with a position. They agree at rest; kills, and files
// that were made anew while running, move them apart for good.
func (c *checker) counted(object, law string, counter, position uint64, o layout.Peer, undisturbed bool) {
	switch {
	case counter == position:
		c.ok(object, law, "counted %d, position %d", counter, position)
	case o.State != layout.StateClosed:
		c.ok(object, law, "counted %d, position %d: not at rest", counter, position)
	case undisturbed:
		c.broken(object, law, "counted %d, but the position is %d", counter, position)
	default:
		c.note(object, law, "counted %d, position %d: an owner was killed before it counted, or the file was replaced", counter, position)
	}
}

// unread reads what lies between head and tail as a worker would.
func (c *checker) unread(r *look.Ring, head uint64) {
	v, err := pktring.OpenView(r.Path)
	if err != nil {
		c.broken(r.Name, "records", "%v", err)
		return
	}
	defer func() { _ = v.Close() }()
	var desc [pktring.DescSize]byte
	var buf []byte
	var at, size uint64
	first, kinds := true, true
	left := r.Tail - head
	if int64(left) < 0 {
		left = 0 // the worker went on since the tail was read
	}
	for pos := head; pos-head < left; pos++ {
		payload, err := look.Record(v, pos, &desc, buf[:0])
		if errors.Is(err, pktring.ErrGone) {
			first = true // consumed meanwhile
			continue
		}
		if err != nil {
			c.broken(r.Name, "unread", "record %d: %v", pos, err)
			return
		}
		buf = payload[:0]
		next := binary.LittleEndian.Uint64(desc[24:])
		if !first && next-at-size > r.PayloadSize {
			c.broken(r.Name, "unread", "record %d: payload at %d, before the end %d of the one before", pos, next, at+size)
			return
		}
		at, size, first = next, (uint64(len(payload))+15)&^15, false
		kinds = kinds && (r.Kind == look.Verdict || known(pkt.Descriptor(desc[:])))
	}
	if !kinds {
		c.broken(r.Name, "unread", "records of unknown kinds between %d and %d", head, r.Tail)
		return
	}
	c.ok(r.Name, "unread", "%d records read", left)
}

func known(d pkt.Descriptor) bool {
	k := d.Kind()
	return k >= pkt.KindPacket && k <= pkt.KindEOF
}
