package evtring

import (
	"errors"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// checkEvery is how often Housekeeping really looks.
const checkEvery = 100 * time.Millisecond

// sleepSlice bounds every sleep: a lost wake costs no more.
const sleepSlice = 10 * time.Millisecond

// errDamaged is private: a ring that earns it is replaced.
var errDamaged = errors.New("event ring damaged")

// takeOver reads from the file of a producer that is gone where it was: its
// tail, and the counter of its last published event.
func (p *Producer) takeOver() error {
	tail, intent := p.tail.Load(), p.intentW.Load()
	if intent-tail > p.mask+1 || tail%align != 0 {
		return errDamaged
	}
	p.next, p.published, p.intent = tail, tail, intent
	if tail == 0 {
		return nil
	}
	// A block begins with a record: walk from there to the last one.
	last, pos := uint64(0), (tail-1)&^(BlockSize-1)
	for pos != tail {
		left := min(toBlockEnd(pos), tail-pos)
		off := pos & p.mask
		length := uint64(host.Uint32(p.data[off:]))
		switch {
		case length == padBit|toBlockEnd(pos) && left == toBlockEnd(pos):
			pos += left
		case length < RecordHeader || length > MaxRecord || alignUp(length) > left:
			return errDamaged
		default:
			b := p.data[off : off+length]
			if recordCRC(b) != host.Uint32(b[offCRC:]) {
				return errDamaged
			}
			last = host.Uint64(b[offSeq:])
			pos += alignUp(length)
		}
	}
	p.counter = Counter(last) + 1
	return nil
}

func (p *Producer) scan() {
	p.readers.at = p.next
	p.readers.scan(p.cfg.CursorDir, p.cfg.Worker, p.RingID(), layout.Monotonic())
	p.guard.Maps = append(p.guard.Maps[:0], p.m)
	for _, r := range p.readers.list {
		p.guard.Maps = append(p.guard.Maps, r.file.Mapping)
	}
}

// Housekeeping is to be called now and then, at least every 100 ms; it looks at
// most that often. It beats the heart, finds readers that came or left, and makes
// a new ring file when the present one was deleted or truncated under us (rebuilt
// true): readers attach to it and ask for snapshots.
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
	p.scan()
	p.lag = p.readers.lag(p.published, p.mask+1)
	return false, nil
}

// rebuild replaces a lost file by a new one of the same name.
func (p *Producer) rebuild() error {
	err := p.Guard(func() error { p.Publish(); return nil })
	_ = err // a truncated file cannot be published to; its events are lost with it
	stats := p.stats
	m, err := p.m.Replace(p.spec)
	if err != nil {
		return err
	}
	p.readers.close()
	p.use(m)
	p.stats, p.fresh = stats, true
	p.epoch = p.owner.Claim() & epochMask
	p.scan()
	return nil
}

// MaxLag returns how many bytes the slowest reader is behind that is not closed
// and not lapped already. It is fresh within a block of events.
func (p *Producer) MaxLag() uint64 { return p.lag }

// ShedLow reports whether low-priority events should not be written now, because
// a reader is more than half a ring behind. Offline nothing is ever shed. Count
// what is not written with Shed.
func (p *Producer) ShedLow() bool { return !p.cfg.Wait && p.lag > (p.mask+1)/2 }

// Shed counts n low-priority events that were not written.
func (p *Producer) Shed(n uint64) { p.stats.Shed += n }

// SnapshotBegun and SnapshotDone count snapshots.
func (p *Producer) SnapshotBegun() { p.stats.SnapshotsBegun++ }

// SnapshotDone counts a snapshot that was written to its end.
func (p *Producer) SnapshotDone() { p.stats.SnapshotsDone++ }

// ResyncRequest is a reader's wish for a snapshot.
type ResyncRequest struct {
	Consumer string
	Req      uint32 // number of the request, to be named in the snapshot
	Reason   uint32
}

// ResyncRequests returns the requests that came since the last call, those of
// readers found by Housekeeping. A request that an earlier producer may not have
// answered is reported again.
func (p *Producer) ResyncRequests() []ResyncRequest {
	var out []ResyncRequest
	for _, r := range p.readers.list {
		req := r.file.U32(cursor.OffResyncReq).Load()
		if req == r.seenReq {
			continue
		}
		r.seenReq = req
		out = append(out, ResyncRequest{Consumer: r.name, Req: req, Reason: r.file.U32(cursor.OffReason).Load()})
	}
	return out
}

