package conntrack

import (
	"encoding/binary"

	"weir/proto/flowkey"
)

// table finds the flow that a connection is, by the addresses and ports of the view that
// a capture thread has of it: conntrack knows neither interfaces nor VLANs, which are part
// of a flow's key. It lies in a file, so that a restarted capd still knows the flows whose
// packets do not come to it any more. Of each set of ways slots the one without news for
// longest makes room, and first those that nobody answered: a flood of such packets
// leaves the others alone.
//
// A slot is 192 bytes, little-endian:
//
//	 0 [44] key, without VLAN and interfaces      128 u64 time of the last news, ns
//	44 u32 connection id                          136 u32 connection mark
//	48 u64 hash low     56 u64 hash high          140 u16 beginnings seen
//	64 4 x u64 totals: packets A, B, bytes A, B   142 u16 of these, when the connection was met
//	96 4 x u64 of these, before the flow began    144 u16 flags   146 u8 thread   147 u8 offset of L3
//	                                              148 u8 dump that saw it last
type table struct {
	b    []byte
	sets uint64 // a power of two
	seed *flowkey.Seed
}

const (
	slotSize = 192
	ways     = 8
)

// Flags of a slot.
const (
	used     = 1 << 0
	bound    = 1 << 1 // a connection was met
	told     = 1 << 2 // what it is was said
	closing  = 1 << 3 // that both sides closed it was said
	endSeen  = 1 << 4 // its end came to the capture thread
	asked    = 1 << 5 // its totals at its end were asked for
	answered = 1 << 6 // both sides have sent packets
)

// flow is a slot, read.
type flow struct {
	key            flowkey.Key
	id             uint32
	hashLo, hashHi uint64
	total, base    totals
	active         uint64
	mark           uint32
	begun, met     uint16
	flags          uint16
	thread, l3     uint8
	dump           uint8
}

// totals are packets of A, of B, and bytes of A, of B.
type totals [4]uint64

// tableSize is the length in bytes of a table for at least n flows.
func tableSize(n int) int {
	sets := 1
	for sets*ways < n {
		sets *= 2
	}
	return sets * ways * slotSize
}

func newTable(b []byte, seed *flowkey.Seed) table {
	return table{b: b, sets: uint64(len(b) / slotSize / ways), seed: seed}
}

func (t *table) slot(i int) []byte { return t.b[i*slotSize : (i+1)*slotSize : (i+1)*slotSize] }

func (t *table) len() int { return int(t.sets) * ways }

// find returns the slot of k, and reports whether there is one; else the slot that it
// would take.
func (t *table) find(k *flowkey.Key) (slot int, ok bool) {
	var want [flowkey.Size]byte
	k.Encode(want[:])
	lo, _ := k.Hash(t.seed)
	first := int(lo&(t.sets-1)) * ways
	slot = first
	oldest := ^uint64(0)
	for i := first; i < first+ways; i++ {
		b := t.slot(i)
		age := uint64(0) // of a free slot
		if binary.LittleEndian.Uint16(b[144:])&used != 0 {
			if [flowkey.Size]byte(b) == want {
				return i, true
			}
			if age = binary.LittleEndian.Uint64(b[128:]) + 1; binary.LittleEndian.Uint16(b[144:])&answered != 0 {
				age |= 1 << 63 // times are below
			}
		}
		if age < oldest {
			slot, oldest = i, age
		}
	}
	return slot, false
}

func (t *table) load(i int) (f flow) {
	b, le := t.slot(i), binary.LittleEndian
	f.key.Decode(b)
	f.id = le.Uint32(b[44:])
	f.hashLo, f.hashHi = le.Uint64(b[48:]), le.Uint64(b[56:])
	for n := range f.total {
		f.total[n], f.base[n] = le.Uint64(b[64+8*n:]), le.Uint64(b[96+8*n:])
	}
	f.active, f.mark = le.Uint64(b[128:]), le.Uint32(b[136:])
	f.begun, f.met, f.flags = le.Uint16(b[140:]), le.Uint16(b[142:]), le.Uint16(b[144:])
	f.thread, f.l3, f.dump = b[146], b[147], b[148]
	return f
}

func (t *table) store(i int, f *flow) {
	b, le := t.slot(i), binary.LittleEndian
	f.key.Encode(b)
	le.PutUint32(b[44:], f.id)
	le.PutUint64(b[48:], f.hashLo)
	le.PutUint64(b[56:], f.hashHi)
	for n := range f.total {
		le.PutUint64(b[64+8*n:], f.total[n])
		le.PutUint64(b[96+8*n:], f.base[n])
	}
	le.PutUint64(b[128:], f.active)
	le.PutUint32(b[136:], f.mark)
	le.PutUint16(b[140:], f.begun)
	le.PutUint16(b[142:], f.met)
	le.PutUint16(b[144:], f.flags)
	b[146], b[147], b[148] = f.thread, f.l3, f.dump
}

// renumber begins to count dumps anew.
func (t *table) renumber() {
	for i := range t.len() {
		if t.inUse(i) {
			t.slot(i)[148] = 0
		}
	}
}

func (t *table) remove(i int) { clear(t.slot(i)) }

func (t *table) inUse(i int) bool { return binary.LittleEndian.Uint16(t.slot(i)[144:])&used != 0 }
