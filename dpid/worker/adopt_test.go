package worker

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/pkt"
)

// town makes the packets of many conversations, interleaved, in the order of time.
func town(rnd *rand.Rand, flows int) []packet {
	var all []packet
	for i := range flows {
		at := time.Duration(rnd.IntN(60_000)) * time.Millisecond
		me := endpoint(fmt.Sprintf("10.0.%d.%d:%d", i>>8, i&255, 30000+i))
		add := func(p packet) {
			at += time.Duration(1+rnd.IntN(900)) * time.Millisecond
			p.at = at
			all = append(all, p)
		}
		if i%3 == 0 {
			name := fmt.Sprintf("host%d.example.org", i)
			add(packet{src: me, dst: endpoint(resolver), proto: protoUDP, data: []byte(dnsQuery(name))})
			add(packet{src: endpoint(resolver), dst: me, proto: protoUDP, data: []byte(dnsAnswer(name, "198.51.100.1"))})
			continue
		}
		peer, data := endpoint(web), strings.Replace(httpGet, "www", fmt.Sprintf("www%d", i), 1)
		if i%3 == 2 {
			peer, data = endpoint(odd), noise
		}
		cseq, sseq := rnd.Uint32(), rnd.Uint32()
		add(packet{src: me, dst: peer, flags: tcpSYN, seq: cseq})
		add(packet{src: peer, dst: me, flags: tcpSYN | tcpACK, seq: sseq, ack: cseq + 1})
		add(packet{src: me, dst: peer, flags: tcpACK, seq: cseq + 1, ack: sseq + 1, data: []byte(data)})
		for n := range rnd.IntN(6) {
			add(packet{src: peer, dst: me, flags: tcpACK, seq: sseq + 1 + uint32(n*len(noise)), ack: cseq, data: []byte(noise)})
		}
		if i%2 == 0 {
			add(packet{src: peer, dst: me, flags: tcpRST})
		}
	}
	slices.SortStableFunc(all, func(a, b packet) int { return cmp.Compare(a.at, b.at) })
	return all
}

// feed puts packets, and a tick after each second of them, and calls between now and
// then, at the latest before a ring is full.
func (r *rig) feed(packets []packet, between func()) {
	last := time.Duration(0)
	for i, p := range packets {
		if p.at-last > time.Second {
			last = p.at
			r.tick(p.at)
		}
		r.put(p)
		if i%100 == 99 {
			r.prod[0].Publish()
			between()
		}
	}
	r.eof(packets[len(packets)-1].at)
	r.prod[0].Publish()
	between()
	r.run()
}

// outcome is how a flow ended.
type outcome struct {
	counters, class string
	again           bool // inspected again
}

// ends returns how the flows ended, by key and first packet, and checks that what was
// told of each makes sense: revisions without gaps, one end.
func (r *rig) ends(t *testing.T) map[string]outcome {
	t.Helper()
	out, ids, announced := map[string]outcome{}, map[uint64]uint32{}, map[uint64]bool{}
	for _, h := range r.seen {
		if !h.typ.HasFlow() {
			continue
		}
		f := h.flow()
		if f.Rev() != ids[f.ID()]+1 {
			t.Errorf("flow %x: revision %d after %d", f.ID(), f.Rev(), ids[f.ID()])
		}
		ids[f.ID()] = f.Rev()
		announced[f.ID()] = true
		if h.typ != event.FlowEnd {
			continue
		}
		delete(announced, f.ID())
		key := fmt.Sprintf("%v:%d %v:%d %d", f.ClientAddr(), f.ClientPort(), f.ServerAddr(), f.ServerPort(), f.First())
		if _, double := out[key]; double {
			t.Errorf("flow %s ended twice", key)
		}
		out[key] = outcome{
			counters: fmt.Sprintf("%d/%d packets, %d/%d bytes, last %d, %v", f.ClientPackets(), f.ServerPackets(),
				f.ClientBytes(), f.ServerBytes(), f.Last(), f.EndReason()),
			class: fmt.Sprintf("%s %s %v", f.Protocol(), f.Host(), f.Source()),
			again: f.Flags()&event.FlagReinspected != 0,
		}
	}
	if len(announced) > 0 {
		t.Errorf("%d flows were announced and did not end", len(announced))
	}
	return out
}

// moments are the places in a transaction where a process may be killed.
var moments = []string{"while it changes records", "before its events are published", "before its packets are released", "before it is over"}

