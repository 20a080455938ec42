package flow

// bucket is one cache line of the index: ten tags of 16 bits beside ten slots.
// over counts the entries whose home this bucket is and that stand in a later one:
// a search ends at the first bucket where it is zero.
type bucket struct {
	tag  [perBucket]uint16
	slot [perBucket]uint32 // slot+1, 0 = empty
	over uint32
}

const perBucket = 10

// index finds slots by hash. It is derived from the slab and private.
type index struct {
	b    []bucket
	mask uint32
}

// newIndex makes an index for flows records, at most three quarters full.
func newIndex(flows int) (index, error) {
	n := 64
	for n*perBucket*3/4 < flows {
		n *= 2
	}
	b, err := newBuckets(n)
	return index{b: b, mask: uint32(n - 1)}, err
}

func (x *index) home(hi uint64) uint32 { return uint32(hi) & x.mask }

func tagOf(lo uint64) uint16 { return uint16(lo >> 48) }

// insert adds slot. The index always has room: it is sized by the slab.
func (x *index) insert(lo, hi uint64, slot uint32) {
	home := x.home(hi)
	for i := home; ; i = (i + 1) & x.mask {
		b := &x.b[i]
		for j := range b.slot {
			if b.slot[j] == 0 {
				b.tag[j], b.slot[j] = tagOf(lo), slot+1
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
