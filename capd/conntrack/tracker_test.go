package conntrack

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"weir/proto/flowkey"
	"weir/proto/pkt"
)

const (
	here  = "192.0.2.2:4000"
	there = "198.51.100.2:443"
)

// rig is a tracker with one port, driven by hand.
type rig struct {
	*testing.T
	tracker
	clock uint64
}

func newRig(t *testing.T, flows int) *rig {
	r := &rig{T: t, clock: 1e18}
	var raw [flowkey.SeedSize]byte
	copy(raw[:], "a seed for tests, of no importance")
	seed := flowkey.ParseSeed(&raw)
	r.table = newTable(make([]byte, tableSize(flows)), &seed)
	r.ports = []*Port{newPort()}
	r.idle = Idle{TCP: 300 * time.Second, UDP: 60 * time.Second, DNS: 12 * time.Second, Other: 45 * time.Second}
	r.now = func() uint64 { return r.clock }
	return r
}

// saw meets a packet from src to dst.
func (r *rig) saw(src, dst string, change func(*Sighting)) {
	r.Helper()
	s := Sighting{TS: r.clock}
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	from, to := a.Addr().As16(), b.Addr().As16()
	s.Key = flowkey.Key{Proto: protoTCP, Version: 4, VLAN: 7, IfA: 1, IfB: 2}
	if change != nil {
		change(&s)
	}
	s.Key.Set(&from, &to, a.Port(), b.Port())
	s.HashLo, s.HashHi = s.Key.Hash(r.table.seed)
	r.ports[0].Saw(&s)
	r.drain()
}

// hear handles a message.
func (r *rig) hear(what news, c connected) {
	r.Helper()
	var e entry
	if !e.parse(c.body()) {
		r.Fatalf("message %+v was not read", c)
	}
	r.met(what, &e)
}

// want compares the notices since the last call, as packets of A and B and flags.
func (r *rig) want(what string, want ...string) {
	r.Helper()
	var got []string
	var n Notice
	for r.ports[0].Take(&n) {
		got = append(got, fmt.Sprintf("%d/%d %#x", n.Account.PacketsA, n.Account.PacketsB, n.Account.Flags))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("%s: notices %v, want %v", what, got, want)
	}
}

func begin(s *Sighting) { s.Begin = true }

// TestLife: a connection is told when it is answered, when its totals have grown, and
// when it ends; for its last totals the kernel is asked.
func TestLife(t *testing.T) {
	r := newRig(t, 64)
	c := connected{client: here, server: there, id: 9}
	r.hear(updated, c)
	r.want("a flow that nobody met")
	r.saw(here, there, begin)
	r.hear(created, c)
	r.want("new")
	c.replied = true
	r.hear(updated, c)
	r.hear(updated, c)
	r.want("answered, twice", "0/0 0x0")
	c.packets, c.bytes = [2]uint64{100, 200}, [2]uint64{1000, 2000}
	r.hear(looked, c)
	r.hear(looked, c)
	r.want("grown, then not", "100/200 0x1")
	c.mark = 3
	r.hear(updated, c)
	r.want("marked", "100/200 0x1")
	end := c
	end.packets, end.state = [2]uint64{}, tcpTimeWait
	r.hear(updated, end)
	r.hear(updated, end)
	r.want("closed, totals not known")
	if len(r.asks) != 1 {
		t.Fatalf("the kernel is asked %d times, want once", len(r.asks))
	}
	c.state, c.packets[0] = tcpTimeWait, 101
	r.hear(looked, c)
	r.hear(looked, c)
	r.want("closed", "101/200 0x5")
	r.hear(gone, c)
	r.hear(gone, c)
	r.want("gone", "101/200 0x7")
}

// TestReset: how TCP ended is told.
func TestReset(t *testing.T) {
	r := newRig(t, 64)
	c := connected{client: here, server: there, id: 9, replied: true}
	r.saw(here, there, begin)
	r.hear(updated, c)
	c.state = tcpClose
	r.hear(gone, c)
	r.want("reset", "0/0 0x0", "0/0 0xa")
}

// TestEndSeen: of a connection whose end came to the capture thread the worker knows
// everything.
func TestEndSeen(t *testing.T) {
	r := newRig(t, 64)
	c := connected{client: here, server: there, id: 9, replied: true}
	r.saw(here, there, begin)
	r.hear(updated, c)
	r.saw(there, here, func(s *Sighting) { s.End = true })
	c.state = tcpTimeWait
	r.hear(updated, c)
	if len(r.asks) != 0 {
		t.Error("the kernel is asked for what is known")
	}
}

