package pktring

import (
	"errors"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// errInconsistent is private: a ring that earns it is replaced.
var errInconsistent = errors.New("packet ring not consistent")

// takeOver rebuilds the private state from the file of a producer that is gone.
// The file is our own, but a damaged one must not lead to overwritten packets.
func (p *Producer) takeOver() error {
	tail, freed := p.tail.Load(), p.freed.Load()
	if tail-freed > p.mask+1 {
		return errInconsistent
	}
	p.next, p.published, p.head = tail, tail, freed
	if p.cur != nil {
		if h := p.cur.Position.Load(); h-freed <= tail-freed {
			p.head = h
		}
	}
	if err := p.rebuildShadow(); err != nil {
		return err
	}
	p.freed.Store(p.head)
	return nil
}

// rebuildShadow walks the published descriptors that are not consumed: positions
// must not fall, payloads must neither wrap nor overlap nor exceed the area.
func (p *Producer) rebuildShadow() error {
	first := p.head
	if first == p.published {
		first-- // all consumed: the last one still says where the payload ends
	}
	var start, end uint64
	for pos := first; pos != p.published; pos++ {
		slot := pos & p.mask
		d := p.desc[slot*DescSize : slot*DescSize+DescSize]
		at, n := le.Uint64(d[offPayPos:]), payloadLen(d)
		if pos == first {
			start, end = at, at
		}
		if n > p.maxRecord || at%align != 0 || at&p.payMask+n > p.payMask+1 || at-end > p.payMask {
			return errInconsistent
		}
		end = at + alignUp(n)
		if end-start > p.payMask+1 {
			return errInconsistent
		}
		p.shadow[slot] = at
	}
	p.payNext, p.payHead = end, start
	if p.head == p.published {
		p.payHead = end
	}
	return nil
}

// attachCursor maps the consumer's file if it is there and not mapped yet.
func (p *Producer) attachCursor() {
	if p.cur != nil && !p.cur.Whole() {
		p.dropCursor()
	}
	if p.cur != nil && !p.cur.Replaced() {
		return
	}
	if p.cfg.CursorPath == "" {
		return
	}
	c, err := cursor.Map(p.cfg.CursorPath, cursor.Packet, p.RingID())
	if err != nil {
		return // not there yet, or of an older ring: the consumer will come
	}
	p.dropCursor()
	p.cur = c
	p.guardMaps()
}

func (p *Producer) dropCursor() {
	if p.cur != nil {
		_ = p.cur.Close()
		p.cur = nil
		p.guardMaps()
	}
}

func (p *Producer) guardMaps() {
	p.guard.Maps = append(p.guard.Maps[:0], p.m)
	if p.cur != nil {
		p.guard.Maps = append(p.guard.Maps, p.cur.Mapping)
	}
}

// ConsumerAlive asks the kernel whether a consumer holds its cursor file.
func (p *Producer) ConsumerAlive() bool {
	p.attachCursor()
	alive := p.cur != nil && p.cur.Locked()
	p.consumerDown = !alive
	return alive
}

// checkEvery is how often Housekeeping really looks.
const checkEvery = 100 * time.Millisecond

// Housekeeping is to be called now and then, at least every 100 ms; it looks at
// most that often. It beats the heart, finds a consumer that came or left, and
// makes a new ring file when the present one was deleted or truncated under us
// (rebuilt true): what was in the old one is the consumer's to drain.
func (p *Producer) Housekeeping() (rebuilt bool, err error) {
	now := layout.Monotonic()
	if now < p.nextCheck {
		return false, nil
	}
	p.nextCheck = now + uint64(checkEvery)
	if p.m.Replaced() || !p.m.Whole() {
		return true, p.rebuild()
	}
	p.owner.Beat()
	p.ConsumerAlive()
	return false, nil
}

// rebuild replaces a lost file by a new one of the same name.
func (p *Producer) rebuild() error {
	err := p.Guard(func() error { p.Publish(); return nil })
	_ = err // a truncated file cannot be published to; its packets are lost with it
	stats := p.stats
	m, err := p.m.Replace(p.spec)
	if err != nil {
		return err
	}
	p.dropCursor()
	p.use(m, geometry{n: p.mask + 1, p: p.payMask + 1, maxRecord: p.maxRecord})
	p.stats, p.fresh = stats, true
	p.epoch = p.owner.Claim()
	return nil
}

// sleepSlice bounds every sleep: a lost wake costs no more.
const sleepSlice = 10 * time.Millisecond

// WaitSpace publishes and waits until any record fits, at most for timeout. It
// sleeps until half of the ring is free: waking is dear, and one wake should buy
// a long batch.
func (p *Producer) WaitSpace(timeout time.Duration) bool {
	p.Publish()
	if p.roomForAny() {
		return true
	}
	defer p.want.Store(0)
	if p.cur != nil && p.cur.Waiting.Load() != 0 {
		p.wake() // it may be waiting for more than will come
	}
	for end := time.Now().Add(timeout); ; {
		p.want.Store(p.head + (p.next-p.head+1)/2)
		if p.roomForAny() {
			return true
		}
		left := min(time.Until(end), sleepSlice)
		if left <= 0 {
			return false
		}
		p.sleep(left)
		if now := layout.Monotonic(); p.cur == nil || now >= p.nextLook {
			p.ConsumerAlive() // not Housekeeping: a rebuilt ring is the caller's to know
			p.nextLook = now + uint64(checkEvery)
		}
	}
}

func (p *Producer) sleep(d time.Duration) {
	if p.cur == nil {
		// Nobody to wake us; the word does not change.
		layout.FutexWait(layout.LowHalf(p.want), uint32(p.want.Load()), min(d, time.Millisecond))
		return
	}
	// A consumer that passed p.head since was seen by roomForAny, unless what it
	// freed is not enough: then its next step changes the word.
	layout.FutexWait(layout.LowHalf(p.cur.Position), uint32(p.cur.Position.Load()), d)
}

// roomForAny reports whether a record of any length, and a "lost" before it, fits.
func (p *Producer) roomForAny() bool {
	p.loadHead()
	if p.next == p.head {
		return true
	}
	return p.next-p.head+2 <= p.mask+1 && p.payNext-p.payHead+2*p.maxRecord <= p.payMask+1
}

// Guard runs f, in which p may be used, and turns the loss of the ring's memory
// into layout.ErrRingLost. Then call Housekeeping.
func (p *Producer) Guard(f func() error) error {
	err := p.guard.Run(f)
	if err != nil {
		p.nextCheck = 0
	}
	return err
}

// Guard is Producer.Guard for several producers at once.
func Guard(all []*Producer, f func() error) error {
	if len(all) == 0 {
		return f()
	}
	return all[0].Guard(func() error { return Guard(all[1:], f) })
}

// SetState tells consumers how things are, and wakes them.
func (p *Producer) SetState(s layout.State) {
	p.owner.SetState(s)
	layout.FutexWake(layout.LowHalf(p.tail))
}

// Retire publishes and tells the consumer to drain the ring and look for a new one.
func (p *Producer) Retire() {
	p.Publish()
	p.SetState(layout.StateRetired)
}

// Close publishes, says that nothing will follow unless the ring was retired, and
// lets go of the file, which stays. Idempotent.
func (p *Producer) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.Guard(func() error {
		p.Publish()
		if p.owner.State() != layout.StateRetired {
			p.SetState(layout.StateClosed)
		}
		return nil
	})
	p.dropCursor()
	return errors.Join(err, p.m.Close())
}
