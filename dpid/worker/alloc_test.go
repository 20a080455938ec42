package worker

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"weir/dpid/catalog"
	"weir/proto/pkt"
)

// TestNoAllocs: from the ring through the flow table, the dissectors and the
// catalogue to events, nothing allocates. Each round brings the conversations of a
// small town, as new flows, and ends those of the round before; the first rounds fill
// the pools.
func TestNoAllocs(t *testing.T) {
	t.Run("watched", func(t *testing.T) { noAllocs(t, Settings{}) })
	t.Run("held", func(t *testing.T) { noAllocs(t, Settings{Hold: heldTime}) })
}

func noAllocs(t *testing.T, set Settings) {
	file := filepath.Join(t.TempDir(), "catalog")
	if status := catalog.Main([]string{"compile", "-o", file}); status != 0 {
		t.Fatalf("catalog compile ended with status %d", status)
	}
	names, err := catalog.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{flows: 4096, set: set})
	r.w.part.Catalog = names

	type record struct {
		fields pkt.Fields
		prefix [pkt.PrefixSize]byte
		frame  []byte
	}
	var all []record
	traffic := town(rand.New(rand.NewPCG(1, 2)), 100)
	for i := range 30 { // server names that the catalogue knows, in halves
		me, peer, data := endpoint("10.9.0.1:"+port(40000+i)), endpoint("198.51.100.9:443"), hello("www.youtube.com")
		at := time.Minute + time.Duration(i)*time.Second
		traffic = append(traffic, packet{at: at, src: me, dst: peer, flags: tcpACK, data: []byte(data[:40])},
			packet{at: at, src: me, dst: peer, flags: tcpACK, seq: 40, data: []byte(data[40:])})
	}
	for _, p := range traffic {
		if p.proto == 0 {
			p.proto = protoTCP
		}
		if set.Hold != 0 {
			p.waits = uint32(len(all) + 1)
		}
		frame, prefix := p.frame()
		rec := record{fields: r.fields(&p, frame), frame: frame}
		prefix.Encode(rec.prefix[:])
		all = append(all, rec)
	}
	var desc [pkt.DescSize]byte
	round := func() {
		for i := range all {
			f := &all[i].fields
			f.TS += uint64(time.Hour)
			f.Encode(desc[:])
			if !r.prod[0].Put(desc[:], all[i].prefix[:], all[i].frame) {
				t.Fatal("the packet ring is full")
			}
			if i%50 == 0 {
				tick := pkt.Fields{TS: f.TS, Kind: pkt.KindTick}
				tick.Encode(desc[:])
				r.prod[0].Put(desc[:], nil, nil)
			}
		}
		r.prod[0].Publish()
		for {
			if n, err := r.w.serve(0); err != nil {
				t.Fatal(err)
			} else if n == 0 {
				return
			}
			for _, c := range r.capd {
				c.Release(len(c.Peek(256)) / pkt.DescSize)
			}
		}
	}
	for range 3 {
		round()
	}
	classified, told := r.count(cClassified), r.events.Stats().Events
	if n := testing.AllocsPerRun(20, round); n != 0 {
		t.Errorf("%v allocations for %d packets, want 0", n, len(all))
	}
	rounds := uint64(21)
	if n := (r.count(cClassified) - classified) / rounds; n < 80 {
		t.Errorf("%d flows classified a round, want most of 130: the test shows nothing", n)
	}
	if held := r.count(cAsked) + r.count(cGoneOn) + r.count(cWithheld); set.Hold != 0 && (held != r.count(cPackets) || r.count(cWithheld) == 0) {
		t.Errorf("%d of %d packets that are held were answered for or withheld (%d)", held, r.count(cPackets), r.count(cWithheld))
	}
	if n := (r.events.Stats().Events - told) / rounds; n < 260 {
		t.Errorf("%d events a round, want FLOW_CLASS and FLOW_END of 130 flows", n)
	}
}
