package flow

import (
	"fmt"
	"sync/atomic"

	"weir/proto/flowkey"
)

// Options are what a table needs to know about its worker.
type Options struct {
	Geometry
	Worker    uint8
	Workers   uint32
	Seed      *flowkey.Seed
	SlabID    uint64               // random id, used when the slab is fresh
	Probation int                  // most flows in probation, 0 = an eighth of Flows
	Deadline  func(*Record) uint64 // when the flow's idle time is over, ns
	// Reserve, where the slab has no memory of its own yet, gets it for a part of the
	// slab that was never used, and reports false when there is none to be had: the
	// table then stays at the size it has reached. Nil: all memory is there.
	Reserve func(part []byte) bool
}

// reserveStep is how many bytes Reserve is asked for at once.
const reserveStep = 256 << 10

// Table is the flow table of one worker. See the package comment for its rules.
type Table struct {
	slab
	opt       Options
	phase     *atomic.Uint32
	index     index
	wheel     wheel
	probation queue
	pool      pool
	freed     []uint32 // in this transaction
	firstFree uint32   // free slots are linked through wheel.next
	unused    uint32   // slots from here on were never used
	ready     uint32   // slots from here on may have no memory
	tx        uint32
	undo      int
	live      int
	counter   uint64 // next flow counter
	reserved  uint64 // counters below it may be used
	hand      uint32 // where the search for a victim goes on
	spread    uint32 // its step
	spreadOf  uint32 // for so many slots
}

// Adopted is what Open found in the slab.
type Adopted struct {
	Fresh       bool // the slab was new or of another seed; nothing in it
	Flows       int  // flows that live on
	Reinspected int  // of these, flows whose inspection begins again
	Pending     []uint32
	Forward     bool // the head of Ring must go to HeadEnd: its packets are done
	Ring        uint32
	HeadEnd     uint64
}

// counterBlock is how many flow ids are reserved with one store.
const counterBlock = 4096

// Open makes the table over mem, the bytes of the slab file, which was made for the
// same seed and number of workers. fresh says that they are zero; otherwise the flows in them are adopted, after the transaction that a
// kill cut off has been undone. events is the published tail of the event ring.
func Open(mem []byte, fresh bool, events uint64, opt Options) (*Table, Adopted, error) {
	if err := opt.check(mem); err != nil {
		return nil, Adopted{}, err
	}
	t := &Table{opt: opt}
	t.slab = slab{mem: mem, flows: uint32(opt.Flows), chunks: uint32(opt.Chunks), chunk0: recordsAt + opt.Flows*RecordSize}
	t.phase = atomicWord(mem, ctlPhase)
	t.pool.s, t.pool.reserve = &t.slab, opt.Reserve
	if opt.Probation == 0 {
		t.opt.Probation = max(64, opt.Flows/8)
	}
	var err error
	indexed := opt.Flows
	if opt.Reserve != nil {
		indexed = min(indexed, max(firstIndex, 2*int(t.u32(ctlSlots))))
	}
	if t.index, err = newIndex(indexed); err != nil {
		return nil, Adopted{}, err
	}
	if t.wheel, err = newWheel(opt.Flows); err != nil {
		return nil, Adopted{}, err
	}
	if t.pool.free, err = newWords(opt.Chunks); err != nil {
		return nil, Adopted{}, err
	}
	t.pool.free = t.pool.free[:0]
	t.probation = newQueue(t.opt.Probation)
	if fresh {
		t.put64(ctlID, opt.SlabID|1)
	}
	ad := t.adopt(events)
	return t, ad, nil
}

func (o *Options) check(mem []byte) error {
	if err := o.Geometry.check(mem); err != nil {
		return err
	}
	if o.Seed == nil || o.Deadline == nil {
		return fmt.Errorf("BUG: flow: options without seed or deadline")
	}
	return nil
}

// ID returns the id of the slab: it changes when the flows are lost.
func (t *Table) ID() uint64 { return t.u64(ctlID) }

// Live returns how many flows the table holds.
func (t *Table) Live() int { return t.live }

// Cap returns how many flows the table can hold.
func (t *Table) Cap() int { return int(t.flows) }

// InProbation returns how many flows wait for their responder.
func (t *Table) InProbation() int { return t.probation.n }

