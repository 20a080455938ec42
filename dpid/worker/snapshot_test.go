package worker

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/proto/event"
	"weir/shm/evtring"
)

// consumer is a registered reader of the worker's events.
type consumer struct {
	r *rig
	*evtring.Reader
	name string
	got  []happened
}

// consumer attaches a reader and waits until the worker knows of it.
func (r *rig) consumer(name string) *consumer {
	r.t.Helper()
	rd, err := evtring.Attach(r.eventPath(), filepath.Join(r.cursorDir(), name+".w00.cur"), name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = rd.Close() })
	c := &consumer{r: r, Reader: rd, name: name}
	r.until("the worker to find "+name, func() bool { _, ok := r.events.Reader(name); return ok })
	return c
}

// until does the event ring's housekeeping until ok is true.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			r.t.Fatalf("waited 10 s for %s", what)
		}
		if _, err := r.events.Housekeeping(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// read takes up to n events and commits them.
func (c *consumer) read(n int) (read int) {
	c.r.t.Helper()
	for ; read < n; read++ {
		rec, err := c.Next()
		if errors.Is(err, evtring.ErrIdle) {
			break
		}
		if err != nil {
			c.r.t.Fatalf("%s reads events: %v", c.name, err)
		}
		c.got = append(c.got, happened{event.Type(rec.Type), rec.Flags, append([]byte(nil), rec.Payload...)})
	}
	c.Commit()
	return read
}

// crowd puts n flows that are announced.
func (r *rig) crowd(n int) {
	r.t.Helper()
	for i := range n {
		c := r.talk(fmt.Sprintf("10.0.%d.%d:40000", i>>8, i&255), web)
		c.open()
		c.c(tcpACK, httpGet)
	}
	r.run()
}

// ask lets a consumer ask for a snapshot and the worker hear of it.
func (c *consumer) ask() uint32 {
	req := c.RequestResync(1)
	c.r.w.requests()
	return req
}

// later is a time that no slice outlasts.
func later() time.Time { return time.Now().Add(time.Hour) }

// TestSnapshot: who asks is told of every flow that was ever told, once, as it is;
// revisions stay what they were.
func TestSnapshot(t *testing.T) {
	r := newRig(t, options{flows: 4096})
	a, b := r.consumer("a"), r.consumer("b")
	r.crowd(1000)
	syn := r.talk("10.9.9.9:1", web) // in probation: nobody was told of it
	syn.c(tcpSYN, "")
	r.run()
	revs := map[uint64]uint32{}
	for _, h := range r.seen {
		if h.typ.HasFlow() {
			revs[h.flow().ID()] = h.flow().Rev()
		}
	}
	a.read(1 << 20)
	b.read(1 << 20)
	for n, c := range []*consumer{a, b} {
		c.got = nil
		req := c.ask()
		r.w.snapshot(later())
		c.read(1 << 20)
		other := []*consumer{b, a}[n]
		other.read(1 << 20)
		if len(c.got) != 1002 {
			t.Fatalf("%s: %d events, want a begin, 1000 flows, an end", c.name, len(c.got))
		}
		if got, want := c.got[0].String(), fmt.Sprintf("SNAP_BEGIN %s req=%d flows=0", c.name, req); got != want {
			t.Errorf("first event %q, want %q", got, want)
		}
		if got, want := c.got[1001].String(), fmt.Sprintf("SNAP_END %s req=%d flows=1000", c.name, req); got != want {
			t.Errorf("last event %q, want %q", got, want)
		}
		seen := map[uint64]bool{}
		for _, h := range c.got[1:1001] {
			f := h.flow()
			if h.typ != event.SnapFlow || h.flags != evtring.FlagSnapshot || seen[f.ID()] || f.Rev() != revs[f.ID()] {
				t.Fatalf("%v (flags %d): want each flow once, flags %d, revision %d", h, h.flags, evtring.FlagSnapshot, revs[f.ID()])
			}
			seen[f.ID()] = true
		}
	}
}

// TestSnapshotIsThrottled: a consumer that reads slowly is never lapped by its own
// snapshot, which goes on while it reads; packets go on, too.
func TestSnapshotIsThrottled(t *testing.T) {
	r := newRig(t, options{flows: 4096, events: 256 << 10})
	c := r.consumer("slow")
	for i := range 20 {
		r.talkOf(i * 100)
		r.run()
		c.read(1 << 20)
	}
	c.got = nil
	c.ask()
	lag := func() uint64 { s, _ := r.events.Reader("slow"); return s.Lag }
	slices, limit := 0, r.events.Capacity()/4+r.events.Capacity()/8
	for ; r.w.snap.running; slices++ {
		if slices > 10000 {
			t.Fatal("the snapshot does not end")
		}
		before := lag()
		r.w.snapshot(later())
		r.collect()
		if n := lag(); n > before && n > limit {
			t.Fatalf("a slice left the consumer %d bytes behind, %d before it; want at most %d", n, before, limit)
		}
		c.read(10)
		if slices%50 == 0 {
			r.talkOf(100_000 + slices)
			r.run()
		}
	}
	c.read(1 << 20)
	flows, last := 0, ""
	for _, h := range c.got {
		switch h.typ {
		case event.SnapFlow:
			flows++
		case event.SnapEnd:
			last = h.String()
		}
	}
	if want := fmt.Sprintf("SNAP_END slow req=1 flows=%d", flows); flows < 2000 || last != want {
		t.Errorf("%d flows told, end %q, want at least 2000 and %q", flows, last, want)
	}
	if slices < 10 {
		t.Errorf("told in %d slices; the test is too weak", slices)
	}
}

// talkOf puts 100 flows, numbered from n.
func (r *rig) talkOf(n int) {
	for i := n; i < n+100; i++ {
		c := r.talk(fmt.Sprintf("10.%d.%d.%d:40000", i>>16, i>>8&255, i&255), web)
		c.open()
		c.c(tcpACK, httpGet)
	}
}

// TestSnapshotGivenUp: consumers that leave, stand still, or ask again.
func TestSnapshotGivenUp(t *testing.T) {
	begin := func(t *testing.T) (*rig, *consumer) {
		r := newRig(t, options{flows: 4096, events: 256 << 10})
		c := r.consumer("c")
		r.t.Helper()
		for i := range 10 {
			r.talkOf(i * 100)
			r.run()
			c.read(1 << 20)
		}
		c.ask()
		r.w.snapshot(later()) // until c is a quarter behind
		r.seen = nil
		if r.collect(); !r.w.snap.running {
			t.Fatal("the snapshot is over before it could be given up")
		}
		return r, c
	}
	last := func(r *rig) string {
		r.collect()
		return r.seen[len(r.seen)-1].String()
	}
	t.Run("left", func(t *testing.T) {
		t.Parallel()
		r, c := begin(t)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		r.w.snapshot(later())
		if got := last(r); r.w.snap.running || !strings.HasPrefix(got, "SNAP_ABORT c req=1 ") {
			t.Errorf("running %v, last event %q, want SNAP_ABORT", r.w.snap.running, got)
		}
	})
	t.Run("stands still", func(t *testing.T) {
		t.Parallel()
		r, c := begin(t)
		if r.w.snapshot(later()); !r.w.snap.running {
			t.Fatal("given up at once")
		}
		r.w.snap.stuck = r.w.snap.stuck.Add(-giveUp)
		c.read(1)
		if r.w.snapshot(later()); !r.w.snap.running {
			t.Fatal("given up though the consumer moved")
		}
		r.w.snap.stuck = r.w.snap.stuck.Add(-giveUp - time.Second)
		if r.w.snapshot(later()); r.w.snap.running || !strings.HasPrefix(last(r), "SNAP_ABORT") {
			t.Errorf("running %v, last event %q, want SNAP_ABORT", r.w.snap.running, last(r))
		}
	})
	t.Run("asks again", func(t *testing.T) {
		t.Parallel()
		r, c := begin(t)
		c.ask()
		r.collect()
		n := len(r.seen)
		if n < 2 || !strings.HasPrefix(r.seen[n-2].String(), "SNAP_ABORT c req=1 ") || !strings.HasPrefix(r.seen[n-1].String(), "SNAP_BEGIN c req=2 ") {
			t.Errorf("last events %v, want the end of request 1, the begin of request 2", r.seen[max(0, n-2):])
		}
		if g := r.w.snap.gen; g != 2 {
			t.Errorf("generation %d, want 2", g)
		}
	})
	t.Run("others wait", func(t *testing.T) {
		t.Parallel()
		r, _ := begin(t)
		d := r.consumer("d")
		d.ask()
		d.ask()
		if n := len(r.w.snap.asked); n != 1 {
			t.Errorf("%d requests wait, want the last of d", n)
		}
	})
}

// TestStats: FLOW_STATS of the flows that had packets since the last walk, and of no
// others.
func TestStats(t *testing.T) {
	r := newRig(t, options{set: Settings{StatsInterval: 10 * time.Second}})
	walk := func(at time.Duration) (stats []string) {
		t.Helper()
		r.tick(at)
		r.told()
		for r.w.startStats(); r.w.stats.running; {
			r.w.walkStats(later())
		}
		for _, l := range r.told() {
			if strings.HasPrefix(l, "STATS") {
				stats = append(stats, l)
			}
		}
		return stats
	}
	a, b := r.talk("10.0.0.1:40000", odd), r.talk("10.0.0.2:40000", odd)
	a.open()
	b.open()
	r.datagram(0, "10.0.0.3:40000", mystery, noise)
	if got := walk(time.Second); len(got) != 3 {
		t.Errorf("first walk: %q, want three flows", got)
	}
	a.at = 5 * time.Second
	a.s(tcpACK, noise)
	if got := walk(9 * time.Second); len(got) != 0 {
		t.Errorf("walk before its time: %q, want none", got)
	}
	got := walk(12 * time.Second)
	if want := "STATS 3 10.0.0.1:40000>192.0.2.1:4242 2/2"; len(got) != 1 || got[0] != want {
		t.Errorf("second walk: %q, want %q", got, want)
	}
	if got := walk(40 * time.Second); len(got) != 0 {
		t.Errorf("walk over silent flows: %q, want none", got)
	}
}

// TestShed: when readers lag, what is of low priority is not written and counted;
// classes and ends always are.
func TestShed(t *testing.T) {
	r := newRig(t, options{flows: 4096, events: 256 << 10, set: Settings{StatsInterval: time.Second}})
	r.consumer("asleep")
	for i := 0; !r.events.ShedLow(); i += 100 {
		if i > 5000 {
			t.Fatal("ShedLow() stays false")
		}
		r.talkOf(i)
		r.run()
	}
	r.told()
	r.tick(2 * time.Second)
	r.run()
	r.w.startStats()
	r.w.walkStats(later())
	if got := r.told(); len(got) != 0 || r.count(cShed) == 0 {
		t.Errorf("%d events written, %d shed, want none written", len(got), r.count(cShed))
	}
	c := r.talk("10.99.0.1:40000", web)
	c.at = 2 * time.Second
	c.open()
	c.c(tcpACK, httpGet)
	c.s(tcpACK, "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n") // would be an update
	c.c(tcpRST, "")
	r.tick(20 * time.Second)
	got := strings.Join(r.told(), "\n")
	if !strings.Contains(got, "NEW") || !strings.Contains(got, "CLASS") || !strings.Contains(got, "END") || strings.Contains(got, "UPDATE") {
		t.Errorf("events\n%s\nwant NEW, CLASS and END, no UPDATE", got)
	}
}
