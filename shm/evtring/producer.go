package evtring

import (
	"fmt"
	"sync/atomic"

	"weir/shm/layout"
)

// intentStep is how far intent runs ahead of what is written at least, so that its full
// barrier is paid once for many records.
const intentStep = 16384

// stepOf is intentStep for a ring of n bytes: in a large one more, up to a block,
// because with every step the readers are looked at, which are system calls.
func stepOf(n uint64) uint64 { return min(max(n/128, intentStep), BlockSize) }

// Producer writes a ring. One goroutine owns it.
type Producer struct {
	data      []byte
	mask      uint64
	next      uint64 // position after the last record
	published uint64 // tail as readers see it
	intent    uint64
	epoch     uint64
	counter   uint64 // of the next record

	rec    uint64 // position of the record that is being filled
	recLen uint64 // its length; 0: none

	tail    *atomic.Uint64 // pairs with Reader.fill
	intentW *atomic.Uint64 // pairs with Reader.fill
	want    *atomic.Uint64 // pairs with Reader.Commit
	stats   ProducerStats
	shared  statsLine

	readers registry
	lag     uint64 // of the slowest reader that is not lapped, at the last step

	m         *layout.Mapping
	guard     layout.Guard
	cfg       Config
	spec      layout.Spec
	owner     layout.Owner
	fresh     bool
	closed    bool
	nextCheck uint64
}

// OpenProducer takes over the ring at cfg.Path or makes it. An existing ring goes
// on at its tail, in a new epoch; what its last producer wrote beyond the tail is
// gone. One of another geometry, or a damaged one, is retired, and a new one takes
// its name. The error is layout.ErrOwned when another process has the ring.
func OpenProducer(cfg Config) (*Producer, error) {
	spec, err := cfg.spec()
	if err != nil {
		return nil, err
	}
	m, fresh, err := layout.CreateOrOpen(cfg.Path, spec)
	if err != nil {
		return nil, fmt.Errorf("open event ring: %w", err)
	}
	p := &Producer{cfg: cfg, spec: spec, fresh: fresh}
	p.use(m)
	if !fresh && m.Guard(p.takeOver) != nil {
		if m, err = m.Replace(spec); err != nil {
			_ = p.m.Close()
			return nil, fmt.Errorf("replace damaged event ring: %w", err)
		}
		p.fresh = true
		p.use(m)
	}
	p.epoch = p.owner.Claim() & epochMask
	p.scan()
	return p, nil
}

// use points p at a ring without records.
func (p *Producer) use(m *layout.Mapping) {
	p.m, p.owner = m, m.Owner()
	p.guard.Maps = append(p.guard.Maps[:0], m)
	n := p.cfg.Capacity
	p.data = m.Bytes()[layout.HeaderSize : layout.HeaderSize+n : layout.HeaderSize+n]
	p.mask = uint64(n) - 1
	p.tail, p.intentW, p.want = m.U64(layout.OffHot), m.U64(offIntent), m.U64(layout.OffWant)
	p.shared = statsLine(m.Bytes()[layout.OffStats : layout.OffStats+layout.LineSize])
	p.stats.load(p.shared)
	p.next, p.published, p.intent, p.counter, p.recLen = 0, 0, 0, 1, 0
}

// Reserve begins an event of n payload bytes and returns them, to be filled in
// place before the next call to the producer: that completes the event. It
// returns nil only when n is more than MaxPayload. The bytes are not cleared. ts
// is a time in ns. With Config.Wait it may publish and wait for readers.
func (p *Producer) Reserve(typ uint16, ver, flags uint8, ts uint64, n int) []byte {
	if uint(n) > MaxPayload {
		return nil
	}
	p.complete()
	length := RecordHeader + uint64(n)
	size, pad := alignUp(length), uint64(0)
	if room := toBlockEnd(p.next); size > room {
		pad = room
	}
	end := p.next + pad + size
	if int64(end-p.intent) > 0 {
		p.advance(end)
	}
	if pad != 0 {
		host.PutUint32(p.data[p.next&p.mask:], padBit|uint32(pad))
		p.next += pad
	}
	off := p.next & p.mask
	b := p.data[off : off+length : off+length]
	h := b[:RecordHeader:RecordHeader]
	host.PutUint32(h[offLen:], uint32(length))
	host.PutUint16(h[offType:], typ)
	h[offVer], h[offFlags] = ver, flags
	host.PutUint64(h[offSeq:], p.epoch<<counterBits|p.counter&counterMask)
	host.PutUint64(h[offTS:], ts)
	host.PutUint64(h[offCRC:], 0)
	p.rec, p.recLen = p.next, length
	p.next = end
	p.counter++
	return b[RecordHeader:]
}

