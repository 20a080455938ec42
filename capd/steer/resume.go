package steer

import "weir/proto/pkt"

// resume is how a restarted run finds its place in one ring. The run starts over
// from the first frame and comes to the same records in the same order; those up
// to the last one that the dead run published are not put again.
//
// A record's place is its ordinal and, among records of one ordinal, its kind:
// ticks stand before the packet they make way for, the end mark stands last.
type resume struct {
	active  bool
	ordinal uint64
	rank    uint8
}

// resumeAfter returns the resume of a ring whose last record is last, nil when
// it never had one.
func resumeAfter(last pkt.Descriptor) resume {
	if last == nil {
		return resume{}
	}
	return resume{active: true, ordinal: last.Ordinal(), rank: rank(last.Kind())}
}

// suppress reports whether the record is one of those that the ring has had.
func (r *resume) suppress(ordinal uint64, kind pkt.Kind) bool {
	if ordinal < r.ordinal || ordinal == r.ordinal && rank(kind) <= r.rank {
		return true
	}
	r.active = false
	return false
}

func rank(k pkt.Kind) uint8 {
	switch k {
	case pkt.KindLost:
		return 0
	case pkt.KindTick:
		return 1
	case pkt.KindPacket:
		return 2
	}
	return 3
}

// Resuming reports whether every ring still is where the dead run had been. A
// run at recorded speed hurries through that part.
func (s *Steerer) Resuming() bool {
	for i := range s.rings {
		if !s.rings[i].resume.active {
			return false
		}
	}
	return true
}
