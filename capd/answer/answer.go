// Package answer brings what workers and policyd say about held packets to a capture
// thread that sleeps until a packet or an answer is there.
//
// A thread can sleep on a socket or on rings in memory, not on both. So a goroutine
// of its own sleeps on the verdict rings of the capture thread and puts their records
// into a box. Whoever of the two is awake applies them: the capture thread between two
// packets, or, while it sleeps, the goroutine in its place; waking it would take longer
// than all that is to do. The same goroutine looks whether those who should answer are
// alive.
//
// The invariant: a record is handed on once, in the order of its ring, or counted as
// lost by the ring that it did not fit in.
package answer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/capd/hold"
	"weir/proto/verdict"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// Config says whose answers a Box collects.
type Config struct {
	Root    layout.Root
	Thread  int // capture thread
	Workers int
	Log     *slog.Logger

	// Apply applies what is in the box, and what follows from who is alive. The box's
	// goroutine calls it while the capture thread sleeps.
	Apply func()
}

const (
	// lookEvery is how often those who should answer are looked at: they are missed
	// for no longer than a packet is held.
	lookEvery = 10 * time.Millisecond

	// openEvery is how often a ring that is not there is looked for.
	openEvery = 100 * time.Millisecond

	// silence is how long a living process does not beat at most: it does every 100 ms.
	// One that is stopped, or hangs, is asked nothing more.
	silence = time.Second

	// spin is the number of loads before the goroutine sleeps: the next answer often
	// follows at once, and both CPUs of a small router have other things to do.
	spin = 200

	// batch is how many records are handed on at once.
	batch = 64

	// limit is how many bytes of records the box takes. The rest waits in the rings,
	// where it is lost and counted when there is too much.
	limit = 1024 * verdict.Size
)

// ringSize is the length of a verdict ring's file. Those who make them parse hostile bytes:
// a larger one is none of theirs, and to map it could take all memory.
var ringSize = pktring.FileSize(verdict.RingRecords, pktring.MinPayload)

// Box is where the answers to one capture thread come together. What they are applied
// to belongs to whoever has the Box locked: the capture thread, but while it sleeps.
type Box struct {
	cfg   Config
	owner sync.Mutex // held by the capture thread while it is awake

	mu      sync.Mutex
	records []byte // handed on, not yet taken; verdict.Size each
	from    []hold.From

	alive   []atomic.Bool // by worker
	policy  atomic.Bool   // policyd is alive
	broken  atomic.Uint64 // rings that had to be given up
	taken   []byte        // scratch of Take
	authors []hold.From   // scratch of Take
	rings   []ring        // of the goroutine: workers', and policyd's at the end
	open    []*pktring.Consumer
}

// ring is one verdict ring.
type ring struct {
	path, cursor string
	from         hold.From
	alive        *atomic.Bool
	c            *pktring.Consumer // nil: it is not there
	failed       bool              // and that was said
}

// New makes the box, locked for the capture thread. Run fills it.
func New(cfg Config) *Box {
	b := &Box{cfg: cfg, alive: make([]atomic.Bool, cfg.Workers)}
	b.owner.Lock()
	for w := range cfg.Workers {
		b.rings = append(b.rings, ring{
			path: cfg.Root.VerdictRing(w, cfg.Thread), cursor: cfg.Root.VerdictCursor(w, cfg.Thread), from: hold.Worker, alive: &b.alive[w],
		})
	}
	b.rings = append(b.rings, ring{
		path: cfg.Root.PolicyVerdictRing(cfg.Thread), cursor: cfg.Root.PolicyVerdictCursor(cfg.Thread), from: hold.Policy, alive: &b.policy,
	})
	return b
}

// Answers reports whether worker w and policyd are alive, so that packets of w's flows
// may be held. It is as old as lookEvery at most.
func (b *Box) Answers(w int) bool { return b.alive[w].Load() && b.policy.Load() }

// Broken returns how many rings were given up because their memory was lost or made no
// sense.
func (b *Box) Broken() uint64 { return b.broken.Load() }

// Take gives f all records that have come since the last call.
func (b *Box) Take(f func(r verdict.Record, from hold.From)) {
	b.mu.Lock()
	b.taken, b.records = b.records, b.taken[:0]
	b.authors, b.from = b.from, b.authors[:0]
	b.mu.Unlock()
	for i, from := range b.authors {
		f(b.taken[i*verdict.Size:(i+1)*verdict.Size], from)
	}
}

// Sleep lets f run, in which the capture thread sleeps, with the Box unlocked. It does
// not run f when there is something to apply already.
func (b *Box) Sleep(f func() error) (err error) {
	b.owner.Unlock()
	// Pairs with apply: either that finds the Box unlocked, or this its records.
	if b.empty() {
		err = f()
	}
	b.owner.Lock()
	return err
}