// Trim shortens the event that Reserve began to its first n payload bytes, for
// callers that learn the length while they write. A larger n changes nothing.
func (p *Producer) Trim(n int) {
	length := RecordHeader + uint64(n)
	if p.recLen == 0 || n < 0 || length >= p.recLen {
		return
	}
	host.PutUint32(p.data[p.rec&p.mask+offLen:], uint32(length))
	p.recLen = length
	p.next = p.rec + alignUp(length)
}

// complete puts the checksum on the event that was being filled.
func (p *Producer) complete() {
	if p.recLen == 0 {
		return
	}
	off := p.rec & p.mask
	b := p.data[off : off+p.recLen : off+p.recLen]
	host.PutUint32(b[offCRC:], recordCRC(b))
	p.stats.Bytes += p.recLen
	p.stats.Events++
	p.recLen = 0
}

// advance moves intent beyond end, before anything there is overwritten.
func (p *Producer) advance(end uint64) {
	// A batch without end must not overwrite itself before anybody saw it.
	if end-p.published > (p.mask+1)/4 {
		p.publish()
	}
	target := end + stepOf(p.mask+1)
	if p.cfg.Wait {
		p.waitUntil(end, nil)
		if limit, ok := p.limit(); ok && int64(target-limit) > 0 && int64(limit-end) >= 0 {
			target = limit
		}
	}
	p.lag = p.readers.lag(p.published, p.mask+1)
	// Swap, not Store: on arm64 a store only keeps what is before it before it.
	p.intentW.Swap(target)
	p.intent = target
}

// Publish completes the last event, shows everything reserved so far to the
// readers, with one store, and wakes those that sleep.
func (p *Producer) Publish() {
	p.complete()
	if p.next != p.published {
		p.publish()
	}
	p.stats.MaxLag = p.lag
	p.stats.store(p.shared)
}

func (p *Producer) publish() {
	p.published = p.next
	p.stats.Batches++
	p.tail.Store(p.next)
	// Pairs with Reader.Wait, which sets waiting and then loads the tail.
	if p.readers.wantsWake(p.next) {
		p.wake()
	}
}

func (p *Producer) wake() {
	layout.FutexWake(layout.LowHalf(p.tail))
	p.stats.Wakes++
}

// Tail returns the position up to which events are published.
func (p *Producer) Tail() uint64 { return p.published }

// Next returns the position the next event will get, or one before it that is
// beyond every earlier event, where it goes to the next block. An event is
// published if and only if Tail is greater than the Next taken before it.
func (p *Producer) Next() uint64 { return p.next }

// NextSeq returns the sequence number the next event will get.
func (p *Producer) NextSeq() uint64 { return p.epoch<<counterBits | p.counter&counterMask }

// Epoch returns how many producers the file has had.
func (p *Producer) Epoch() uint64 { return p.epoch }

// Fresh reports whether the ring is a new file, rather than taken over: then all
// positions of before mean nothing.
func (p *Producer) Fresh() bool { return p.fresh }

// RingID returns the random word that tells this file from others of its name.
func (p *Producer) RingID() uint64 { return p.m.Header().RingID }

// Capacity returns the bytes that the ring holds.
func (p *Producer) Capacity() uint64 { return p.mask + 1 }

// Stats returns the counters, those of earlier producers of the file included.
func (p *Producer) Stats() ProducerStats { return p.stats }
