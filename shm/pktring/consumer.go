package pktring

import (
	"fmt"
	"os"
	"sync/atomic"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// Consumer reads a ring. One goroutine owns it.
type Consumer struct {
	desc, pay     []byte
	mask, payMask uint64
	maxRecord     uint64
	head          uint64 // next position to release
	tail          uint64 // published as last seen

	hot, freed, want *atomic.Uint64 // of the ring: tail, freed, want
	position         *atomic.Uint64 // our head, for the producer
	waiting          *atomic.Uint32 // pairs with Producer.Publish
	wakeAt           uint32         // descriptors that are worth waking up for
	inflight         []byte
	working          bool // inflight is set
	stats            ConsumerStats
	shared           statsLine

	poison    uint64
	hasPoison bool

	m     *layout.Mapping
	cur   *cursor.File
	guard layout.Guard
	opts  Options
	own   layout.Owner // of our cursor file
	peer  layout.Owner // the producer's line

	nextCheck uint64
	closed    bool
}

// Options are what a consumer asks of its ring and its cursor file.
type Options struct {
	Name     string      // of the cursor, for display
	Mode     os.FileMode // of a new cursor file
	UID      int         // the user that must own the ring when CheckUID is set
	CheckUID bool
	Indices  *[2]uint16 // producer and consumer index that the ring must have
	Most     int64      // largest file in bytes, 0 = any: all of it is mapped and touched
}

// OpenConsumer maps the ring read-only and takes over the cursor file, or makes
// it. It goes on at the head it finds there; a new cursor begins with the oldest
// packet that nobody has consumed. Errors: layout.ErrAwait when the ring is not
// there yet, layout.ErrOwned when another process has the cursor.
func OpenConsumer(ringPath, cursorPath string, opts Options) (*Consumer, error) {
	m, err := layout.OpenRO(ringPath, layout.Spec{
		Magic: layout.MagicPacketRing, ABIMajor: layout.ABIMajor, Most: opts.Most, Populate: true,
		UID: opts.UID, CheckUID: opts.CheckUID,
	})
	if err != nil {
		return nil, fmt.Errorf("open packet ring: %w", err)
	}
	c, err := newConsumer(m, opts)
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("open packet ring: %w", err)
	}
	cur, fresh, err := cursor.Open(cursorPath, cursor.Packet, m.Header().RingID, opts.Name, opts.Mode)
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("open packet cursor: %w", err)
	}
	c.guard.Maps = append(c.guard.Maps, cur.Mapping)
	if err := c.Guard(func() error { c.start(cur, fresh); return nil }); err != nil {
		_, _ = cur.Close(), m.Close()
		return nil, fmt.Errorf("open packet ring %s: %w", ringPath, err)
	}
	return c, nil
}

// newConsumer checks the ring's header and cuts the mapping up.
func newConsumer(m *layout.Mapping, opts Options) (*Consumer, error) {
	g, err := checkGeometry(m.Path(), m.Header(), int64(len(m.Bytes())))
	if err != nil {
		return nil, err
	}
	r := m.Header().Ring()
	if want := opts.Indices; want != nil && (r.Producer != want[0] || r.Consumer != want[1]) {
		return nil, &layout.AttachError{
			Path: m.Path(), Err: layout.ErrGeometry,
			Want: uint64(want[0])<<16 | uint64(want[1]), Got: uint64(r.Producer)<<16 | uint64(r.Consumer),
		}
	}
	c := &Consumer{guard: layout.Guard{Maps: []*layout.Mapping{m}}, m: m, opts: opts, peer: m.Owner(), mask: g.n - 1, payMask: g.p - 1, maxRecord: g.maxRecord}
	c.wakeAt = 1
	if r.Policy&layout.PolicyWait != 0 {
		c.wakeAt = uint32(min(c.mask/8, offlineWake))
	}
	c.desc, c.pay = g.areas(m.Bytes())
	c.hot, c.freed, c.want = m.U64(layout.OffHot), m.U64(offFreed), m.U64(layout.OffWant)
	return c, nil
}

// start takes the cursor into use and finds the position to go on from.
func (c *Consumer) start(cur *cursor.File, fresh bool) {
	c.useCursor(cur)
	freed := c.freed.Load()
	tail := c.hot.Load()
	head := c.position.Load()
	switch {
	case fresh:
		head = freed
	case head-freed > tail-freed:
		c.stats.Resyncs++
		head = freed // oldest that is whole: rather twice than never
	}
	c.head, c.tail = head, head
	c.position.Store(head)
	c.findPoison(tail)
	c.own.Claim()
	c.waiting.Store(0)
}

