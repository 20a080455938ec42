package worker

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/dpid/flow"
	"weir/shm/hashset"
)

// finalRig is a worker whose final flows somebody asks for.
func finalRig(t *testing.T) (*rig, *hashset.Writer) {
	t.Helper()
	return finalRigOf(t, options{})
}

func finalRigOf(t *testing.T, o options) (*rig, *hashset.Writer) {
	t.Helper()
	r := newRig(t, o)
	set, err := hashset.Create(hashset.Config{Path: filepath.Join(r.dir, "set"), Entries: 1024, Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = set.Close() })
	r.w.finals.set = set
	return r, set
}

var long = strings.Repeat("\x07", 500)

// known brings a connection to the end of its inspection.
func (c *talk) known() {
	c.open()
	for range 40 {
		c.s(tcpACK, long)
	}
}

func (r *rig) hashOf(c *talk) (lo, hi uint64) {
	p := packet{src: c.client, dst: c.server, proto: protoTCP}
	f := r.fields(&p, nil)
	return f.HashLo, f.HashHi
}

func (r *rig) inSet(set *hashset.Writer, c *talk) bool {
	r.t.Helper()
	r.run()
	return set.Has(r.hashOf(c))
}

// bare sends a packet without payload, as capd does once it knows.
func (c *talk) bare(data string) {
	c.r.t.Helper()
	c.via = func(p packet) { p.bare = true; c.r.put(p) }
	c.s(tcpACK, data)
	c.via = nil
}

// A flow is in the set from the first needless payload to its end, and counted all the
// while.
func TestFinals(t *testing.T) {
	t.Parallel()
	r, set := finalRig(t)
	c := r.talk(client1, web)
	c.open()
	c.s(tcpACK, long)
	if r.inSet(set, c) {
		t.Error("a flow under inspection is in the set")
	}
	c.known()
	if !r.inSet(set, c) {
		t.Fatal("a final flow is not in the set")
	}
	before := r.count(cPackets)
	for range 10 {
		c.bare(long)
	}
	r.run()
	if got := r.count(cPackets) - before; got != 10 {
		t.Errorf("%d of 10 packets without payload were counted", got)
	}
	c.s(tcpRST, "")
	r.tick(time.Hour)
	if r.inSet(set, c) {
		t.Error("a flow that is over is in the set")
	}
	r.wantCount(cOrphans, 0)
	r.wantLaws()
}

// Short packets come with their payload in any case: a flow of nothing else is nobody's
// business.
func TestFinalsShort(t *testing.T) {
	t.Parallel()
	r, set := finalRig(t)
	c := r.talk(client1, web)
	c.open()
	for range 60 {
		c.s(tcpACK, "\x07\x07\x07\x07")
	}
	if r.inSet(set, c) {
		t.Error("a flow of short packets is in the set")
	}
}

// Nobody is blind for long: a packet without payload of a flow that is not known, or
// that is under inspection, takes the entry out.
func TestFinalsStale(t *testing.T) {
	t.Parallel()
	r, set := finalRig(t)
	stale := func(c *talk) { set.Add(r.hashOf(c)) }
	gone := r.talk(client1, web)
	stale(gone)
	gone.bare(long)
	if r.inSet(set, gone) {
		t.Error("a flow that is not known stays in the set")
	}
	r.wantCount(cOrphans, 1)
	young := r.talk("10.0.0.9:4000", web)
	young.open()
	r.run()
	stale(young)
	young.bare(long)
	if r.inSet(set, young) {
		t.Error("a flow under inspection stays in the set")
	}
}

// Whenever the worker is killed, what is in the set is final for the next one.
func TestFinalsKilled(t *testing.T) {
	t.Parallel()
	for moment, name := range moments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, set := finalRig(t)
			c := r.talk(client1, web)
			c.open()
			r.run()
			for range 40 {
				c.s(tcpACK, long)
			}
			for r.cons[0].Backlog() > 0 {
				r.dieAt(moment, 7)
				r.w.finals.set = set
				slot, ok := r.w.table.Find(r.hashOf(c))
				if in := set.Has(r.hashOf(c)); in && (!ok || !r.w.table.Record(slot).Has(flow.Final)) {
					t.Fatal("a flow is in the set that is not final")
				}
				if _, err := r.w.serve(0); err != nil {
					t.Fatal(err)
				}
			}
			if !r.inSet(set, c) {
				t.Error("the flow never comes into the set")
			}
		})
	}
}

// A connection that begins on the ports of a final flow, in the same batch as the last
// packet of that, is looked at from its first byte.
func TestFinalsReused(t *testing.T) {
	t.Parallel()
	r, set := finalRig(t)
	c := r.talk(client1, web)
	c.known()
	r.run()
	set.Remove(r.hashOf(c))
	c.s(tcpACK, long)
	r.talk(client1, web).c(tcpSYN, "")
	if r.inSet(set, c) {
		t.Error("a flow that has just begun is in the set")
	}
}

// A final flow that lives too long is told and begun anew by a packet that has its
// payload; those without are counted into the old one until then.
func TestFinalsActive(t *testing.T) {
	t.Parallel()
	to := rigTimeouts
	to.Active = 100 * time.Second
	r, set := finalRigOf(t, options{set: Settings{Timeouts: to}})
	c := r.talk(client1, web)
	c.known()
	if !r.inSet(set, c) {
		t.Fatal("a final flow is not in the set")
	}
	for at := 10 * time.Second; at <= 120*time.Second; at += 10 * time.Second {
		c.at = at
		c.bare(long)
		r.tick(at)
	}
	if r.inSet(set, c) {
		t.Error("a flow whose time is over stays in the set")
	}
	r.wantCount(cOrphans, 0)
	r.wantCount(cEnded, 0)
	c.s(tcpACK, long)
	r.run()
	r.wantCount(cEnded, 1)
	r.wantCount(cCreated, 2)
}