// Clock returns the packet time of the last tick, kept in the slab.
func (t *Table) Clock() uint64 { return t.u64(ctlStats) }

// SetClock stores the packet time of a tick. It is part of the transaction.
func (t *Table) SetClock(ts uint64) { t.put64(ctlStats, ts) }

// Record returns the record of a slot that Find or Create gave.
func (t *Table) Record(slot uint32) *Record { return t.record(slot) }

// Find returns the slot of the flow with this hash. A final flow is found by its
// 128 bits; for others the caller compares the key (SameKey).
func (t *Table) Find(lo, hi uint64) (uint32, bool) {
	tag := tagOf(lo)
	for i := t.index.home(hi); ; i = (i + 1) & t.index.mask {
		b := &t.index.b[i]
		for m := b.match(tag); m != 0; m &= m - 1 {
			slot := b.slot[entry(m)]
			if slot == 0 {
				continue
			}
			r := t.record(slot - 1)
			if r.HashLo() == lo && r.HashHi() == hi {
				return slot - 1, true
			}
		}
		if b.over == 0 {
			return 0, false
		}
	}
}

// Warm loads the part of the index where Find begins, and Guess says where it is
// likely to end, without a look at the record: called for a whole batch first, one
// after the other, the loads of all its packets are under way at once. What Warm
// returns means nothing.
func (t *Table) Warm(hi uint64) uint32 { return t.index.b[t.index.home(hi)].over }

// Guess returns the slot that Find is likely to return, false when it is likely to
// find none. Is says whether it was right.
func (t *Table) Guess(lo, hi uint64) (slot uint32, ok bool) {
	b := &t.index.b[t.index.home(hi)]
	m := b.match(tagOf(lo))
	if m == 0 {
		return 0, false
	}
	slot = b.slot[entry(m)]
	return slot - 1, slot != 0
}

// Is reports whether the record of a slot is that of a flow with this hash, and
// Find would return it.
func (t *Table) Is(slot uint32, lo, hi uint64) bool {
	r := t.record(slot)
	return r.HashLo() == lo && r.HashHi() == hi && r.State() != Ended && r.State() != Free
}

// Full reports whether Create needs an eviction first: no free record, or, for a
// flow that begins in probation, a full probation area.
func (t *Table) Full(probation bool) bool {
	return t.firstFree == none && !t.fresh() || t.index.n == t.index.limit && !t.growIndex() ||
		probation && t.probation.n >= t.opt.Probation
}

// Create begins a flow in state s. Precondition: !Full(s == Probation) and Room(1).
func (t *Table) Create(k *flowkey.Key, lo, hi, ts uint64, mark uint32, s State) (uint32, *Record) {
	slot := t.take()
	r := t.TouchAll(slot)
	r.begin(k, lo, hi, t.nextID(), ts, mark)
	r.SetState(s)
	t.index.insert(lo, hi, slot)
	if s == Probation {
		t.probation.push(t, slot, r)
	}
	t.wheel.add(slot, t.opt.Deadline(r))
	t.live++
	return slot, r
}

// fresh reports whether a slot that was never used can be had.
func (t *Table) fresh() bool {
	if t.unused == t.ready && t.ready < t.flows {
		n := min(reserveStep/RecordSize, t.flows-t.ready)
		from := recordsAt + int(t.ready)*RecordSize
		if t.opt.Reserve == nil || t.opt.Reserve(t.mem[from:from+int(n)*RecordSize]) {
			t.ready += n
		} else {
			t.flows = t.ready
		}
	}
	return t.unused < t.ready
}

// take returns a free slot: one that was used before, as long as there is any,
// because its memory is there. The mark in the slab moves before the first use.
func (t *Table) take() uint32 {
	slot := t.firstFree
	if slot != none {
		t.firstFree = t.wheel.next[slot]
		return slot
	}
	slot = t.unused
	t.unused++
	t.put32(ctlSlots, t.unused)
	return slot
}

// nextID returns worker<<56 | slab epoch<<40 | counter. Counters are reserved in
// blocks, so that a restarted worker never gives one out twice.
func (t *Table) nextID() uint64 {
	if t.counter == t.reserved {
		t.reserved += counterBlock
		t.put64(ctlCounter, t.reserved)
	}
	t.counter++
	return uint64(t.opt.Worker)<<56 | t.u64(ctlID)&0xffff<<40 | t.counter&(1<<40-1)
}

