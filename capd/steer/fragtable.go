package steer

import (
	"bytes"
	"time"

	"weir/proto/flowkey"
)

// FragmentConfig bounds what waits for the rest of its datagram. The zero value
// stands for the defaults.
type FragmentConfig struct {
	Datagrams int           // that wait at a time; default 1024
	Bytes     int           // of fragments; default 4 MiB, at least 256 KiB
	Timeout   time.Duration // packet time; default 30 s, as RFC 791 hints and Linux does
}

const (
	// lateWindow is how long a datagram that went on is remembered, so that a
	// late fragment does not begin a new one. Short, because the 16-bit id of
	// IPv4 comes round in seconds on a fast network file system.
	lateWindow = uint64(2 * time.Second)

	// piecesPerDatagram sizes the slots for fragments: an average, not a limit.
	piecesPerDatagram = 8

	// maxPieces bounds the fragments of one datagram, since each is compared
	// with its neighbours: 64 KiB in fragments of the smallest MTU of IPv4
	// that is met in earnest, 576, are 120.
	maxPieces = 256
)

// state of a datagram in the table.
type state uint8

const (
	free state = iota
	holding
	done // went on; remembered for lateWindow
	dead // contradicted itself; remembered until its time-out
	numStates
)

// datagram is what is known of one.
type datagram struct {
	key         flowkey.Key
	since       uint64 // stream time at which it came into its state
	first, last uint64 // pieces in the order of their offsets
	gen         uint32 // +1 whenever the slot is given to another datagram
	pieces      uint32
	wire        uint32
	have        int // bytes of data that arrived
	total       int // bytes of data of the whole, -1 while unknown
	head        fragment
	chain       int32 // next in the hash bucket
	prev, next  int32 // in the list of its state
	state       state
}

const none = int32(-1)

// fragments holds fragments until their datagram is complete.
//
// A datagram whose fragments overlap is dropped from inspection with all that
// belongs to it (RFC 5722, and RFC 1858's reasons for IPv4): two receivers may
// read it differently, so nothing true can be said about it. Only an exact copy
// of a fragment is ignored.
type fragments struct {
	store
	seed    *flowkey.Seed
	count   *Counters
	timeout uint64
	table   []datagram
	buckets []int32
	lists   [numStates]list
	out     []byte // the rebuilt frame
}

// list is a queue of datagrams in one state, the oldest first.
type list struct{ first, last int32 }

func newFragments(c FragmentConfig, seed *flowkey.Seed, count *Counters) *fragments {
	if c.Datagrams <= 0 {
		c.Datagrams = 1024
	}
	if c.Bytes <= 0 {
		c.Bytes = 4 << 20
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	t := &fragments{
		store:   newStore(max(c.Bytes, 256<<10), piecesPerDatagram*c.Datagrams),
		seed:    seed,
		count:   count,
		timeout: uint64(c.Timeout),
		table:   make([]datagram, c.Datagrams),
		buckets: make([]int32, 2*c.Datagrams),
		out:     make([]byte, maxHead+maxDatagram),
	}
	for i := range t.buckets {
		t.buckets[i] = none
	}
	for i := range t.lists {
		t.lists[i] = list{none, none}
	}
	for i := range t.table {
		t.push(int32(i), free)
	}
	return t
}

// add takes the fragment that p stands for. When it completes its datagram, p
// becomes the packet of that and rebuilt is true; the outcome is then that of
// the whole. Otherwise the outcome is final for the frame.
func (t *fragments) add(p *Packet, now uint64) (out Outcome, rebuilt bool) {
	f := &p.frag
	data := p.b[min(f.data, len(p.b)):min(f.end, len(p.b))]
	var head []byte
	if f.off == 0 {
		head = p.b[:f.data] // the parser has read all of it
	}
	for !t.room(len(head) + len(data)) {
		t.reclaim() // before the look-up, since it may end any datagram
	}
	key := p.fragmentKey()
	lo, _ := key.Hash(t.seed)
	i := t.find(&key, lo)
	if i != none {
		d := &t.table[i]
		switch {
		case d.state == holding:
		case d.state == dead && now-d.since <= t.timeout:
			return FragmentOverlap, false
		case d.state == done && now-d.since <= lateWindow:
			return FragmentLate, false
		default: // the id has come round
			t.release(i)
			i = none
		}
	}
	if i == none {
		i = t.begin(&key, lo, now)
	}
	out = t.insert(i, f, head, data)
	if out != Held {
		return out, false
	}
	d := &t.table[i]
	d.wire += p.Fields.WireLen
	t.count[Held]++
	if d.have != d.total {
		return Held, false
	}
	t.count[Held] -= uint64(d.pieces)
	t.count[Merged] += uint64(d.pieces) - 1 // the last one is the record's
	frame, end := t.rebuild(d)
	t.move(i, done, now)
	return p.whole(frame, d.head.l3, end, d.wire), true
}

// insert brings a fragment to its place in datagram i.
func (t *fragments) insert(i int32, f *fragment, head, data []byte) Outcome {
	d := &t.table[i]
	n := f.end - f.data
	before, after := noPiece, d.first
	if d.last != noPiece && int(t.piece(d.last).off) < f.off {
		before, after = d.last, noPiece // in order, as nearly all are
	}
	for after != noPiece && int(t.piece(after).off) < f.off {
		before, after = after, t.piece(after).next
	}
	if after != noPiece {
		q := t.piece(after)
		if int(q.off) == f.off && int(q.n) == n && bytes.Equal(t.bytes(q), data) {
			return FragmentDuplicate
		}
		if f.off+n > int(q.off) || !f.more {
			return t.kill(i)
		}
	}
	if before != noPiece {
		if q := t.piece(before); int(q.off)+int(q.n) > f.off {
			return t.kill(i)
		}
	}
	if d.total >= 0 && f.off+n > d.total {
		return t.kill(i)
	}
	if d.pieces == maxPieces {
		t.end(i, FragmentEvicted)
		return FragmentEvicted
	}
	number := t.put(piece{
		owner: i, gen: d.gen, next: after,
		off: uint16(f.off), n: uint16(n), skip: uint16(len(head)), have: uint16(len(data)),
	}, head, data)
	if before == noPiece {
		d.first = number
	} else {
		t.piece(before).next = number
	}
	if after == noPiece {
		d.last = number
	}
	if !f.more {
		d.total = f.off + n
	}
	if f.off == 0 {
		d.head = *f
	}
	d.pieces++
	d.have += n
	return Held
}

// rebuild makes one frame of a complete datagram and returns also where it
// would end had the capture cut no fragment.
func (t *fragments) rebuild(d *datagram) (frame []byte, end int) {
	b := t.out[:copy(t.out, t.head(t.piece(d.first))[:d.head.head])]
	for at := d.first; at != noPiece; {
		q := t.piece(at)
		b = append(b, t.bytes(q)...)
		if q.have < q.n {
			break // what follows would stand at the wrong place
		}
		at = q.next
	}
	setWhole(b, &d.head, d.total)
	return b, d.head.head + d.total
}