// dieAt begins the worker's next transaction and kills the process in it.
func (r *rig) dieAt(moment, packets int) {
	r.t.Helper()
	w, ring := r.w, r.cons[0]
	descs := ring.Peek(batchSize)
	n := len(descs) / pkt.DescSize
	if n == 0 {
		return
	}
	first := pkt.Descriptor(descs)
	if k := first.Kind(); k == pkt.KindTick || k == pkt.KindEOF {
		n = 0
		w.now = max(w.now, first.TS())
		w.begin(0)
		for range packets {
			if slot, ok := w.table.Expired(w.now); ok {
				w.end(slot, w.table.Record(slot), event.EndIdle)
			}
		}
	} else {
		w.makeRoom(0)
		w.begin(0)
		for i := range n {
			d := pkt.Descriptor(descs[i*pkt.DescSize : (i+1)*pkt.DescSize])
			if k := d.Kind(); i == packets || k == pkt.KindTick || k == pkt.KindEOF {
				n = i
				break
			}
			w.held.take(0, d)
			w.descriptor(ring, ring.Position()+uint64(i), d)
			w.answer()
		}
	}
	if moment > 0 {
		w.table.Prepare(ring.Position()+uint64(n), w.emitted > 0)
	}
	if moment > 1 && w.emitted > 0 {
		w.events.Publish()
	}
	if moment > 1 {
		w.held.publish(0)
	}
	if moment > 2 && n > 0 {
		ring.Release(n)
	}
	r.kill()
}

// TestKilled kills the worker again and again, in the middle of its transactions:
// the flows are those of a worker that nobody disturbed.
func TestKilled(t *testing.T) {
	for moment, when := range moments {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(3) {
				packets := town(rand.New(rand.NewPCG(seed, 1)), 150)
				calm := newRig(t, options{set: Settings{Offline: true}})
				calm.feed(packets, calm.run)
				want := calm.ends(t)

				rnd := rand.New(rand.NewPCG(seed, 2))
				r := newRig(t, options{set: Settings{Offline: true}})
				kills := 0
				r.feed(packets, func() {
					for range 1 + rnd.IntN(3) { // some batches, then a kill
						if _, err := r.w.serve(0); err != nil {
							t.Fatal(err)
						}
					}
					r.dieAt(moment, 1+rnd.IntN(batchSize))
					kills++
				})
				got := r.ends(t)
				again := 0
				for k, w := range want {
					g := got[k]
					if g.again {
						again++
						g.class, g.again = w.class, false
					}
					if g != w {
						t.Errorf("seed %d: flow %s\nended with %+v\nwant       %+v", seed, k, g, w)
					}
				}
				if len(got) != len(want) {
					t.Errorf("seed %d: %d flows, want %d: %v", seed, len(got), len(want), slices.Collect(maps.Keys(got)))
				}
				r.wantLaws()
				t.Logf("seed %d: %d kills, %d flows, %d inspected again", seed, kills, len(got), again)
			}
		})
	}
}

// TestKnownStaysKnown: what was known of a flow under inspection when the worker was
// killed is known after it, whatever its inspection finds from there on.
func TestKnownStaysKnown(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(c *talk)
	}{
		{"nothing", func(*talk) {}},
		{"bytes that nobody knows", func(c *talk) {
			for range 40 {
				c.s(tcpACK, noise)
			}
		}},
		{"the answer, of the same protocol", func(c *talk) { c.s(tcpACK, "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			c := r.talk(client1, web)
			c.open()
			c.c(tcpACK, httpGet)
			r.told()
			r.kill()
			tt.then(c)
			r.eof(time.Minute)
			got := r.told()
			last := got[len(got)-1]
			if !strings.HasPrefix(last, "END") || !strings.Contains(last, "http www.example.org (dpi)") {
				t.Errorf("end after a restart: %q, want http www.example.org (dpi)", last)
			}
			if r.count(cClassified) != 1 || r.count(cGuessed) != 0 {
				t.Errorf("classified %d, guessed %d, want 1 and 0", r.count(cClassified), r.count(cGuessed))
			}
		})
	}
}

// TestWaitingIsAdopted: flows that wait for other workers' answers wait on after a
// restart, also those that are over.
func TestWaitingIsAdopted(t *testing.T) {
	r := newRig(t, options{set: Settings{Offline: true}, others: 1})
	r.datagram(5*time.Second, "10.0.0.1:40000", mystery, noise)
	r.tick(80 * time.Second)
	r.datagram(80*time.Second, "10.0.0.1:40001", mystery, noise)
	r.told()
	r.kill()
	if n := r.w.pending.len(); n != 2 {
		t.Fatalf("%d flows wait after a restart, want 2", n)
	}
	r.eof(90 * time.Second)
	r.run()
	passAll(r)
	if !r.w.finished() {
		t.Fatal("finished() = false after all workers have ended")
	}
	ends := 0
	for _, l := range r.told() {
		if strings.HasPrefix(l, "END") {
			ends++
		}
	}
	if ends != 2 {
		t.Errorf("%d flows ended, want 2", ends)
	}
	r.wantLaws()
}

// TestOtherRing: the head of a ring that is not the one of the transaction that was
// cut off is left alone.
func TestOtherRing(t *testing.T) {
	r := newRig(t, options{})
	for i := range 3 {
		r.datagram(time.Duration(i), "10.0.0.1:4000"+port(i), mystery, noise)
	}
	r.prod[0].Publish()
	r.w.part.Adopted = flow.Adopted{Forward: true, Ring: 0, HeadEnd: 5000}
	w := New(r.opt.set, r.w.part)
	if at := w.part.Rings[0].Position(); at != 0 {
		t.Errorf("the head of a new ring went to %d, want 0: the end of a transaction at 5000 is of another", at)
	}
}
