package flow

import (
	"math"
	"math/bits"
)

// bucket is one cache line of the index: ten tags of 16 bits beside ten slots.
// over counts the entries whose home this bucket is and that stand in a later one:
// a search ends at the first bucket where it is zero.
//
// Tags are compared all at once, in words: which of ten it is, if any, is a branch
// that nobody predicts.
type bucket struct {
	tags [2]uint64         // tags 0 to 7, from the low bits on
	tail uint32            // tags 8 and 9
	slot [perBucket]uint32 // slot+1, 0 = empty
	over uint32
}

// match returns a bit for each entry that may have this tag: for all that have it,
// seldom for others, and for empty ones too. Bit p stands for entry
// 4*(p%16) + p/16, see entry.
func (b *bucket) match(tag uint16) uint64 {
	all := uint64(tag) * lanes
	x, y, z := b.tags[0]^all, b.tags[1]^all, uint64(b.tail)^all&math.MaxUint32|^uint64(math.MaxUint32)
	return (x-lanes)&^x&(lanes<<15)>>15 | (y-lanes)&^y&(lanes<<15)>>14 | (z-lanes)&^z&(lanes<<15)>>13
}

const lanes = 0x0001000100010001

// entry returns the entry that the lowest bit of a match stands for.
func entry(match uint64) int {
	p := bits.TrailingZeros64(match)
	return 4*(p&15) + p>>4
}

// setTag writes the tag of entry j.
func (b *bucket) setTag(j int, tag uint16) {
	if j >= 8 {
		shift := 16 * (j - 8)
		b.tail = b.tail&^(0xffff<<shift) | uint32(tag)<<shift
		return
	}
	word, shift := &b.tags[j/4], 16*(j%4)
	*word = *word&^(0xffff<<shift) | uint64(tag)<<shift
}

const perBucket = 10

// index finds slots by hash. It is derived from the slab and private.
type index struct {
	b     []bucket
	mask  uint32
	n     int // entries
	limit int // most entries before it must grow
}

// newIndex makes an index for flows records, at most four fifths full.
func newIndex(flows int) (index, error) {
	n := 64
	for n*perBucket*4/5 < flows {
		n *= 2
	}
	b, err := newBuckets(n)
	return index{b: b, mask: uint32(n - 1), limit: n * perBucket * 4 / 5}, err
}

// IndexBytes returns the bytes of index and timing wheel for flows records.
func IndexBytes(flows int) (int, error) {
	x, err := newIndex(flows)
	if err != nil {
		return 0, err
	}
	defer freeBuckets(x.b)
	return len(x.b)*bucketSize + 8*flows, nil
}

func (x *index) home(hi uint64) uint32 { return uint32(hi) & x.mask }

func tagOf(lo uint64) uint16 { return uint16(lo >> 48) }

// insert adds slot. Precondition: n < limit.
func (x *index) insert(lo, hi uint64, slot uint32) {
	x.n++
	home := x.home(hi)
	for i := home; ; i = (i + 1) & x.mask {
		b := &x.b[i]
		for j := range b.slot {
			if b.slot[j] == 0 {
				b.setTag(j, tagOf(lo))
				b.slot[j] = slot + 1
				return
			}
		}
		b.over++
	}
}

// remove takes slot out. It must be in.
func (x *index) remove(lo, hi uint64, slot uint32) {
	home := x.home(hi)
	for i, n := home, uint32(0); n <= x.mask; i, n = (i+1)&x.mask, n+1 {
		b := &x.b[i]
		for j := range b.slot {
			if b.slot[j] == slot+1 {
				b.slot[j] = 0
				x.n--
				for k := home; k != i; k = (k + 1) & x.mask {
					x.b[k].over--
				}
				return
			}
		}
		if b.over == 0 {
			break
		}
	}
	panic("BUG: flow: record is not in the index")
}

// firstIndex is how many flows the index of a table begins with whose memory comes
// when it is used. Others have all of it from the start: growing takes time.
const firstIndex = 1 << 15

// growIndex doubles the index and reports whether there was memory for it.
func (t *Table) growIndex() bool {
	x, err := newIndex(2 * t.index.limit)
	if err != nil {
		return false
	}
	for slot := range t.unused {
		if r := t.record(slot); r.State() != Free && r.State() != Ended {
			x.insert(r.HashLo(), r.HashHi(), slot)
		}
	}
	freeBuckets(t.index.b)
	t.index = x
	return true
}
