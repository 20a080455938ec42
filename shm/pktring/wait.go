package pktring

import (
	"encoding/binary"
	"errors"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

var host = binary.NativeEndian

// Yields between spinning and sleeping.
const yields = 8

// Spin is the usual number of loads before a consumer yields: some microseconds.
const Spin = 2000

// offlineWake is how many descriptors a consumer of a waiting ring sleeps for: it
// is after throughput, and every wake costs the producer more than 64 packets.
const offlineWake = 4096

// Wait returns true when there is something to Peek. On a live ring it looks spin
// times, yields some times, and then sleeps until something comes. On a ring whose
// producer waits, it sleeps until there is an eighth of a ring to do. It sleeps at
// most for timeout and at most 10 ms. False means: nothing yet, look at
// ProducerState and wait again.
func (c *Consumer) Wait(spin int, timeout time.Duration) bool {
	if c.wakeAt == 1 && c.poll(spin) {
		return true
	}
	if c.load() >= uint64(c.wakeAt) {
		return true
	}
	if timeout <= 0 {
		return c.ready()
	}
	if p, ok := c.prepare(); ok {
		c.stats.Sleeps++
		layout.FutexWait(p.Word, p.Old, min(timeout, sleepSlice))
	}
	c.waiting.Store(0)
	return c.ready()
}

// WaitAny is Wait for a consumer of several rings: it returns the first that has
// something, or nil.
func WaitAny(cs []*Consumer, spin int, timeout time.Duration) *Consumer {
	if len(cs) == 1 {
		if cs[0].Wait(spin, timeout) {
			return cs[0]
		}
		return nil
	}
	for i := 0; i <= spin/max(len(cs), 1); i++ {
		if c := anyReady(cs); c != nil {
			return c
		}
	}
	var arr [16]layout.WaitPoint
	ps := arr[:0]
	for _, c := range cs {
		p, ok := c.prepare()
		if !ok {
			ps = ps[:0]
			break
		}
		ps = append(ps, p)
	}
	if len(ps) > 0 && timeout > 0 {
		cs[0].stats.Sleeps++
		layout.FutexWaitAny(ps, min(timeout, sleepSlice))
	}
	for _, c := range cs {
		c.waiting.Store(0)
	}
	return anyReady(cs)
}

func anyReady(cs []*Consumer) *Consumer {
	for _, c := range cs {
		if c.ready() {
			return c
		}
	}
	return nil
}

func (c *Consumer) ready() bool { return c.tail != c.head || c.load() != 0 }

// poll looks without the kernel's help.
func (c *Consumer) poll(spin int) bool {
	if c.tail != c.head {
		return true
	}
	for range spin {
		if c.hot.Load() != c.head {
			return c.load() != 0
		}
	}
	for range yields {
		if c.hot.Load() != c.head {
			return c.load() != 0
		}
		layout.Yield()
	}
	return false
}

// prepare announces that we are about to sleep, then looks once more: the
// producer stores its tail and then loads the announcement, so one of the two
// sees the other. Not ok means that there is enough to read.
func (c *Consumer) prepare() (layout.WaitPoint, bool) {
	c.waiting.Store(c.wakeAt)
	enough := uint64(c.wakeAt)
	if c.peer.State() != layout.StateLive {
		enough = 1 // no more will come
	}
	tail := c.hot.Load()
	return layout.WaitPoint{Word: layout.LowHalf(c.hot), Old: uint32(tail)}, tail-c.head < enough
}

// ProducerState returns what the producer last said of itself. A ring that is
// closed and drained will bring nothing more.
func (c *Consumer) ProducerState() layout.State { return c.peer.State() }

// ProducerAlive asks the kernel whether a producer holds the ring.
func (c *Consumer) ProducerAlive() bool { return c.m.Locked() }

// ProducerBeat returns the producer's last sign of life, CLOCK_MONOTONIC ns. A living
// producer gives one every 100 ms; one that is stopped keeps its lock.
func (c *Consumer) ProducerBeat() uint64 { return c.peer.Heartbeat() }

// Replaced reports whether this ring is one of the past: retired, deleted, or
// another file has its name. Drain it, Close, and open the new one.
func (c *Consumer) Replaced() bool {
	return c.peer.State() == layout.StateRetired || c.m.Replaced()
}

// Housekeeping is to be called now and then; it looks at most every 100 ms. It
// beats the heart, and makes a new cursor file when ours was deleted: the
// producer would wait for it after a restart.
func (c *Consumer) Housekeeping() error {
	now := layout.Monotonic()
	if now < c.nextCheck {
		return nil
	}
	c.nextCheck = now + uint64(checkEvery)
	c.Commit()
	c.own.Beat()
	if !c.cur.Replaced() && c.cur.Whole() {
		return nil
	}
	cur, _, err := cursor.Open(c.cur.Path(), cursor.Packet, c.RingID(), c.opts.Name, c.opts.Mode)
	if err != nil {
		return err
	}
	stats := c.stats
	old := c.cur
	c.useCursor(cur)
	c.stats = stats
	c.position.Store(c.head)
	c.own.Claim()
	return old.Close() // nothing points into it any more
}

// Guard runs f, in which c may be used, and turns the loss of the ring's memory
// into layout.ErrRingLost. Then Close and open again, with back-off.
func (c *Consumer) Guard(f func() error) error { return c.guard.Run(f) }

// Close says that we left in good order and lets go of both files, which stay.
// What was not released will be read again by the next consumer. Idempotent.
func (c *Consumer) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	err := c.cur.Guard(func() error {
		host.PutUint64(c.inflight, 0)
		c.Commit()
		c.own.SetState(layout.StateClosed)
		return nil
	})
	return errors.Join(err, c.cur.Close(), c.m.Close())
}
