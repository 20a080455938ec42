package main

import (
	"context"
	"time"

	"weir/capd/answer"
	"weir/capd/hold"
	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/config"
	"weir/proto/mark"
	"weir/shm/layout"
)

// inline is a netfilter queue whose packets are held until their flow is judged. It
// belongs to the capture thread, and to the box's goroutine while that one sleeps.
type inline struct {
	*source.NFQueue
	table  *hold.Table
	box    *answer.Box
	stop   func() // ends the box's goroutine and waits for it
	last   uint32 // packet that was handed out last
	open   bool   // and nobody has decided about it
	passed uint64 // packets that are of no flow
	now    uint64 // CLOCK_MONOTONIC ns, read once in a while
	turns  int    // packets until then
	alive  []bool // by worker: it and policyd answered at the last turn
}

// turnEvery is after how many packets the answers are looked at, when there is no pause
// between packets: few, because others wait for them, and enough to make little of a
// look at the clock.
const turnEvery = 16

// remembered is of how many flows a capture thread remembers the verdict: those that
// still send packets to the queue after it, because they were on their way or because
// no rules of ours keep them in the kernel.
const remembered = 1 << 15

// openInline opens a queue and begins to listen for answers.
func (l *live) openInline(q *source.NFQueue, thread int, generation uint16) (*inline, error) {
	c := &l.cfg.Capture.NFQueue
	bits, err := mark.New(l.cfg.Policy.MarkMask)
	if err != nil {
		return nil, err
	}
	expired := source.Accept
	if c.Expired == config.ExpiredDrop {
		expired = source.Drop
	}
	i := &inline{
		NFQueue: q, alive: make([]bool, l.cfg.Workers.Count),
		table: hold.New(hold.Config{
			Number: uint16(c.First + thread), Generation: generation, Layout: bits, Direct: c.Rules == config.RulesManual,
			Time: uint64(c.Hold), Expired: expired, Packets: c.QueueLength, Flows: remembered,
		}, q),
	}
	i.box = answer.New(answer.Config{Root: l.root, Thread: thread, Workers: l.cfg.Workers.Count, Log: l.log, Apply: i.apply})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.box.Run(ctx)
	}()
	i.stop = func() { cancel(); <-done }
	return i, nil
}

// arrive decides about the packet that was handed out last, or holds it.
func (q *inline) arrive(p *steer.Packet, worker int) bool {
	q.open = false
	f := &p.Fields
	tcp := f.IPProto == protoTCP
	return q.table.Arrive(&hold.Packet{
		ID: q.last, Mark: p.Prefix.Mark, HashLo: f.HashLo, HashHi: f.HashHi, Worker: worker,
		Payload: f.L4Len > 0, Begin: tcp && f.TCPFlags&(flagSYN|flagACK) == flagSYN,
	}, q.now, q.box.Answers(worker))
}

// Of the TCP header, RFC 9293 section 3.1.
const (
	protoTCP = 6
	flagFIN  = 0x01
	flagSYN  = 0x02
	flagRST  = 0x04
	flagACK  = 0x10
)

// Next implements source.Source.
func (q *inline) Next(f *source.Frame) error {
	q.settle()
	if q.turns--; q.turns <= 0 {
		q.turn()
	}
	if err := q.NFQueue.Next(f); err != nil {
		q.turn()
		return err
	}
	q.last, q.open = f.ID, true
	return nil
}

// settle lets a packet go that turned out to be of no flow.
func (q *inline) settle() {
	if q.open {
		q.open = false
		q.passed++
		q.Verdict(q.last, source.Verdict{Action: source.Accept})
	}
}

// turn applies the answers that have come, and lets go what waited for too long.
func (q *inline) turn() {
	q.turns, q.now = turnEvery, layout.Monotonic()
	q.box.Take(q.table.Answer)
	q.table.Expire(q.now)
	for w, before := range q.alive {
		if q.alive[w] = q.box.Answers(w); before && !q.alive[w] {
			q.table.Abandon(w)
		}
	}
}

// apply is a turn in place of the thread, which sleeps.
func (q *inline) apply() {
	q.turn()
	_ = q.Flush() // what it cannot send stays, and the thread meets the same error
}

// Wait implements source.Live: it returns when a packet is there, and before the next
// packet expires. What is said meanwhile is applied.
func (q *inline) Wait(d time.Duration) error {
	q.settle()
	q.turn()
	if err := q.Flush(); err != nil {
		return err
	}
	if at, ok := q.table.Deadline(); ok {
		d = min(d, time.Duration(max(int64(at-layout.Monotonic()), 0)))
	}
	err := q.box.Sleep(func() error { return q.Poll(d) })
	q.turn()
	return err
}

// Close implements source.Live: what waits goes on its way.
func (q *inline) Close() error {
	q.stop()
	q.settle()
	q.table.Release()
	err := q.Release(source.Verdict{Action: source.Accept})
	if e := q.NFQueue.Close(); err == nil {
		err = e
	}
	return err
}

var (
	_ source.Live  = (*inline)(nil)
	_ steer.Holder = (*thread)(nil)
)

// holdCounters stand behind kernelCounters in capd's counter file. Each packet of a
// queue whose packets are held is in one of those before late_answers, or held.
var holdCounters = []string{
	"queue_other", "queue_empty", "queue_known", "queue_went_on", "queue_judged", "queue_expired", "queue_nobody", "queue_full", "queue_no_room",
	"queue_renewed", "queue_left", "late_answers", "foreign_answers", "unreadable_answers", "verdict_rings_broken", "queue_held",
}

// counters returns what became of the packets, in the order of holdCounters.
func (q *inline) counters() []uint64 {
	c := q.table.Counters()
	return []uint64{
		q.passed, c.Empty, c.Known, c.WentOn, c.Judged, c.Expired, c.Nobody, c.Full, c.NoRoom, c.Renewed,
		c.Left, c.Late, c.Foreign, c.Unreadable, q.box.Broken(), uint64(q.table.Held()),
	}
}

// isInline reports whether packets of queues are held until their flows are judged.
func isInline(c *config.Capture) bool {
	return c.Source == config.SourceNFQueue && c.NFQueue.Hold > 0
}
