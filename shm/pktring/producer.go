package pktring

import (
	"fmt"
	"sync/atomic"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// Producer writes a ring. One goroutine owns it.
type Producer struct {
	desc, pay []byte
	// shadow is the payload position of every descriptor in [head, next), by
	// slot. It is private: space is freed by it, not by what the file says.
	shadow           []uint64
	mask, payMask    uint64
	maxRecord        uint64
	next             uint64 // position of the next descriptor
	published        uint64 // tail as the consumer sees it
	head             uint64 // consumer's head as last believed
	payNext, payHead uint64 // payload positions: next to write, oldest in use

	tail   *atomic.Uint64 // pairs with Consumer.load
	freed  *atomic.Uint64 // read by a consumer without a usable cursor
	want   *atomic.Uint64 // pairs with Consumer.Release
	cur    *cursor.File   // nil until the consumer made its file
	stats  ProducerStats
	shared statsLine

	lostPackets, lostBytes uint64 // not yet reported in the ring

	m            *layout.Mapping
	guard        layout.Guard
	cfg          Config
	spec         layout.Spec
	owner        layout.Owner
	epoch        uint64
	fresh        bool
	consumerDown bool
	nextCheck    uint64 // when Housekeeping is due
	nextLook     uint64 // when WaitSpace asks for the consumer
	closed       bool
}

// OpenProducer takes over the ring at cfg.Path or makes it. An existing ring
// goes on where its last producer published. One that is of another geometry or
// not consistent is retired, and a new one takes its name. The error is
// layout.ErrOwned when another process has the ring.
func OpenProducer(cfg Config) (*Producer, error) {
	spec, g, err := cfg.spec()
	if err != nil {
		return nil, err
	}
	m, fresh, err := layout.CreateOrOpen(cfg.Path, spec)
	if err != nil {
		return nil, fmt.Errorf("open packet ring: %w", err)
	}
	p := &Producer{cfg: cfg, spec: spec, fresh: fresh}
	p.use(m, g)
	p.attachCursor()
	if !fresh && p.Guard(p.takeOver) != nil {
		if m, err = m.Replace(spec); err != nil {
			p.dropCursor()
			_ = p.m.Close()
			return nil, fmt.Errorf("replace inconsistent packet ring: %w", err)
		}
		p.dropCursor() // it belongs to the old ring
		p.fresh = true
		p.use(m, g)
	}
	p.epoch = p.owner.Claim()
	return p, nil
}

// use points p at a ring without records.
func (p *Producer) use(m *layout.Mapping, g geometry) {
	p.m, p.owner = m, m.Owner()
	p.guardMaps()
	p.desc, p.pay = g.areas(m.Bytes())
	p.mask, p.payMask, p.maxRecord = g.n-1, g.p-1, g.maxRecord
	p.tail, p.freed, p.want = m.U64(layout.OffHot), m.U64(offFreed), m.U64(layout.OffWant)
	p.shared = statsLine(m.Bytes()[layout.OffStats : layout.OffStats+layout.LineSize])
	p.stats.load(p.shared)
	if p.shadow == nil {
		p.shadow = make([]uint64, g.n)
	}
	p.next, p.published, p.head, p.payNext, p.payHead = 0, 0, 0, 0, 0
}

// Put copies one packet into the ring: its descriptor and, unless prefix is nil,
// 16 bytes of prefix and the frame. It fills in the payload position, the payload
// flag and, with a payload, the captured length. The record is seen by the
// consumer after Publish.
//
// False means that the packet is not in the ring: it is full (then Drop or
// WaitSpace), or the frame is longer than MaxFrame (counted as too long).
// Precondition: len(desc) >= DescSize, prefix is nil or of PrefixSize.
func (p *Producer) Put(desc, prefix, frame []byte) bool {
	if prefix == nil {
		frame = nil
	}
	size, slots := uint64(0), uint64(1)
	if prefix != nil {
		size = PrefixSize + uint64(len(frame))
		if size > p.maxRecord {
			p.stats.TooLong++
			return false
		}
	}
	if p.lostPackets != 0 {
		slots = 2
	}
	pos := p.payNext
	if off := pos & p.payMask; off+size > p.payMask+1 {
		pos += p.payMask + 1 - off // never wraps: go to the start of the area
	}
	end := pos + alignUp(size)
	if p.next-p.head+slots > p.mask+1 || end-p.payHead > p.payMask+1 {
		if !p.reclaim(slots, end) {
			return false
		}
	}
	// The last published descriptor stays intact: a restarted producer reads
	// where it was from it.
	if p.next-p.published+slots > p.mask {
		p.Publish()
	}
	if slots == 2 {
		p.putLost(desc)
	}
	slot := p.next & p.mask
	d := (*[DescSize]byte)(p.desc[slot*DescSize:])
	*d = *(*[DescSize]byte)(desc)
	le.PutUint64(d[offPayPos:], pos)
	flags := le.Uint16(d[offFlags:]) &^ flagPayload
	if prefix != nil {
		flags |= flagPayload
		le.PutUint32(d[offCapLen:], uint32(len(frame)))
		off := pos & p.payMask
		dst := p.pay[off : off+size : off+size]
		*(*[PrefixSize]byte)(dst) = *(*[PrefixSize]byte)(prefix)
		copy(dst[PrefixSize:], frame)
	}
	le.PutUint16(d[offFlags:], flags)
	p.shadow[slot] = pos
	p.next++
	p.payNext = end
	p.stats.Bytes += size
	return true
}

// putLost writes the record that tells the consumer of packets that did not fit.
// It borrows time and ordinal of the packet it stands before.
func (p *Producer) putLost(before []byte) {
	slot := p.next & p.mask
	d := p.desc[slot*DescSize : slot*DescSize+DescSize : slot*DescSize+DescSize]
	clear(d)
	copy(d[offTS:offTS+8], before[offTS:])
	copy(d[offOrdinal:offOrdinal+8], before[offOrdinal:])
	le.PutUint64(d[offHashLo:], p.lostPackets)
	le.PutUint64(d[offHashHi:], p.lostBytes)
	le.PutUint64(d[offPayPos:], p.payNext)
	d[offKind] = kindLost
	p.shadow[slot] = p.payNext
	p.next++
	p.lostPackets, p.lostBytes = 0, 0
}

// reclaim looks how far the consumer is and reports whether slots descriptors
// and payload up to position end fit now.
func (p *Producer) reclaim(slots, end uint64) bool {
	p.loadHead()
	return p.next-p.head+slots <= p.mask+1 && end-p.payHead <= p.payMask+1
}

// loadHead believes the consumer's head if it lies in [last head, published], and
// so never moves back. Nonsense leaves the ring full at worst: packets dropped
// and counted.
func (p *Producer) loadHead() {
	if p.cur == nil {
		return
	}
	h := p.cur.Position.Load()
	if h == p.head || h-p.head > p.published-p.head {
		return
	}
	p.head = h
	if h == p.next {
		p.payHead = p.payNext
	} else {
		p.payHead = p.shadow[h&p.mask]
	}
	p.freed.Store(h) // before anything in the freed space is overwritten
}

// Publish shows everything put so far to the consumer, with one store, and wakes
// it if it sleeps.
func (p *Producer) Publish() { p.publish(true) }

// Show is Publish that lets a sleeping consumer sleep: it finds the records when it
// wakes up for others, or after 10 ms.
func (p *Producer) Show() { p.publish(false) }

func (p *Producer) publish(wake bool) {
	if p.next != p.published {
		p.stats.Records += p.next - p.published
		p.stats.Batches++
		p.published = p.next
		p.tail.Store(p.next)
		// Pairs with Consumer.Wait, which sets Waiting and then loads the tail: one
		// of the two sees the other.
		if wake && p.cur != nil && p.cur.WantsWake(p.next) {
			p.wake()
		}
	}
	p.stats.store(p.shared)
}

func (p *Producer) wake() {
	layout.FutexWake(layout.LowHalf(p.tail))
	p.stats.Wakes++
}

// Drop accounts for packets that did not fit. The next record that fits is
// preceded by one of kind "lost", which carries the sums.
func (p *Producer) Drop(packets, bytes uint64) {
	p.lostPackets += packets
	p.lostBytes += bytes
	if p.consumerDown {
		p.stats.DroppedConsumerDown += packets
		return
	}
	p.stats.Dropped += packets
	p.stats.DroppedBytes += bytes
}

// Last returns a copy of the last published descriptor, false when the ring never
// had one. A restarted producer learns from it where it was.
func (p *Producer) Last() (desc [DescSize]byte, ok bool) {
	if p.published == 0 {
		return desc, false
	}
	copy(desc[:], p.desc[(p.published-1)&p.mask*DescSize:])
	return desc, true
}

// Position returns the position of the next descriptor.
func (p *Producer) Position() uint64 { return p.next }

// MaxFrame returns the longest frame in bytes that this ring carries.
func (p *Producer) MaxFrame() int { return int(p.maxRecord) - PrefixSize }

// Fresh reports whether the ring is a new file, rather than taken over.
func (p *Producer) Fresh() bool { return p.fresh }

// Epoch returns how many producers the file has had.
func (p *Producer) Epoch() uint64 { return p.epoch }

// RingID returns the random word that tells this file from others of its name.
func (p *Producer) RingID() uint64 { return p.m.Header().RingID }

// InRing returns how many descriptors wait for the consumer, published or not.
func (p *Producer) InRing() uint64 {
	p.loadHead()
	return p.next - p.head
}

// Stats returns the counters, those of earlier producers of the file included.
func (p *Producer) Stats() ProducerStats { return p.stats }