// TestPortsUsedAgain: the end of a connection before the flow's last beginning ends
// nothing, and totals begin anew with the connection.
func TestPortsUsedAgain(t *testing.T) {
	r := newRig(t, 64)
	old := connected{client: here, server: there, id: 9, replied: true, packets: [2]uint64{50, 50}, bytes: [2]uint64{500, 500}}
	r.saw(here, there, begin)
	r.hear(created, old)
	r.hear(looked, old)
	r.want("old", "50/50 0x1")
	r.saw(here, there, begin)
	r.hear(gone, old)
	r.want("the old one is gone")
	again := connected{client: here, server: there, id: 10, replied: true, packets: [2]uint64{3, 4}, bytes: [2]uint64{30, 40}}
	r.hear(created, again)
	r.hear(looked, again)
	r.want("new", "3/4 0x1")
	r.hear(gone, old)
	r.want("the old one is gone, once more")
}

// TestPause: after a pause in which the worker has ended the flow, a packet begins
// another one, whose totals are not those of both.
func TestPause(t *testing.T) {
	r := newRig(t, 64)
	udp := func(s *Sighting) { s.Key.Proto = protoUDP }
	c := connected{client: here, server: there, proto: protoUDP, id: 9, replied: true, packets: [2]uint64{5, 6}, bytes: [2]uint64{50, 60}}
	r.saw(here, there, udp)
	r.hear(looked, c)
	r.clock += 59e9
	r.saw(here, there, udp)
	c.packets = [2]uint64{6, 7}
	r.hear(looked, c)
	r.want("short pause", "5/6 0x1", "6/7 0x1")
	r.clock += 61e9
	r.saw(here, there, udp)
	c.packets = [2]uint64{8, 8}
	r.hear(looked, c)
	r.want("long pause", "2/1 0x1")
}

// TestBytesOfFrames: what the source puts before the IP header counts.
func TestBytesOfFrames(t *testing.T) {
	r := newRig(t, 64)
	r.saw(here, there, func(s *Sighting) { s.L3 = 14 })
	r.hear(looked, connected{client: here, server: there, id: 9, packets: [2]uint64{10, 20}, bytes: [2]uint64{1000, 2000}})
	var n Notice
	if !r.ports[0].Take(&n) || n.Account.BytesA != 1140 || n.Account.BytesB != 2280 {
		t.Errorf("bytes = %d, %d, want 1140, 2280", n.Account.BytesA, n.Account.BytesB)
	}
}

// TestViews: the flow is found by what its packets carry where they are looked at, and
// the other view is that of the far side.
func TestViews(t *testing.T) {
	c := connected{client: here, server: "203.0.113.9:80", far: "203.0.113.1:5000", origin: there, id: 9, replied: true}
	for _, tt := range []struct{ name, src, dst, client, server string }{
		{"between the translations", here, there, "203.0.113.1:5000", "203.0.113.9:80"},
		{"replies there", there, here, "203.0.113.1:5000", "203.0.113.9:80"},
		{"before them", here, "203.0.113.9:80", "203.0.113.1:5000", there},
		{"behind them", "203.0.113.1:5000", there, here, "203.0.113.9:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 64)
			r.saw(tt.src, tt.dst, nil)
			r.hear(updated, c)
			var n Notice
			if !r.ports[0].Take(&n) || n.Account.Flags != pkt.AccountNAT {
				t.Fatalf("notice %+v, want one with the other view", n)
			}
			if r.ports[0].Take(&Notice{}) {
				t.Error("told twice")
			}
			a := n.Account
			ends := map[string]bool{}
			for _, e := range []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom16(a.A).Unmap(), a.PortA), netip.AddrPortFrom(netip.AddrFrom16(a.B).Unmap(), a.PortB)} {
				ends[e.String()] = true
			}
			if !ends[tt.client] || !ends[tt.server] {
				t.Errorf("other view %v, want %s and %s", ends, tt.client, tt.server)
			}
			// A is the lower address: here and 192... is lower than 198 and 203.
			var k flowkey.Key
			s, d := netip.MustParseAddrPort(tt.client), netip.MustParseAddrPort(tt.server)
			src, dst := netip.MustParseAddrPort(tt.src), netip.MustParseAddrPort(tt.dst)
			if tt.name == "replies there" {
				src, dst = dst, src
			}
			x, y := src.Addr().As16(), dst.Addr().As16()
			want := s
			if k.Set(&x, &y, src.Port(), dst.Port()) {
				want = d
			}
			if got := netip.AddrPortFrom(netip.AddrFrom16(a.A).Unmap(), a.PortA); got != want {
				t.Errorf("endpoint A in the other view = %v, want %v", got, want)
			}
		})
	}
	r := newRig(t, 64)
	r.saw(here, there, nil)
	r.hear(updated, connected{client: here, server: there, id: 9, replied: true})
	r.want("nothing is translated", "0/0 0x0")
}

