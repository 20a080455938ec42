package worker

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"weir/proto/event"
	"weir/proto/pkt"
)

// outcomes are the counters of which every descriptor raises exactly one.
var outcomes = []int{cPackets, cOrphans, cUnparsed, cNoRoom, cPoison, cLostRecords, cMarks, cUnknownKind, cAccounts, cUnaccounted}

// wantLaws checks that every descriptor the worker took from its rings ended in one
// counter, and that flows neither vanish nor double.
func (r *rig) wantLaws() {
	r.t.Helper()
	r.w.export()
	sum, taken := uint64(0), uint64(0)
	for _, c := range outcomes {
		sum += r.count(c)
	}
	for _, c := range r.cons {
		taken += c.Position()
	}
	if sum != taken {
		r.t.Errorf("%d descriptors taken, %d counted", taken, sum)
	}
	if created, ended, live := r.count(cCreated), r.count(cEnded), r.count(cFlows); created != ended+live {
		r.t.Errorf("%d flows created, %d ended and %d alive", created, ended, live)
	}
}

// TestOutcomes puts one record of each sort.
func TestOutcomes(t *testing.T) {
	good := packet{src: endpoint(client1), dst: endpoint(odd), proto: protoTCP, flags: tcpACK, data: []byte(noise)}
	bad := func(change func(p *pkt.PrefixFields, frame *[]byte)) func(r *rig) {
		return func(r *rig) {
			frame, prefix := good.frame()
			fields := r.fields(&good, frame)
			change(&prefix, &frame)
			var b [pkt.PrefixSize]byte
			prefix.Encode(b[:])
			r.record(0, fields, b[:], frame)
		}
	}
	mark := func(f pkt.Fields) func(r *rig) { return func(r *rig) { r.record(0, f, nil, nil) } }
	for _, tt := range []struct {
		name string
		put  func(r *rig)
		want int
	}{
		{"packet", func(r *rig) { r.put(good) }, cPackets},
		{"orphan", func(r *rig) { p := good; p.bare = true; r.put(p) }, cOrphans},
		{"bare packet of a flow", func(r *rig) { r.put(good); r.run(); p := good; p.bare = true; r.put(p) }, cPackets},
		{"network header behind the transport's", bad(func(p *pkt.PrefixFields, _ *[]byte) { p.L3 = p.L4 + 1 }), cUnparsed},
		{"transport header behind the data", bad(func(p *pkt.PrefixFields, _ *[]byte) { p.L4 = p.Data + 1 }), cUnparsed},
		{"network header behind the end", bad(func(p *pkt.PrefixFields, f *[]byte) { *f = (*f)[:p.L3+19] }), cUnparsed},
		{"transport header behind the end", bad(func(p *pkt.PrefixFields, f *[]byte) { p.L4, p.Data = 60000, 60000 }), cUnparsed},
		{"transport header at the end", bad(func(p *pkt.PrefixFields, f *[]byte) { *f = (*f)[:p.L4] }), cPackets},
		{"data behind the end", bad(func(p *pkt.PrefixFields, f *[]byte) { p.Data = 60000 }), cPackets},
		{"empty frame", bad(func(p *pkt.PrefixFields, f *[]byte) { *f = nil }), cUnparsed},
		{"lost", mark(pkt.Fields{Kind: pkt.KindLost, HashLo: 7, HashHi: 700}), cLostRecords},
		{"tick", mark(pkt.Fields{Kind: pkt.KindTick}), cMarks},
		{"end", mark(pkt.Fields{Kind: pkt.KindEOF}), cMarks},
		{"unknown kind", mark(pkt.Fields{Kind: 77}), cUnknownKind},
		{"kind 0", mark(pkt.Fields{}), cUnknownKind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{flows: 64})
			tt.put(r)
			r.run()
			for _, c := range outcomes {
				if n := r.count(c); (n > 0) != (c == tt.want) {
					t.Errorf("counter %s = %d, want only %s raised", CounterNames[c], n, CounterNames[tt.want])
				}
			}
			r.wantLaws()
		})
	}
}

// TestLost: packets that were lost before this worker are counted and told.
func TestLost(t *testing.T) {
	r := newRig(t, options{})
	r.record(0, pkt.Fields{Kind: pkt.KindLost, TS: epoch, HashLo: 7, HashHi: 700}, nil, nil)
	r.run()
	if len(r.seen) != 1 || r.seen[0].typ != event.LostInput {
		t.Fatalf("events %v, want one LOST_INPUT", r.seen)
	}
	l, err := event.ParseLoss(r.seen[0].payload)
	if err != nil || l.Packets != 7 || l.Bytes != 700 {
		t.Errorf("loss = %+v, %v, want 7 packets, 700 bytes", l, err)
	}
	r.wantCount(cLost, 7)
}

