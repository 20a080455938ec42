package flow

import (
	"cmp"
	"encoding/binary"
	"slices"

	"weir/proto/flowkey"
)

// adopt derives everything private from the slab in one scan of what was ever used.
// A record that makes no sense (foreign bytes) is freed rather than believed.
func (t *Table) adopt(events uint64) (ad Adopted) {
	ad.Ring, ad.HeadEnd, ad.Forward = t.recover(events)
	t.tx = t.u32(ctlTx)
	t.reserved = t.u64(ctlCounter)
	t.counter = t.reserved
	t.unused = min(t.u32(ctlSlots), t.flows)
	t.ready = t.unused
	t.pool.unused = min(t.u32(ctlChunks), t.chunks)
	t.pool.ready = t.pool.unused
	used := make([]bool, t.pool.unused)
	var waiting []uint32
	t.firstFree = none
	for i := t.unused; i > 0; i-- {
		slot := i - 1
		r := t.record(slot)
		if r.State() == Free {
			t.setFree(slot)
			continue
		}
		if !t.plausible(r) || !t.claim(used, r.chunk()) {
			*r = Record{}
			t.setFree(slot)
			continue
		}
		t.live++
		if r.Has(Pending) {
			ad.Pending = append(ad.Pending, slot)
		}
		if r.State() == Ended {
			continue
		}
		if r.Has(Inspecting) {
			r.Clear(Inspecting)
			r.Set(Reinspected)
			ad.Reinspected++
		}
		t.index.insert(r.HashLo(), r.HashHi(), slot)
		t.wheel.add(slot, t.opt.Deadline(r))
		if r.State() == Probation {
			waiting = append(waiting, slot)
		}
	}
	age := func(a, b uint32) int { return cmp.Compare(t.record(a).First(), t.record(b).First()) }
	slices.SortFunc(waiting, age)
	if len(waiting) > t.opt.Probation { // the area was larger
		t.probation = newQueue(len(waiting))
	}
	for _, s := range waiting {
		t.probation.push(t, s, t.record(s))
	}
	slices.SortFunc(ad.Pending, age)
	for c := t.pool.unused; c > 0; c-- {
		if !used[c-1] {
			t.pool.free = append(t.pool.free, c-1)
		}
	}
	ad.Flows = t.live
	return ad
}

// plausible reports whether a record's hash is that of its key: no other check
// says more, and an index over wrong hashes would never find or free the flow.
func (t *Table) plausible(r *Record) bool {
	var k flowkey.Key
	r.Key(&k)
	lo, hi := k.Hash(t.opt.Seed)
	return r.State() <= Ended && lo == r.HashLo() && hi == r.HashHi()
}

// claim marks the chunks of a chain as used; false when the chain leaves the slab
// or meets another one.
func (t *Table) claim(used []bool, first uint32) bool {
	for c := first; c != 0; {
		if c > uint32(len(used)) || used[c-1] {
			return false
		}
		used[c-1] = true
		c = binary.LittleEndian.Uint32(t.chunkAt(c - 1))
	}
	return true
}

// SameKey reports whether a record is of key k.
func (r *Record) SameKey(k *flowkey.Key) bool {
	var b [flowkey.Size]byte
	k.Encode(b[:])
	return b == [flowkey.Size]byte(r[64:108])
}
