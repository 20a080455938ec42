package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/dpid/flow"
	"weir/proto/event"
)

// TestFloods: when the table is full, a flood takes the place of nothing but itself:
// every connection that was answered lives on, and all is counted.
func TestFloods(t *testing.T) {
	for _, tt := range []struct {
		name string
		put  func(r *rig, i int)
	}{
		{"SYN", func(r *rig, i int) { r.flood(i, protoTCP, tcpSYN, "") }},
		{"SYN with data", func(r *rig, i int) { r.flood(i, protoTCP, tcpSYN, "x") }},
		{"ACK", func(r *rig, i int) { r.flood(i, protoTCP, tcpACK, "") }},
		{"data", func(r *rig, i int) { r.flood(i, protoTCP, tcpACK, noise) }},
		{"UDP", func(r *rig, i int) { r.flood(i, protoUDP, 0, noise) }},
		{"ICMP", func(r *rig, i int) { r.flood(i, protoICMP, 0, noise) }},
		{"reset scans", func(r *rig, i int) { r.flood(i, protoTCP, tcpSYN, ""); r.flood(-i, protoTCP, tcpRST, "") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{flows: 256, probation: 64})
			var good []*talk
			for i := range 100 {
				c := r.talk(fmt.Sprintf("10.0.0.%d:40000", i+1), web)
				c.open()
				c.c(tcpACK, httpGet)
				c.s(tcpACK, "HTTP/1.1 200 OK\r\n\r\n")
				good = append(good, c)
			}
			for i := range 3000 {
				tt.put(r, i+1)
			}
			r.run()
			lost := 0
			for _, c := range good {
				if _, ok := r.flow(c); !ok {
					lost++
				}
			}
			// A victim is looked for in a sample, so one in very many may be a good flow.
			if lost > 0 {
				t.Errorf("%d of 100 answered flows were evicted", lost)
			}
			if r.count(cEvicted) < 2000 {
				t.Errorf("%d flows evicted; the test is too weak", r.count(cEvicted))
			}
			if n := r.w.table.InProbation(); tt.name == "SYN" && n != 64 {
				t.Errorf("%d flows in probation, want 64", n)
			}
			r.wantCount(cNoRoom, 0)
			r.wantLaws()
			for _, h := range r.seen {
				if h.typ == event.FlowEnd && h.flow().EndReason() != event.EndEvicted && h.flow().EndReason() != event.EndRST {
					t.Fatalf("%v: want end=evicted", h)
				}
			}
		})
	}
}

// flood puts a packet of flow i, answer and all if i is negative.
func (r *rig) flood(i int, proto, flags uint8, data string) {
	src, dst := endpoint(fmt.Sprintf("203.0.%d.%d:999", abs(i)>>8, abs(i)&255)), endpoint(web)
	if i < 0 {
		src, dst = dst, src
	}
	r.put(packet{at: time.Second + time.Duration(abs(i))*time.Microsecond, src: src, dst: dst, proto: proto, flags: flags, data: []byte(data)})
}

func abs(i int) int { return max(i, -i) }

// TestFullOfGoodFlows: with nothing else to evict it is the flows idle longest, and
// they are told as evicted with what was known of them.
func TestFullOfGoodFlows(t *testing.T) {
	r := newRig(t, options{flows: 64})
	for i := range 200 {
		c := r.talk(fmt.Sprintf("10.0.0.%d:40000", i+1), web)
		c.at = time.Duration(i) * time.Second
		c.open()
		c.c(tcpACK, httpGet)
	}
	evicted := 0
	for _, l := range r.told() {
		if strings.HasPrefix(l, "END") {
			if !strings.HasSuffix(l, "http www.example.org (dpi) 3/1 more end=evicted") {
				t.Errorf("%s: want a classified flow that was evicted", l)
			}
			evicted++
		}
	}
	if live := r.w.table.Live(); evicted+live != 200 || live > 64 {
		t.Errorf("%d flows evicted, %d live, want 200 in all and at most 64 live", evicted, live)
	}
	r.w.table.Each(0, 64, func(_ uint32, rec *flow.Record) {
		if age := time.Duration(rec.First() - epoch); age < 100*time.Second {
			t.Errorf("a flow of second %v outlived 100 later ones", age)
		}
	})
	r.wantCount(cEvicted, uint64(evicted))
}

// TestNoRoomToDescribe: a slab that is full of descriptions costs descriptions, not
// flows.
func TestNoRoomToDescribe(t *testing.T) {
	r := newRig(t, options{flows: 1024, chunks: 64})
	for i := range 200 {
		c := r.talk(fmt.Sprintf("10.0.0.%d:40000", i+1), web)
		c.open()
		c.c(tcpACK, httpGet)
	}
	r.eof(time.Minute)
	r.run()
	if r.count(cNoDescribe) == 0 {
		t.Error("every flow found room; the test is too weak")
	}
	r.wantCount(cEnded, 200)
	r.wantLaws()
}
