package steer

import (
	"context"
	"fmt"

	"weir/proto/pkt"
)

// mark puts a record without a packet into all rings. Where the stream waits for
// nobody, a full ring gets no tick: its worker is behind anyway, and the packets
// that it will find tell it the time. An end mark is worth waiting for.
func (s *Steerer) mark(ctx context.Context, kind pkt.Kind) error {
	fields := pkt.Fields{TS: s.now, Ordinal: s.ordinal, Kind: kind}
	fields.Encode(s.desc[:])
	for i := range s.rings {
		r := &s.rings[i]
		if s.put(r, kind, nil, nil) || s.cfg.Drop && kind == pkt.KindTick {
			continue
		}
		if err := s.putLater(ctx, r, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// deliver puts the packet s.p into the ring of its worker. Nothing in a capture
// may be dropped: there it waits for room.
func (s *Steerer) deliver(ctx context.Context) (Outcome, error) {
	p := &s.p
	p.Fields.Ordinal = s.ordinal
	if s.cfg.Time != nil {
		s.driver(p)
	}
	p.Fields.HashLo, p.Fields.HashHi = p.Key.Hash(s.cfg.Seed)
	w := int(p.Fields.HashLo % uint64(len(s.rings)))
	if s.cfg.Witness != nil {
		s.cfg.Witness.Saw(p)
	}
	held := s.hold(w)
	b := p.b
	if len(b) > s.maxFrame {
		b = b[:s.maxFrame]
		p.Fields.CapLen = uint32(len(b))
		p.Fields.Flags |= pkt.FlagTruncated
	}
	p.Fields.Encode(s.desc[:])
	p.Prefix.Encode(s.prefix[:])
	r := &s.rings[w]
	r.urgent = r.urgent || held
	prefix := s.prefix[:]
	if s.unwanted(w, len(b)) {
		prefix, b = nil, nil
		s.lean++
	}
	switch {
	case s.put(r, pkt.KindPacket, prefix, b):
		s.truncated += uint64(p.Fields.Flags & pkt.FlagTruncated / pkt.FlagTruncated)
		return Delivered, nil
	case s.cfg.Drop:
		r.drop(uint64(p.Fields.WireLen))
		if held {
			s.cfg.Holder.Refused()
		}
		return RingFull, nil
	}
	return Delivered, s.putLater(ctx, r, prefix, b)
}

// unwanted reports whether nobody wants the n bytes of the packet s.p: its flow is
// final, and it is neither held nor the begin of another connection on the same ports.
func (s *Steerer) unwanted(w, n int) bool {
	f := &s.p.Fields
	return s.cfg.Finals != nil && n > pkt.ShortFrame && f.Flags&pkt.FlagNFQ == 0 && f.TCPFlags&tcpSYN == 0 &&
		s.cfg.Finals.Final(w, f.HashLo, f.HashHi)
}

// tcpSYN is the flag of RFC 9293 section 3.1.
const tcpSYN = 0x02

// HeaderOnly returns how many packets went to their worker without their bytes.
func (s *Steerer) HeaderOnly() uint64 { return s.lean }

// hold reports whether the packet s.p of worker w is held. If not, it waits for nobody.
func (s *Steerer) hold(w int) bool {
	if s.cfg.Holder == nil || s.p.Fields.Flags&pkt.FlagNFQ == 0 {
		return false
	}
	held := s.cfg.Holder.Arrive(&s.p, w)
	if !held {
		s.p.Fields.Flags &^= pkt.FlagNFQ
	}
	return held
}

// put brings the record s.desc into r, unless r has had it from an earlier run.
// It reports false when r has no room.
func (s *Steerer) put(r *ring, kind pkt.Kind, prefix, frame []byte) bool {
	if r.resume.active && r.resume.suppress(s.ordinal, kind) {
		return true
	}
	if !r.Put(s.desc[:], prefix, frame) {
		return false
	}
	r.touched = true
	return true
}

// putLater is put once there is room.
func (s *Steerer) putLater(ctx context.Context, r *ring, prefix, frame []byte) error {
	if err := s.wait(ctx, r); err != nil {
		return err
	}
	if !r.Put(s.desc[:], prefix, frame) {
		return fmt.Errorf("steer: ring says it has room and takes no frame of %d bytes", len(frame))
	}
	r.touched = true
	return nil
}

// drop counts a packet that r has no room for. What r holds is shown at once: a
// worker makes no room of what it cannot see.
func (r *ring) drop(bytes uint64) {
	r.Drop(1, bytes)
	r.touched = false
	r.Publish()
}

// wait publishes everywhere, so that no worker idles meanwhile, and waits until r
// has room.
func (s *Steerer) wait(ctx context.Context, r *ring) error {
	s.publish()
	for !r.WaitSpace(waitSlice) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.housekeep(); err != nil {
			return err
		}
	}
	return nil
}

// publish shows what was put since the last time.
func (s *Steerer) publish() {
	wake := s.cfg.Holder == nil || s.pending >= batch
	s.pending = 0
	for i := range s.rings {
		s.rings[i].publish(wake)
	}
}

// publish shows what was put. Where packets are held, a few that are not wake nobody:
// they are counted with the next that is.
func (r *ring) publish(wake bool) {
	if !r.touched {
		return
	}
	wake = wake || r.urgent
	r.touched, r.urgent = false, false
	if wake {
		r.Publish()
	} else {
		r.Show()
	}
}