func (c *Consumer) useCursor(cur *cursor.File) {
	c.cur, c.own = cur, cur.Owner()
	c.guard.Maps = append(c.guard.Maps[:0], c.m, cur.Mapping)
	c.position, c.waiting = cur.Position, cur.Waiting
	b := cur.Bytes()
	c.inflight = b[cursor.OffInflight : cursor.OffInflight+8 : cursor.OffInflight+8]
	c.shared = statsLine(b[cursor.OffStats : cursor.OffStats+layout.LineSize])
	c.stats.load(c.shared)
}

// Peek returns up to max descriptors that are published and not released, as one
// run of n*DescSize bytes in place; empty when there is none. Where the ring
// turns over, a run ends early: Release it and Peek again. The bytes die with
// Release.
func (c *Consumer) Peek(max int) []byte {
	avail := c.tail - c.head
	if avail == 0 {
		if avail = c.load(); avail == 0 {
			return nil
		}
	}
	slot := c.head & c.mask
	n := min(avail, uint64(max), c.mask+1-slot)
	return c.desc[slot*DescSize : (slot+n)*DescSize : (slot+n)*DescSize]
}

// load reads the published tail. A tail that makes no sense is counted and left
// alone: the producer's next publication repairs it.
func (c *Consumer) load() uint64 {
	freed := c.freed.Load()
	tail := c.hot.Load() // pairs with Producer.Publish
	if over := freed - c.head; over != 0 && over <= tail-c.head && over < 1<<63 {
		// The producer believed a head beyond ours, so our cursor was damaged:
		// what lies before freed may be overwritten.
		c.stats.Resyncs++
		c.head = freed
	}
	if tail-c.head > c.mask+1 {
		if c.hot.Load() == tail {
			c.stats.Corrupt++
		}
		return 0
	}
	c.tail = tail
	return tail - c.head
}

// Payload returns prefix and frame of a descriptor from Peek, in place; nil when
// it has none, or when its position makes no sense (counted as corrupt). The
// bytes die with Release. Precondition: len(desc) >= DescSize.
func (c *Consumer) Payload(desc []byte) []byte {
	desc = desc[:DescSize:DescSize]
	if le.Uint16(desc[offFlags:])&flagPayload == 0 {
		return nil
	}
	n := PrefixSize + uint64(le.Uint32(desc[offCapLen:]))
	off := le.Uint64(desc[offPayPos:]) & c.payMask
	if n > c.maxRecord || off+n > uint64(len(c.pay)) {
		c.stats.Corrupt++
		return nil
	}
	c.stats.Bytes += n
	return c.pay[off : off+n : off+n]
}

// Warm loads the beginning of a descriptor's payload and uses nothing of it: called
// for a batch first, its cache misses are under way at once. What it returns means
// nothing. Precondition: len(desc) >= DescSize.
func (c *Consumer) Warm(desc []byte) uint8 {
	desc = desc[:DescSize:DescSize]
	if le.Uint16(desc[offFlags:])&flagPayload == 0 {
		return 0
	}
	off := le.Uint64(desc[offPayPos:]) & c.payMask
	const headers = 2 * 64 // and where they end, in the next line
	if off+headers >= uint64(len(c.pay)) {
		return 0
	}
	return c.pay[off] ^ c.pay[off+64] ^ c.pay[off+headers]
}

// Position returns the position of the first descriptor of Peek. Positions count
// descriptors since the ring was made.
func (c *Consumer) Position() uint64 { return c.head }

// Release gives the first n descriptors of Peek and their payloads back to the
// producer: one store for the batch.
func (c *Consumer) Release(n int) {
	if uint64(n) > c.tail-c.head {
		panic(fmt.Sprintf("BUG: release of %d descriptors, %d seen", n, c.tail-c.head))
	}
	if c.working {
		c.working = false
		host.PutUint64(c.inflight, 0)
	}
	c.stats.Records += uint64(n)
	c.head += uint64(n)
	c.position.Store(c.head)
	// Pairs with Producer.WaitSpace: it stores want and then loads our position.
	if w := c.want.Load(); w != 0 && c.head-w < 1<<63 {
		layout.FutexWake(layout.LowHalf(c.position))
	}
}

// Backlog returns how many descriptors are published and not released.
func (c *Consumer) Backlog() uint64 {
	if n := c.hot.Load() - c.head; n <= c.mask+1 {
		return n
	}
	return 0
}

// Descriptors returns the ring's capacity in descriptors.
func (c *Consumer) Descriptors() uint64 { return c.mask + 1 }

// Header returns the ring's static header.
func (c *Consumer) Header() *layout.Header { return c.m.Header() }

// RingID returns the random word that tells this ring from others of its name.
func (c *Consumer) RingID() uint64 { return c.m.Header().RingID }

// Stats returns the counters, those of earlier consumers of the cursor included.
func (c *Consumer) Stats() ConsumerStats { return c.stats }

// Commit shows the counters to others. Once per batch at most.
func (c *Consumer) Commit() { c.stats.store(c.shared) }
