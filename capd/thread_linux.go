package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"weir/capd/conntrack"
	"weir/capd/filter"
	"weir/capd/source"
	"weir/capd/steer"
	"weir/capd/watchdog"
	"weir/proto/config"
	"weir/shm/pktring"
)

// thread is one capture thread: a socket and a ring to every worker. When its
// interface goes it waits for it, while time goes on in its rings.
type thread struct {
	live  *live
	n     int
	iface string // "" for a queue
	make  func() (source.Live, error)
	rings []*pktring.Producer
	steer *steer.Steerer
	src   source.Live   // nil: its interface is not there
	back  chan struct{} // something became of the interface
	past  source.Stats  // of sources that were closed
	beat  time.Time
	pulse watchdog.Pulse

	toldTruncated bool

	finals     *finals         // nil: all packets go with their bytes
	inline     *inline         // src, if packets of it are held
	conns      *conntrack.Port // nil: nobody listens to conntrack
	generation uint16          // tells the packets of this capd from those of one before
}

// addThreads makes the threads of all interfaces or queues.
func (l *live) addThreads() error {
	c := &l.cfg.Capture
	if c.Source == config.SourceNFQueue {
		for n := range max(c.Threads, 1) {
			if err := l.addThread("", func() (source.Live, error) { return l.openQueue(n) }); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range c.Interfaces {
		index, err := l.number(i.Name)
		if err != nil {
			return err
		}
		group := new(source.FanoutGroup)
		for range max(c.Threads, 1) {
			err := l.addThread(i.Name, func() (source.Live, error) { return openInterface(c, i.Name, index, group) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// openInterface opens a socket on an interface.
func openInterface(c *config.Capture, name string, index uint16, group *source.FanoutGroup) (source.Live, error) {
	cfg := tpacket(c, name, index, group)
	if c.Filter != "" {
		link, err := source.LinkType(name)
		if err != nil {
			return nil, err
		}
		if cfg.Filter, err = filter.Compile(c.Filter, link, wholeFrame); err != nil {
			return nil, err
		}
	}
	return source.OpenTPacket(cfg)
}

// wholeFrame is a length in bytes beyond that of any frame.
const wholeFrame = 1 << 18

// tpacket is what a socket on an interface is to be.
func tpacket(c *config.Capture, name string, index uint16, group *source.FanoutGroup) source.TPacketConfig {
	t := source.TPacketConfig{
		Interface: name, Index: index, Defrag: c.TPacket.Defrag, Rollover: c.TPacket.Rollover,
		BlockSize: int(c.TPacket.BlockSize), Blocks: c.TPacket.Blocks, Retire: c.TPacket.Retire, Promiscuous: c.TPacket.Promiscuous,
	}
	if c.Threads > 1 {
		t.Fanout, t.FanoutGroup = c.TPacket.Fanout, group
	}
	return t
}

func (l *live) addThread(iface string, open func() (source.Live, error)) (err error) {
	t := &thread{live: l, n: len(l.threads), iface: iface, make: open, back: make(chan struct{}, 1)}
	l.threads = append(l.threads, t)
	if t.rings, err = l.openRings(t.n, false); err != nil {
		return err
	}
	// Epochs of a ring grow by one with each capd. Another ring may begin where an old
	// one was; its id is another.
	t.generation = uint16(t.rings[0].Epoch() + t.rings[0].RingID())
	cfg := steer.Config{Seed: &l.seed, Outputs: outputs(t.rings), Time: l.time, Drop: true, Generation: t.generation, Housekeep: t.housekeep}
	if isInline(&l.cfg.Capture) {
		cfg.Holder = t
	}
	if l.cfg.Capture.HeaderOnly {
		t.finals = newFinals(&l.base)
		cfg.Finals = t.finals
	}
	if t.conns = l.conns.port(t.n); t.conns != nil {
		cfg.Witness = t
	}
	t.steer, err = steer.New(cfg)
	return err
}

// Arrive implements steer.Holder.
func (t *thread) Arrive(p *steer.Packet, worker int) bool { return t.inline.arrive(p, worker) }

// Refused implements steer.Holder.
func (t *thread) Refused() { t.inline.table.Refused() }

// open opens the socket.
func (t *thread) open() error {
	src, err := t.make()
	if err != nil {
		return err
	}
	t.src = src
	t.inline, _ = src.(*inline)
	t.live.log.Info("capturing", "from", t.name(), "thread", t.n)
	t.tellDown()
	return nil
}

// name is what the thread captures from, for people.
func (t *thread) name() string {
	if t.iface != "" {
		return "interface " + t.iface
	}
	return fmt.Sprintf("queue %d", t.live.cfg.Capture.NFQueue.First+t.n)
}

// run steers what arrives until ctx is done or something is wrong for good, such as
// the loss of a ring's memory.
func (t *thread) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := t.pin(); err != nil {
		return err
	}
	if t.finals != nil {
		defer t.finals.close()
	}
	return pktring.Guard(t.rings, func() error { return t.loop(ctx) })
}

func (t *thread) loop(ctx context.Context) error {
	for ctx.Err() == nil {
		var err error
		if t.src == nil {
			err = t.steer.RunLive(ctx, (*absent)(t))
		} else {
			err = t.steer.RunLive(ctx, t.src)
			t.shut()
		}
		switch {
		case isAbsence(err):
			t.live.log.Warn("waiting for an interface", "thread", t.n, "error", err)
		case errors.Is(err, errBack):
			err = t.open()
			if err != nil && !isAbsence(err) {
				return err
			}
		case ctx.Err() == nil:
			return err
		}
	}
	t.report()
	return nil
}

// shut closes the socket and keeps what it counted.
func (t *thread) shut() {
	t.past = addStats(t.past, t.src.Stats())
	if err := t.src.Close(); err != nil {
		t.live.log.Warn("close a capture socket", "of", t.name(), "error", err)
	}
	t.src = nil
}

// pin keeps the thread on its CPU, if it has one.
func (t *thread) pin() error {
	cpus := t.live.cfg.Capture.CPUs
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	cpu := cpus[t.n%len(cpus)]
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin capture thread %d to CPU %d (capture.cpus): %w: name one of this machine's CPUs", t.n, cpu, err)
	}
	return nil
}

// housekeep runs once a batch; what costs runs at most every 100 ms.
func (t *thread) housekeep() error {
	t.pulse.Beat()
	now := time.Now()
	if now.Sub(t.beat) < 100*time.Millisecond {
		return nil
	}
	t.beat = now
	t.tellAccounts()
	if err := upkeep(t.rings); err != nil {
		return err
	}
	if t.finals != nil {
		t.finals.look()
	}
	t.report()
	return nil
}

func (t *thread) report() {
	t.tellTruncated()
	r := tally{outcomes: t.steer.Counters(), frames: t.steer.Frames(), time: t.steer.Time(), truncated: t.steer.Truncated(), kernel: t.past, lean: t.steer.HeaderOnly()}
	if t.src != nil {
		r.kernel = addStats(r.kernel, t.src.Stats())
	}
	if t.inline != nil {
		r.hold = t.inline.counters()
	}
	t.live.report(t.n, r)
}

// poke tells the thread that something became of its interface.
func (t *thread) poke() {
	select {
	case t.back <- struct{}{}:
	default:
	}
}

// absent is the source of a thread whose interface is not there: it has no frames and
// ends when it is worth another try.
type absent thread

// errBack means that the interface may be there again.
var errBack = errors.New("the interface may be back")

// Next implements source.Source.
func (a *absent) Next(*source.Frame) error { return source.ErrIdle }

// Wait implements source.Live.
func (a *absent) Wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a.back:
		return errBack
	case <-timer.C:
		return nil
	}
}

// Stats implements source.Live.
func (a *absent) Stats() source.Stats { return source.Stats{} }

// Close implements source.Live.
func (a *absent) Close() error { return nil }