// ReaderState is how a registered reader stands.
type ReaderState struct {
	Name     string
	Position uint64 // committed
	Lag      uint64 // bytes behind the tail; more than Capacity: lapped
	Alive    bool   // at the last Housekeeping
	State    layout.State
}

// Reader returns how the reader called name stands; false when it has no cursor
// for this ring.
func (p *Producer) Reader(name string) (ReaderState, bool) {
	r := p.readers.find(name)
	if r == nil {
		return ReaderState{}, false
	}
	return r.state(p.published), true
}

// Readers returns how all registered readers stand.
func (p *Producer) Readers() []ReaderState {
	out := make([]ReaderState, 0, len(p.readers.list))
	for _, r := range p.readers.list {
		out = append(out, r.state(p.published))
	}
	return out
}

func (r *registered) state(tail uint64) ReaderState {
	pos := r.file.Position.Load()
	return ReaderState{Name: r.name, Position: pos, Lag: tail - pos, Alive: r.alive, State: r.owner.State()}
}

// WaitRoom publishes and waits, at most for timeout, until the slowest registered
// reader has left an eighth of the ring free. A reader that died is waited for
// too, but given up and counted when its cursor has not moved for 30 s. Without
// Config.Wait it returns true at once.
func (p *Producer) WaitRoom(timeout time.Duration) bool {
	if !p.cfg.Wait {
		return true
	}
	end := time.Now().Add(timeout)
	return p.waitUntil(p.next+(p.mask+1)/8, &end)
}

// limit is the position that must not be written beyond; not ok: none.
func (p *Producer) limit() (uint64, bool) {
	r, pos := p.readers.slowest(p.published, p.mask+1)
	return pos + p.mask + 1, r != nil
}

// waitUntil waits until position end may be written; without a deadline for ever.
func (p *Producer) waitUntil(end uint64, deadline *time.Time) bool {
	// Readers may have come since: look often enough that none of them can be
	// overtaken before it was seen, that is where something is overwritten (which has
	// no deadline). It is a system call, and WaitRoom is called for every batch.
	if p.next-p.readers.at >= (p.mask+1)/4 || deadline == nil && p.readers.changed(p.cfg.CursorDir) {
		p.scan()
	}
	if limit, ok := p.limit(); !ok || int64(limit-end) >= 0 {
		return true
	}
	p.Publish()
	p.wake() // readers may be waiting for more than will come
	began := layout.Monotonic()
	defer func() {
		p.want.Store(0)
		p.stats.WaitedNS += layout.Monotonic() - began
	}()
	// Wake us when a quarter is free: waking is dear.
	p.want.Store(end - (p.mask+1)*3/4)
	for {
		r, pos := p.readers.slowest(p.published, p.mask+1)
		if r == nil || int64(pos+p.mask+1-end) >= 0 {
			return true
		}
		slice := sleepSlice
		if deadline != nil {
			slice = min(slice, time.Until(*deadline))
		}
		if slice <= 0 {
			return false
		}
		layout.FutexWait(layout.LowHalf(r.file.Position), uint32(pos), slice)
		p.waited()
	}
}

// waited looks after the readers during a wait, and gives the dead up.
func (p *Producer) waited() {
	now := layout.Monotonic()
	if now-p.readers.scanned >= uint64(checkEvery) {
		p.owner.Beat()
		p.scan()
	}
	for _, r := range p.readers.list {
		if !r.givenUp && !r.alive && now-r.moved > uint64(giveUpAfter) && r.position == r.file.Position.Load() {
			r.givenUp = true
			p.stats.GivenUp++
		}
	}
}

// Guard runs f, in which p may be used, and turns the loss of memory of the ring
// or of a cursor into layout.ErrRingLost. Then call Housekeeping.
func (p *Producer) Guard(f func() error) error {
	err := p.guard.Run(f)
	if err != nil {
		p.nextCheck = 0
	}
	return err
}

// SetState tells readers how things are, and wakes them.
func (p *Producer) SetState(s layout.State) {
	p.owner.SetState(s)
	layout.FutexWake(layout.LowHalf(p.tail))
}

// Retire publishes and tells the readers to drain the ring and look for a new one.
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
	p.readers.close()
	return errors.Join(err, p.m.Close())
}
