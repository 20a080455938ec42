package steer

import "weir/proto/pkt"

// Account puts what conntrack knows about the flow with the hash lo, hi into the ring of
// its worker. It reports false when there is no room: nobody waits for that. It is for
// Config.Housekeep, that is for the goroutine that owns s. See Publish.
func (s *Steerer) Account(lo, hi uint64, proto uint8, a *pkt.Account) bool {
	fields := pkt.Fields{TS: s.now, HashLo: lo, HashHi: hi, Kind: pkt.KindAccount, IPProto: proto}
	fields.Encode(s.desc[:])
	clear(s.prefix[:])
	a.Encode(s.body[:])
	return s.put(&s.rings[lo%uint64(len(s.rings))], pkt.KindAccount, s.prefix[:], s.body[:])
}

// Publish shows what was put since the last time. Packets are published without it.
func (s *Steerer) Publish() { s.publish() }
