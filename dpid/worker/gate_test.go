package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/proto/event"
	"weir/proto/verdict"
)

// What capd of the tests calls itself.
const (
	heldQueue      = 7
	heldGeneration = 0x4142
	heldTime       = 20 * time.Millisecond
)

// blocked is the name that policyd of the tests drops.
const blocked = "blocked.example.org"

// waiting is a packet that capd holds.
type waiting struct {
	id   uint32
	at   time.Duration
	flow [2]uint64
	from uint16
	data string
}

// gate is capd and policyd of a test, by their contract: it holds packets, and lets
// them go by what the worker answers.
type gate struct {
	r       *rig
	id      uint32
	held    []waiting
	dropped map[[2]uint64]bool // what capd remembers of flows; absent: nothing
	through []string           // payloads that were let go, in order
	from    []uint16           // and the ports that they came from
	expired []string           // of these, because nobody answered
	said    []string           // what the worker did about each packet that was held
	mute    bool               // policyd does not answer
	lazy    bool               // send leaves settle to the caller
	swift   bool               // policyd is faster than the worker's answers are read
}

func newGate(t testing.TB, opt options) *gate {
	opt.set.Hold = heldTime
	return &gate{r: newRig(t, opt), dropped: map[[2]uint64]bool{}}
}

// send brings a packet to capd.
func (g *gate) send(p packet) {
	g.r.t.Helper()
	if p.proto == 0 {
		p.proto = protoTCP
	}
	f := g.r.fields(&p, nil)
	flow := [2]uint64{f.HashLo, f.HashHi}
	g.expire(p.at)
	if drop, known := g.dropped[flow]; known {
		if !drop {
			g.pass(p.src.Port(), string(p.data))
		}
		g.r.put(p)
		if !g.lazy {
			g.settle()
		}
		return
	}
	if len(p.data) == 0 && !slices.ContainsFunc(g.held, func(w waiting) bool { return w.flow == flow }) {
		g.pass(p.src.Port(), "")
		g.r.put(p)
		if !g.lazy {
			g.settle()
		}
		return
	}
	g.id++
	p.waits = g.id
	g.held = append(g.held, waiting{g.id, p.at, flow, p.src.Port(), string(p.data)})
	before := g.totals()
	g.r.put(p)
	if g.lazy {
		return
	}
	g.settle()
	after := g.totals()
	var what []string
	for i, name := range []string{"asked", "gone on", "withheld", "unanswered"} {
		for range after[i] - before[i] {
			what = append(what, name)
		}
	}
	if len(what) != 1 {
		g.r.t.Errorf("packet %d: %q, want exactly one", g.id, what)
	}
	g.said = append(g.said, strings.Join(what, "+"))
}

func (g *gate) totals() [4]uint64 {
	return [4]uint64{g.r.count(cAsked), g.r.count(cGoneOn), g.r.count(cWithheld), g.r.count(cUnanswered)}
}

// expire lets go what waited too long.
func (g *gate) expire(now time.Duration) {
	for len(g.held) > 0 && g.held[0].at+heldTime <= now {
		g.expired = append(g.expired, g.held[0].data)
		g.letGo(func(w waiting) bool { return w.id == g.held[0].id })
	}
}

func (g *gate) pass(from uint16, data string) {
	g.through, g.from = append(g.through, data), append(g.from, from)
}

// letGo sends what is held and is meant on its way.
func (g *gate) letGo(meant func(waiting) bool) {
	var kept []waiting
	for _, w := range g.held {
		if meant(w) {
			g.pass(w.from, w.data)
		} else {
			kept = append(kept, w)
		}
	}
	g.held = kept
}

// settle lets the worker work and does what it and policyd say.
func (g *gate) settle() {
	g.r.t.Helper()
	g.r.run()
	g.r.collect()
	if g.swift {
		g.policies()
	}
	for thread, c := range g.r.capd {
		for {
			d := c.Peek(1)
			if len(d) == 0 {
				break
			}
			g.goOn(thread, verdict.Record(d))
			c.Release(1)
		}
	}
	g.policies()
}

func (g *gate) policies() {
	for _, h := range g.r.seen {
		if h.typ.HasFlow() {
			g.policy(h)
		}
	}
	g.r.seen = nil
}

func (g *gate) goOn(thread int, v verdict.Record) {
	g.r.t.Helper()
	flow := [2]uint64{v.HashLo(), v.HashHi()}
	known := slices.ContainsFunc(g.held, func(w waiting) bool { return w.id == v.ID() && w.flow == flow })
	if v.Kind() != verdict.KindGoOn || v.Queue() != heldQueue || v.Generation() != heldGeneration || !known && !g.swift {
		g.r.t.Errorf("thread %d: answer %+v to no packet that is held", thread, v)
	}
	if known {
		g.letGo(func(w waiting) bool { return w.flow == flow && w.id <= v.ID() })
	}
}

// policy answers an event with a question as policyd does.
func (g *gate) policy(h happened) {
	g.r.t.Helper()
	f := h.flow()
	q, asked := event.ParseQuestion(h.payload, f)
	if asked != (f.Flags()&event.FlagQuestion != 0) || h.typ == event.VerdictReq && !asked || asked && h.flags != 0 {
		g.r.t.Errorf("%v: flags %#x, ring flags %#x, question %v", h, f.Flags(), h.flags, asked)
	}
	if !asked || g.mute {
		return
	}
	flow := [2]uint64{q.HashLo, q.HashHi}
	if q.Queue != heldQueue || q.Generation != heldGeneration || int(q.Thread) >= len(g.r.capd) {
		g.r.t.Errorf("%v: question %+v", h, q)
	}
	if string(f.Host()) == blocked {
		g.dropped[flow] = true
		g.held = slices.DeleteFunc(g.held, func(w waiting) bool { return w.flow == flow })
		return
	}
	if f.Flags()&event.FlagFinal != 0 {
		g.dropped[flow] = false
	}
	g.letGo(func(w waiting) bool { return w.flow == flow })
}

// talk is a connection through the gate.
func (g *gate) talk(client, server string) *talk {
	c := g.r.talk(client, server)
	c.step = 100 * time.Microsecond
	c.via = g.send
	return c
}

// passed returns all payload that was let go, in one.
func (g *gate) passed() string { return strings.Join(g.through, "") }

// want compares what the worker did about the packets that were held since the last
// call.
func (g *gate) want(when string, said ...string) {
	g.r.t.Helper()
	if fmt.Sprint(g.said) != fmt.Sprint(said) {
		g.r.t.Errorf("%s: packets were %q, want %q", when, g.said, said)
	}
	g.said = nil
}