// TestSweep: a connection that two dumps did not show is gone.
func TestSweep(t *testing.T) {
	r := newRig(t, 64)
	r.saw(here, there, begin)
	c := connected{client: here, server: there, id: 9, replied: true, packets: [2]uint64{5, 6}, bytes: [2]uint64{50, 60}}
	for range 300 { // the number of dumps is one byte
		r.hear(looked, c)
		r.sweep()
		r.dump++
	}
	r.want("it is there", "5/6 0x1")
	r.sweep()
	r.dump++
	r.want("one did not show it")
	r.sweep()
	r.want("two did not", "0/0 0x2")
}

// TestLostNotice: what found no room is said with the next totals.
func TestLostNotice(t *testing.T) {
	r := newRig(t, 64)
	r.saw(here, there, begin)
	for range pipeSize {
		r.say(0, &Notice{})
	}
	c := connected{client: here, server: there, id: 9, replied: true, packets: [2]uint64{5, 6}, bytes: [2]uint64{50, 60}}
	r.hear(looked, c)
	for n := (Notice{}); r.ports[0].Take(&n); {
		if n.HashLo != 0 {
			t.Fatal("there was room")
		}
	}
	r.hear(looked, c)
	r.want("said again", "5/6 0x1")
	if n := r.count.lost.Load(); n != 1 {
		t.Errorf("%d lost, want 1", n)
	}
}

// TestFull: where the table is full, the flow without news for longest is forgotten.
func TestFull(t *testing.T) {
	r := newRig(t, 1)
	if r.table.len() != ways {
		t.Fatalf("the table has %d slots, want %d", r.table.len(), ways)
	}
	for i := range ways + 1 {
		r.clock++
		r.saw(fmt.Sprintf("192.0.2.2:%d", 4000+i), there, nil)
	}
	for i := range ways + 1 {
		r.hear(updated, connected{client: fmt.Sprintf("192.0.2.2:%d", 4000+i), server: there, id: 9, replied: true})
		if i == 0 {
			r.want("the oldest")
		} else {
			r.want("another", "0/0 0x0")
		}
	}
	if n := r.count.evicted.Load(); n != 1 {
		t.Errorf("%d forgotten, want 1", n)
	}
}

// TestFlood: connections that nobody answers take no room from one that was.
func TestFlood(t *testing.T) {
	r := newRig(t, 64)
	c := connected{client: here, server: there, id: 9, replied: true}
	r.saw(here, there, begin)
	r.hear(created, c)
	r.hear(updated, c)
	r.want("answered", "0/0 0x0")
	for i := range 1000 {
		r.clock += 1e6
		client := fmt.Sprintf("203.0.113.%d:%d", i%250, 1000+i)
		r.saw(client, there, begin)
		r.hear(created, connected{client: client, server: there, id: uint32(100 + i)})
		r.hear(looked, connected{client: client, server: there, id: uint32(100 + i), packets: [2]uint64{1, 0}})
	}
	for n := (Notice{}); r.ports[0].Take(&n); {
	}
	c.packets = [2]uint64{5, 6}
	r.hear(looked, c)
	r.want("after the flood", fmt.Sprintf("5/6 %#x", pkt.AccountCounted))
}

// TestSaw: the capture thread allocates nothing, and tells of a flow once a second.
func TestSaw(t *testing.T) {
	p := newPort()
	s := Sighting{TS: 5e9, HashHi: 77}
	if n := testing.AllocsPerRun(100, func() { p.Saw(&s) }); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
	count := func() (n int) {
		for got := (Sighting{}); p.sightings.take(&got); n++ {
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("told %d times within a moment, want once", n)
	}
	s.TS += tellAgain
	p.Saw(&s)
	s.Begin = true
	p.Saw(&s)
	if n := count(); n != 2 {
		t.Errorf("told %d times, want after a second and at the beginning", n)
	}
	for range pipeSize + 5 {
		p.Saw(&s)
	}
	if n := p.missed.Load(); n != 5 {
		t.Errorf("%d missed, want 5", n)
	}
}
