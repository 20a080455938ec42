package evtring

import (
	"errors"
	"fmt"
	"os"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// cursorMode is that of new cursor files: the group of the event rings, to which
// the producer belongs, may read.
const cursorMode os.FileMode = 0o640

// Attach maps the ring read-only and takes over the cursor file, or makes it; name
// is what the producer calls us. It resumes when the cursor is of this ring and
// was not lapped. Else it begins with what is published next (offline: with the
// oldest event), and Resumed is false. Errors: layout.ErrAwait when the ring is
// not there yet, layout.ErrOwned when another process has the cursor.
func Attach(ringPath, cursorPath, name string) (*Reader, error) {
	r, err := open(ringPath)
	if err != nil {
		return nil, err
	}
	cur, fresh, err := cursor.Open(cursorPath, cursor.Event, r.RingID(), name, cursorMode)
	if err != nil {
		_ = r.m.Close()
		return nil, fmt.Errorf("open event cursor: %w", err)
	}
	r.name = name
	r.guard.Maps = append(r.guard.Maps, cur.Mapping)
	if err := r.Guard(func() error { r.start(cur, fresh); return nil }); err != nil {
		_, _ = cur.Close(), r.m.Close()
		return nil, fmt.Errorf("open event ring %s: %w", ringPath, err)
	}
	return r, nil
}

// From says where a reader without cursor begins.
type From int

// Where to begin.
const (
	Oldest From = iota // the oldest event that is whole
	Now                // the next one that is published
)

// Tail returns a reader that only looks: it has no cursor, the producer does not
// know of it, and Commit does nothing.
func Tail(ringPath string, from From) (*Reader, error) {
	r, err := open(ringPath)
	if err != nil {
		return nil, err
	}
	err = r.Guard(func() error {
		r.position = r.hot.Load()
		if from == Oldest {
			r.position = r.oldest()
		}
		r.returned = r.position
		r.atBeginning()
		return nil
	})
	if err != nil {
		_ = r.m.Close()
		return nil, fmt.Errorf("open event ring %s: %w", ringPath, err)
	}
	return r, nil
}

func open(ringPath string) (*Reader, error) {
	m, err := layout.OpenRO(ringPath, layout.Spec{
		Magic: layout.MagicEventRing, ABIMajor: layout.ABIMajor, Populate: true,
	})
	if err != nil {
		return nil, fmt.Errorf("open event ring: %w", err)
	}
	r, err := newReader(m)
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("open event ring: %w", err)
	}
	return r, nil
}

func newReader(m *layout.Mapping) (*Reader, error) {
	n, err := checkGeometry(m.Path(), m.Header(), int64(len(m.Bytes())))
	if err != nil {
		return nil, err
	}
	wakeAt := uint32(1)
	if m.Header().Ring().Policy&layout.PolicyWait != 0 {
		wakeAt = uint32(min(n/8, offlineWake))
	}
	return &Reader{
		wakeAt: wakeAt,
		guard:  layout.Guard{Maps: []*layout.Mapping{m}},
		m:      m, peer: m.Owner(), mask: n - 1, buf: make([]byte, BlockSize),
		data: m.Bytes()[layout.HeaderSize : layout.HeaderSize+int(n) : layout.HeaderSize+int(n)],
		hot:  m.U64(layout.OffHot), intent: m.U64(offIntent), want: m.U64(layout.OffWant),
	}, nil
}

// start takes the cursor into use and finds the position to go on from.
func (r *Reader) start(cur *cursor.File, fresh bool) {
	r.useCursor(cur)
	tail, capacity := r.hot.Load(), r.mask+1
	pos := cur.Position.Load()
	sane := !fresh && pos%align == 0 && int64(tail-pos) >= 0
	switch {
	case sane && r.intent.Load()-pos <= capacity:
		r.resumed = true
		r.position = pos
		r.remember(cur.U64(cursor.OffLastSeq).Load())
	case sane: // lapped while we were away
		r.remember(cur.U64(cursor.OffLastSeq).Load())
		_ = r.lapped()
	case r.Header().Ring().Policy&layout.PolicyWait != 0:
		r.position = r.oldest() // offline nothing may be missed
	default:
		r.position = tail
	}
	r.returned = r.position
	r.atBeginning()
	cur.Position.Store(r.position)
	r.own.Claim()
	cur.Waiting.Store(0)
}

