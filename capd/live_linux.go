package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/capd/conntrack"
	"weir/capd/netif"
	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/daemon"
	"weir/proto/topology"
)

// live is capd over what the kernel hands it as it happens: one thread per socket,
// each with a ring to every worker. It ends when it is told to, or when something is
// wrong that time does not mend: an interface that goes comes back, rights do not.
type live struct {
	base
	time    *timeline
	threads []*thread
	must    bool          // every interface must be there at the start
	changes atomic.Uint32 // counts what became of interfaces
	conns   connections

	mu  sync.Mutex // guards what follows, and the topology and counters of base
	all []tally    // by thread
}

// tally is what became of the frames of one thread.
type tally struct {
	outcomes steer.Counters
	frames   uint64
	time     uint64
	kernel   source.Stats

	lean      uint64   // delivered without their bytes
	truncated uint64   // of those delivered
	hold      []uint64 // as holdCounters; nil where nothing is held
}

// kernelCounters stand behind those of frames in capd's counter file.
var kernelCounters = []string{"kernel_received", "kernel_dropped", "kernel_freezes", "skipped", "truncated", "header_only"}

// openLive opens the rings of all threads, not yet their sockets.
func openLive(env *daemon.Env, dump <-chan os.Signal, must bool) (l *live, err error) {
	l = &live{must: must}
	defer func() {
		if err != nil {
			_ = l.close()
		}
	}()
	if l.base, err = openBase(env, dump); err != nil {
		return l, err
	}
	if l.time, err = newTimeline(l.old); err != nil {
		return l, err
	}
	l.topo.TimeBase = l.time.base
	if l.old != nil {
		l.topo.Interfaces = l.roles(l.old.Interfaces) // flows that live on are of these
	}
	if err := l.conns.open(l); err != nil {
		return l, err
	}
	if err := l.addThreads(); err != nil {
		return l, err
	}
	if err := l.openCounters(slices.Concat(kernelCounters, holdCounters, conntrack.CounterNames)...); err != nil {
		return l, err
	}
	l.all = make([]tally, len(l.threads))
	return l, l.topo.Save(l.root.Topology())
}

// number returns the index of an interface in the interface table, which it keeps as
// long as the instance lives: it is part of the keys of flows.
func (b *base) number(name string) (uint16, error) {
	next := 0
	for _, i := range b.topo.Interfaces {
		if i.Name == name {
			return i.Index, nil
		}
		next = max(next, int(i.Index)+1)
	}
	if next > maxInterface {
		return 0, fmt.Errorf("interface %s: this instance has met %d others: stop it and remove %s", name, next, b.root)
	}
	b.topo.Interfaces = append(slices.Clone(b.topo.Interfaces), topology.Interface{Index: uint16(next), Name: name, Role: b.cfg.Capture.Role(name)})
	return uint16(next), nil
}

// roles returns interfaces with the roles that they have now.
func (b *base) roles(all []topology.Interface) []topology.Interface {
	all = slices.Clone(all)
	for i := range all {
		all[i].Role = b.cfg.Capture.Role(all[i].Name)
	}
	return all
}

// maxInterface is the highest index of an interface: keys have 16 bits for it.
const maxInterface = 1<<16 - 1

// run captures until ctx is done.
func (l *live) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events, err := netif.Watch(ctx)
	if err != nil {
		return err
	}
	l.tellNetwork(ctx)
	for _, t := range l.threads {
		if err := t.open(); err != nil && (l.must || !isAbsence(err)) {
			return err
		}
	}
	remove, err := l.installRules()
	if err != nil {
		return err
	}
	defer remove() // before the queues are closed: then nothing is lost
	var wg sync.WaitGroup
	for _, t := range l.threads {
		wg.Go(func() {
			if err := t.run(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	go l.guard(ctx)
	go l.assure(ctx)
	wg.Go(func() { l.conns.run(ctx, l.log) })
	l.ready()
	l.watch(ctx, events)
	wg.Wait()
	return context.Cause(ctx)
}

// watch passes on what becomes of interfaces, and answers to signals, until ctx is
// done.
func (l *live) watch(ctx context.Context, events <-chan netif.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.dump:
			l.mu.Lock()
			t := sum(l.all)
			l.mu.Unlock()
			l.log.Info("state", "frames", t.frames, "delivered", t.outcomes[steer.Delivered], "ring_full", t.outcomes[steer.RingFull],
				"kernel_dropped", t.kernel.Dropped, "time", time.Unix(0, int64(t.time)).UTC())
		case e, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			l.interfaceEvent(&e)
		}
	}
}

// interfaceEvent wakes the threads that may wait for an interface.
func (l *live) interfaceEvent(e *netif.Event) {
	l.changes.Add(1)
	if e.Kind == netif.Failed {
		l.log.Warn("changes of interfaces are not seen any more: an interface that comes back needs a restart", "error", e.Err)
		return
	}
	for _, t := range l.threads {
		switch {
		case t.iface == e.Link.Name && e.Kind != netif.Removed:
			t.poke()
		case e.Renamed() && e.Before.Name == t.iface:
			l.log.Warn("an interface that is captured from was renamed; packets are taken from it as before",
				"interface", e.Before.Name, "now", e.Link.Name)
		}
	}
}

// report takes what became of the frames of thread n so far.
func (l *live) report(n int, t tally) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[n] = t
	all := sum(l.all)
	more := []uint64{all.kernel.Received, all.kernel.Dropped, all.kernel.Freezes, all.kernel.Skipped, all.truncated, all.lean}
	hold := make([]uint64, len(holdCounters))
	copy(hold, all.hold)
	l.export(&all.outcomes, all.frames, all.time, slices.Concat(more, hold, l.conns.counters())...)
}

// sum adds up tallies; their time is the latest.
func sum(list []tally) (s tally) {
	for i := range list {
		t := &list[i]
		for o, n := range t.outcomes {
			s.outcomes[o] += n
		}
		s.frames += t.frames
		s.time = max(s.time, t.time)
		s.lean += t.lean
		s.kernel = addStats(s.kernel, t.kernel)
		s.truncated += t.truncated
		if s.hold == nil {
			s.hold = make([]uint64, len(t.hold))
		}
		for i, n := range t.hold {
			s.hold[i] += n
		}
	}
	return s
}

func addStats(a, b source.Stats) source.Stats {
	return source.Stats{Received: a.Received + b.Received, Dropped: a.Dropped + b.Dropped, Freezes: a.Freezes + b.Freezes, Skipped: a.Skipped + b.Skipped}
}

func (l *live) close() (err error) {
	for _, t := range l.threads {
		for _, p := range t.rings {
			err = errors.Join(err, p.Close())
		}
	}
	return errors.Join(err, l.conns.close(), l.base.close(nil))
}

// isAbsence reports whether err is one that time may mend.
func isAbsence(err error) bool {
	return errors.Is(err, source.ErrGone) || errors.Is(err, source.ErrDown)
}