// Promote takes a flow out of probation: its responder answered.
// Precondition: touched in this transaction.
func (t *Table) Promote(slot uint32, r *Record) {
	if r.State() == Probation {
		t.probation.n--
		r.SetState(Alive)
	}
}

// Rearm looks at the flow's deadline anew: called when it came nearer.
func (t *Table) Rearm(slot uint32, r *Record) {
	t.wheel.remove(slot)
	t.wheel.add(slot, t.opt.Deadline(r))
}

// Detach takes a flow that is over out of index, wheel and probation; its record
// stays, as Ended, until Release. Precondition: touched in this transaction.
func (t *Table) Detach(slot uint32, r *Record) {
	if r.State() == Ended {
		return
	}
	if r.State() == Probation {
		t.probation.n--
	}
	t.index.remove(r.HashLo(), r.HashHi(), slot)
	t.wheel.remove(slot)
	r.SetState(Ended)
}

// Release frees the record of a detached flow. Its slot can be used again when the
// transaction is done, that is when its end is published. Needs Room(1).
func (t *Table) Release(slot uint32) {
	r := t.TouchAll(slot)
	if c := r.chunk(); c != 0 {
		t.pool.retired = append(t.pool.retired, c-1)
	}
	stamp := r.stamp()
	*r = Record{}
	r.setStamp(stamp)
	t.freed = append(t.freed, slot)
	t.live--
}

// Expired returns a flow whose deadline is not after now (ns), if there is one.
// Flows that live on move to their true deadline on the way.
func (t *Table) Expired(now uint64) (uint32, bool) {
	for {
		s, ok := t.wheel.due(now)
		if !ok {
			return 0, false
		}
		if d := t.opt.Deadline(t.record(s)); d > now {
			t.wheel.remove(s)
			t.wheel.add(s, d)
			continue
		}
		return s, true
	}
}

// Samples of a search for a victim: so many flows are compared, at most so many
// records looked at. A full table whose records all wait for their end has none.
const (
	victimSample = 32
	victimSearch = 1024
)

// Victim returns the least valuable flow: the oldest in probation, otherwise the
// first of a sample by worth, then by the time it was idle. False when the table
// holds none that is easily found.
func (t *Table) Victim() (uint32, bool) {
	if s, ok := t.probation.front(t); ok {
		return s, true
	}
	if t.spreadOf != t.unused {
		t.spread, t.spreadOf = spread(t.unused), t.unused
	}
	best, found := uint32(0), false
	for i, seen := uint32(0), 0; i < min(t.unused, victimSearch) && seen < victimSample; i++ {
		t.hand = uint32((uint64(t.hand) + uint64(t.spread)) % uint64(t.unused))
		r := t.record(t.hand)
		if s := r.State(); s == Free || s == Ended {
			continue
		}
		seen++
		if !found || r.lessWorth(t.record(best)) {
			best, found = t.hand, true
		}
	}
	return best, found
}

// spread returns a step by which all of n slots are visited, neighbours far apart:
// flows that began together are worth the same.
func spread(n uint32) uint32 {
	for s := max(uint64(n)*5/8, 1); ; s++ {
		a, b := s, uint64(n)
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return uint32(s)
		}
	}
}

// lessWorth reports whether r is to be evicted before o: what is over, then what
// nobody answered (a flood of any kind), then what was idle longer.
func (r *Record) lessWorth(o *Record) bool {
	if a, b := r.State() == Closing, o.State() == Closing; a != b {
		return a
	}
	if a, b := r.Has(Replied), o.Has(Replied); a != b {
		return b
	}
	return r.Last() < o.Last()
}

// setFree links a slot into the free list.
func (t *Table) setFree(slot uint32) {
	t.wheel.next[slot] = t.firstFree
	t.firstFree = slot
}

// Each calls visit with up to n records that are in use, from slot from on, and
// returns where to go on; done says that it was the last. For snapshots.
func (t *Table) Each(from uint32, n int, visit func(slot uint32, r *Record)) (next uint32, done bool) {
	for ; from < t.unused && n > 0; from++ {
		if r := t.record(from); r.State() != Free {
			visit(from, r)
		}
		n--
	}
	return from, from >= t.unused
}