func TestCounterNames(t *testing.T) {
	if len(CounterNames) != cCount {
		t.Fatalf("%d names for %d counters", len(CounterNames), cCount)
	}
	seen := map[string]bool{}
	for _, n := range CounterNames {
		if seen[n] || n == "" {
			t.Errorf("counter name %q is empty or there twice", n)
		}
		seen[n] = true
	}
}

// TestRandomTraffic runs thousands of random packets of few endpoints, with ticks,
// and holds packets and bytes told at the ends against those that were put.
func TestRandomTraffic(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r := newRig(t, options{flows: 128, rings: 1 + int(seed%2)})
		var packets, bytes, told, toldBytes uint64
		at := time.Duration(0)
		for range 6000 {
			at += time.Duration(rnd.IntN(40)) * time.Millisecond
			p := packet{
				at: at, src: endpoint(fmt.Sprintf("10.0.0.%d:%d", rnd.IntN(40), 40000+rnd.IntN(4))), dst: endpoint(odd),
				proto: []uint8{protoTCP, protoTCP, protoUDP, protoICMP, 47}[rnd.IntN(5)], flags: uint8(rnd.IntN(32)), seq: rnd.Uint32(),
				data: []byte(noise)[:rnd.IntN(len(noise))], ring: rnd.IntN(r.opt.rings),
			}
			if rnd.IntN(2) == 0 {
				p.src, p.dst = p.dst, p.src
			}
			frame, _ := p.frame()
			packets, bytes = packets+1, bytes+uint64(len(frame))
			r.put(p)
			if rnd.IntN(50) == 0 {
				r.tick(at)
			}
		}
		r.eof(at)
		r.run()
		r.wantLaws()
		for _, h := range r.seen {
			if h.typ == event.FlowEnd {
				f := h.flow()
				told += f.ClientPackets() + f.ServerPackets()
				toldBytes += f.ClientBytes() + f.ServerBytes()
			}
		}
		if told != packets || toldBytes != bytes || r.count(cPackets) != packets || r.count(cBytes) != bytes {
			t.Errorf("seed %d: %d packets, %d bytes put; %d, %d told; %d, %d counted", seed, packets, bytes, told, toldBytes,
				r.count(cPackets), r.count(cBytes))
		}
		if r.w.table.Live() != 0 {
			t.Errorf("seed %d: %d flows live on after the end", seed, r.w.table.Live())
		}
		if n := len(r.w.inspect.free); n != len(r.w.inspect.all) {
			t.Errorf("seed %d: %d contexts free after the end, want %d", seed, n, len(r.w.inspect.all))
		}
	}
}

// FuzzRecords gives the worker any descriptors with any payloads: it survives and
// the laws hold.
func FuzzRecords(f *testing.F) {
	r := newRig(f, options{})
	for _, p := range []packet{
		{src: endpoint(client1), dst: endpoint(web), proto: protoTCP, flags: tcpACK, data: []byte(httpGet)},
		{src: endpoint("[2001:db8::1]:40000"), dst: endpoint("[2001:db8::2]:53"), proto: protoUDP, data: []byte(dnsQuery("a.example.org"))},
		{src: endpoint("10.0.0.1:0"), dst: endpoint("10.0.0.2:0"), proto: protoICMP, data: []byte(noise)},
	} {
		frame, prefix := p.frame()
		fields := r.fields(&p, frame)
		var b [pkt.DescSize + pkt.PrefixSize]byte
		fields.Encode(b[:])
		prefix.Encode(b[pkt.DescSize:])
		f.Add(append(b[:], frame...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRig(t, options{flows: 64, events: 256 << 10})
		for len(b) >= pkt.DescSize {
			var d [pkt.DescSize]byte
			b = b[copy(d[:], b):]
			n := min(int(binary.LittleEndian.Uint32(d[36:])), len(b))
			if d[58]&pkt.FlagPayload == 0 || n < pkt.PrefixSize {
				r.prod[0].Put(d[:], nil, nil)
				continue
			}
			r.prod[0].Put(d[:], b[:pkt.PrefixSize], b[pkt.PrefixSize:n])
			b = b[n:]
		}
		r.run()
		r.wantLaws()
		r.eof(0)
		r.run()
		r.wantLaws()
	})
}