func (b *Box) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records) == 0
}

// apply applies what is in the box if the capture thread sleeps.
func (b *Box) apply() {
	if b.owner.TryLock() {
		b.cfg.Apply()
		b.owner.Unlock()
	}
}

// Run collects answers until ctx is done.
func (b *Box) Run(ctx context.Context) {
	defer b.shut()
	var looked, opened time.Time
	for ctx.Err() == nil {
		now := time.Now()
		if now.Sub(opened) >= openEvery {
			opened = now
			b.attach()
		}
		if now.Sub(looked) >= lookEvery {
			looked = now
			b.look()
		}
		switch {
		case len(b.open) == 0: // to look again
			b.pause(ctx, lookEvery)
			continue
		case b.full(): // the capture thread is busy
			b.pause(ctx, time.Millisecond)
			continue
		}
		b.wait()
		for i := range b.rings {
			b.read(&b.rings[i])
		}
	}
}

func (b *Box) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// wait sleeps until one of the rings has something. The loss of a ring's memory shows
// when it is read.
func (b *Box) wait() {
	f := func() error { pktring.WaitAny(b.open, spin, lookEvery); return nil }
	for _, c := range b.open {
		g := f
		f = func() error { return c.Guard(g) }
	}
	_ = f()
}

// attach opens rings that are there now, and gives up those that were replaced.
func (b *Box) attach() {
	for i := range b.rings {
		r := &b.rings[i]
		if r.c != nil {
			if err := r.c.Guard(r.c.Housekeeping); err != nil || r.c.Replaced() && r.c.Backlog() == 0 {
				b.giveUp(r, err)
			}
		}
		if r.c != nil {
			continue
		}
		c, err := pktring.OpenConsumer(r.path, r.cursor, pktring.Options{Name: "capd", Mode: 0o640, Most: ringSize})
		switch {
		case err == nil:
			r.c, r.failed = c, false
		case errors.Is(err, layout.ErrAwait):
		case !r.failed:
			r.failed = true
			b.cfg.Log.Warn("verdicts are not heard; packets pass without", "error", err)
		}
	}
	b.list()
}

// list notes which rings are open.
func (b *Box) list() {
	b.open = b.open[:0]
	for i := range b.rings {
		if b.rings[i].c != nil {
			b.open = append(b.open, b.rings[i].c)
		}
	}
}

// giveUp closes a ring. Packets pass until another has its name.
func (b *Box) giveUp(r *ring, err error) {
	r.alive.Store(false)
	if err != nil {
		b.broken.Add(1)
		b.cfg.Log.Warn("a verdict ring is given up", "ring", r.path, "error", err)
	}
	_ = r.c.Close() // what it says is about memory that is lost
	r.c = nil
	b.list()
}

// look notes who is alive. When that changed there may be packets that nobody will
// answer.
func (b *Box) look() {
	changed := false
	for i := range b.rings {
		r := &b.rings[i]
		alive := r.c != nil && r.c.ProducerState() == layout.StateLive && beats(r.c.ProducerBeat(), layout.Monotonic()) && r.c.ProducerAlive()
		if r.alive.Swap(alive) != alive {
			changed = true
		}
	}
	if changed {
		b.apply()
	}
}

// beats reports whether a sign of life at time beat is fresh at time now. It may be
// younger than now: its owner stores it while we look at the clock.
func beats(beat, now uint64) bool { return int64(now-beat) < int64(silence) }

// read hands on what is in a ring.
func (b *Box) read(r *ring) {
	if r.c == nil {
		return
	}
	err := r.c.Guard(func() error {
		for !b.full() {
			p := r.c.Peek(batch)
			if len(p) == 0 {
				break
			}
			b.hand(p, r.from)
			r.c.Release(len(p) / pktring.DescSize)
		}
		return nil
	})
	if err != nil {
		b.giveUp(r, err)
	}
}

// full reports whether the capture thread has not taken what it was handed. Others than
// policyd and our workers cannot fill the box, and they only if they run wild.
func (b *Box) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records) >= limit
}

// hand puts records into the box.
func (b *Box) hand(p []byte, from hold.From) {
	b.mu.Lock()
	b.records = append(b.records, p...)
	for range len(p) / verdict.Size {
		b.from = append(b.from, from)
	}
	b.mu.Unlock()
	b.apply()
}

func (b *Box) shut() {
	for i := range b.rings {
		if r := &b.rings[i]; r.c != nil {
			r.alive.Store(false)
			_ = r.c.Close() // what was not taken is about packets that are gone
			r.c = nil
		}
	}
}