// atBeginning sets what is known of the first event that a ring ever had.
func (r *Reader) atBeginning() {
	if r.position == 0 && !r.known {
		r.expect, r.known, r.trusted = 1, true, true
	}
}

// remember sets what the last reader of this cursor had seen. Its sequence number
// was stored before its position, so it may be ahead of it.
func (r *Reader) remember(seq uint64) {
	if seq == 0 {
		return
	}
	r.lastSeq = seq
	r.expect, r.known, r.trusted = (Counter(seq)+1)&counterMask, true, false
	r.resumeAt = Counter(seq)
}

func (r *Reader) useCursor(cur *cursor.File) {
	r.cur, r.own = cur, cur.Owner()
	r.guard.Maps = append(r.guard.Maps[:0], r.m, cur.Mapping)
	r.shared = statsLine(cur.Bytes()[cursor.OffStats : cursor.OffStats+layout.LineSize])
	r.stats.load(r.shared)
}

// Commit stores that everything returned so far was applied: a reader that is
// killed later goes on after it. Call it after the side effects, once per batch.
func (r *Reader) Commit() {
	if r.cur == nil {
		return
	}
	r.cur.U64(cursor.OffLastSeq).Store(r.lastSeq) // before the position: see remember
	r.cur.Position.Store(r.returned)
	r.stats.store(r.shared)
	// Pairs with Producer.waitUntil: it stores want and then loads our position.
	if w := r.want.Load(); w != 0 && int64(r.returned-w) >= 0 {
		layout.FutexWake(layout.LowHalf(r.cur.Position))
	}
}

// RequestResync asks the producer for a snapshot and returns the number of the
// request, which the snapshot will name.
func (r *Reader) RequestResync(reason uint32) uint32 {
	if r.cur == nil {
		return 0
	}
	req := r.cur.U32(cursor.OffResyncReq)
	r.cur.U32(cursor.OffReason).Store(reason)
	r.stats.Resyncs++
	n := req.Load() + 1
	req.Store(n)
	return n
}

// ResyncDone notes that the snapshot of request req arrived whole, so that a
// restarted producer does not make it again.
func (r *Reader) ResyncDone(req uint32) {
	if r.cur != nil {
		r.cur.U32(cursor.OffResyncAck).Store(req)
	}
}

// How long Wait looks before it sleeps.
const (
	spins  = 2000
	yields = 8
)

// offlineWake is how many bytes a reader of a waiting ring sleeps for: it is after
// throughput, and every wake costs the producer some microseconds.
const offlineWake = 65536

// Wait returns true when there is something to read. On a live ring it looks for a
// while, then sleeps until something comes. On a ring whose producer waits, it
// sleeps until an eighth of the ring or 64 KiB are there. It sleeps at most for
// timeout and at most 10 ms. False means: nothing yet, look at ProducerState and
// wait again.
func (r *Reader) Wait(timeout time.Duration) bool {
	if r.wakeAt > 1 {
		return r.sleep(timeout)
	}
	for range spins {
		if r.ready() {
			return true
		}
	}
	for range yields {
		if r.ready() {
			return true
		}
		layout.Yield()
	}
	return r.sleep(timeout)
}

func (r *Reader) sleep(timeout time.Duration) bool {
	p, ok := r.prepare()
	if ok {
		layout.FutexWait(p.Word, p.Old, min(timeout, sleepSlice))
	}
	r.awake()
	return r.ready()
}

