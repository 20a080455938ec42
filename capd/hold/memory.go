package hold

import "weir/proto/mark"

// known is what is remembered of a flow: that it began, and with judged set the
// verdict on it.
type known struct {
	lo, hi  uint64
	used    uint64 // ns: when a packet was treated so last
	since   uint32 // packet number: answers to earlier ones are about another flow
	stamp   uint32 // 0: the entry is free
	bits    uint32
	verdict mark.Verdict
	judged  bool
}

// forget is after how long without a packet the verdict on a flow is forgotten, ns: less
// than the kernel keeps the entry of a UDP flow, whose ports may be another's then.
const forget = 30e9

// holds reports whether the verdict is in force at now (ns), and keeps it so.
func (k *known) holds(now uint64) bool {
	k.judged = k.judged && now-k.used < forget
	k.used = now
	return k.judged
}

// follow keeps since within reach: numbers turn over, and a flow may outlive that.
func (k *known) follow(id uint32) {
	const reach = 1 << 30 // packets; answers come within the queue's length
	if id-k.since > reach {
		k.since = id - reach
	}
}

// ways is how many entries a flow may be in. The oldest of them makes room.
const ways = 4

// memory remembers a bounded number of flows.
type memory struct {
	entries []known
	stamp   uint32
}

func (m *memory) init(flows int) {
	size := ways
	for size < flows {
		size *= 2
	}
	m.entries = make([]known, size)
}

func (m *memory) set(lo uint64) []known {
	at := lo >> 32 * ways & uint64(len(m.entries)-1)
	return m.entries[at : at+ways : at+ways]
}

// find returns what is remembered of a flow, nil for nothing.
func (m *memory) find(lo, hi uint64) *known {
	s := m.set(lo)
	for i := range s {
		if s[i].lo == lo && s[i].hi == hi && s[i].stamp != 0 {
			return &s[i]
		}
	}
	return nil
}

// put returns the entry of a flow, an empty one for a flow that is not remembered.
func (m *memory) put(lo, hi uint64) *known {
	e := m.find(lo, hi)
	if e == nil {
		s := m.set(lo)
		e = &s[0]
		for i := range s {
			if s[i].stamp == 0 || e.stamp != 0 && int32(s[i].stamp-e.stamp) < 0 {
				e = &s[i]
			}
		}
		*e = known{lo: lo, hi: hi}
	}
	if m.stamp++; m.stamp == 0 {
		m.stamp = 1
	}
	e.stamp = m.stamp
	return e
}

// begin forgets the verdict on a flow that begins with that packet.
func (m *memory) begin(lo, hi uint64, id uint32) {
	e := m.put(lo, hi)
	e.since, e.judged = id, false
}

// judge remembers a verdict, the answer to that packet.
func (m *memory) judge(lo, hi uint64, id uint32, v mark.Verdict, bits uint32, now uint64) {
	e := m.put(lo, hi)
	if !e.judged {
		e.since = id
	}
	e.verdict, e.bits, e.judged, e.used = v, bits, true, now
}