// WaitAny is Wait for a process that reads several rings: it returns the first
// reader that has something, or nil.
func WaitAny(rs []*Reader, timeout time.Duration) *Reader {
	for range spins / max(len(rs), 1) {
		if len(rs) == 0 || rs[0].wakeAt > 1 {
			break
		}
		if r := anyReady(rs); r != nil {
			return r
		}
	}
	ps := make([]layout.WaitPoint, 0, 16)
	for _, r := range rs {
		p, ok := r.prepare()
		if !ok {
			ps = ps[:0]
			break
		}
		ps = append(ps, p)
	}
	layout.FutexWaitAny(ps, min(timeout, sleepSlice))
	for _, r := range rs {
		r.awake()
	}
	return anyReady(rs)
}

func anyReady(rs []*Reader) *Reader {
	for _, r := range rs {
		if r.ready() {
			return r
		}
	}
	return nil
}

// ready reports whether Next would not say ErrIdle.
func (r *Reader) ready() bool { return r.enough(1) }

// enough reports whether n bytes are published that were not read.
func (r *Reader) enough(n uint64) bool {
	ahead := r.hot.Load() - r.position
	return r.hasPending || len(r.window) != 0 || (ahead >= n && -ahead >= BlockSize)
}

// prepare announces that we are about to sleep, then looks once more: the
// producer stores its tail and then loads the announcement, so one of the two
// sees the other. Not ok means that there is enough to read.
func (r *Reader) prepare() (layout.WaitPoint, bool) {
	if r.cur != nil {
		r.cur.Waiting.Store(r.wakeAt)
	}
	enough := uint64(r.wakeAt)
	if r.peer.State() != layout.StateLive {
		enough = 1 // no more will come
	}
	old := uint32(r.hot.Load())
	return layout.WaitPoint{Word: layout.LowHalf(r.hot), Old: old}, !r.enough(enough)
}

func (r *Reader) awake() {
	if r.cur != nil {
		r.cur.Waiting.Store(0)
	}
}

// ProducerState returns what the producer last said of itself. A reader at the
// tail of a closed ring has seen everything.
func (r *Reader) ProducerState() layout.State { return r.peer.State() }

// ProducerAlive asks the kernel whether a producer holds the ring.
func (r *Reader) ProducerAlive() bool { return r.m.Locked() }

// ProducerEpoch returns how many producers the ring has had.
func (r *Reader) ProducerEpoch() uint64 { return r.peer.Epoch() }

// Replaced reports whether this ring is one of the past: retired, deleted, or
// another file has its name. Drain it, Close, and attach to the new one.
func (r *Reader) Replaced() bool {
	return r.peer.State() == layout.StateRetired || r.m.Replaced()
}

// Housekeeping is to be called now and then; it looks at most every 100 ms. It
// beats the heart, and makes a new cursor file when ours was deleted.
func (r *Reader) Housekeeping() error {
	now := layout.Monotonic()
	if r.cur == nil || now < r.nextCheck {
		return nil
	}
	r.nextCheck = now + uint64(checkEvery)
	r.own.Beat()
	if !r.cur.Replaced() && r.cur.Whole() {
		return nil
	}
	cur, _, err := cursor.Open(r.cur.Path(), cursor.Event, r.RingID(), r.name, cursorMode)
	if err != nil {
		return err
	}
	stats, old := r.stats, r.cur
	r.useCursor(cur)
	r.stats = stats
	r.Commit()
	r.own.Claim()
	return old.Close()
}

// Guard runs f, in which r may be used, and turns the loss of the ring's memory
// into layout.ErrRingLost. Then Close and attach again, with back-off.
func (r *Reader) Guard(f func() error) error { return r.guard.Run(f) }

// Close says that we left for good, so that an offline producer does not wait for
// us, and lets go of both files, which stay. It does not commit. Idempotent.
func (r *Reader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.cur == nil {
		return r.m.Close()
	}
	err := r.cur.Guard(func() error {
		r.stats.store(r.shared)
		r.own.SetState(layout.StateClosed)
		return nil
	})
	return errors.Join(err, r.cur.Close(), r.m.Close())
}
