package worker

import (
	"testing"
	"time"

	"weir/dpid/flow"
)

const (
	web     = "192.0.2.1:80"
	odd     = "192.0.2.1:4242"
	client1 = "10.0.0.1:40000"
	noise   = "\xfe\xed\xfa\xce\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a"
)

// TestConnections walks connections through their lives. Each script puts packets;
// what was told until its end and, after a tick, what its end said.
func TestConnections(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(c *talk)
		want   []string // events of the script
		at     time.Duration
		after  []string // events of a tick at that time
	}{
		{"both sides close", func(c *talk) {
			c.open()
			c.c(tcpACK, httpGet)
			c.s(tcpACK, "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n")
			c.c(tcpFIN|tcpACK, "")
			c.s(tcpFIN|tcpACK, "")
			c.c(tcpACK, "")
		}, []string{
			"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1",
			"CLASS 2 10.0.0.1:40000>192.0.2.1:80 http www.example.org (dpi) 3/1 more",
			"UPDATE 3 10.0.0.1:40000>192.0.2.1:80 http www.example.org (dpi) 3/2 final",
		}, 12 * time.Second, []string{"END 4 10.0.0.1:40000>192.0.2.1:80 http www.example.org (dpi) 5/3 final end=fin"}},
		{"one side closes", func(c *talk) {
			c.open()
			c.s(tcpFIN|tcpACK, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1"}, 299 * time.Second, nil},
		{"one side closes, the other goes silent", func(c *talk) {
			c.open()
			c.s(tcpFIN|tcpACK, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1"}, 302 * time.Second,
			[]string{"CLASS 2 10.0.0.1:40000>192.0.2.1:80 http (port) 2/2 final", "END 3 10.0.0.1:40000>192.0.2.1:80 http (port) 2/2 final end=idle"}},
		{"reset by the server", func(c *talk) {
			c.open()
			c.s(tcpRST|tcpACK, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1"}, 12 * time.Second,
			[]string{"CLASS 2 10.0.0.1:40000>192.0.2.1:80 http (port) 2/2 final", "END 3 10.0.0.1:40000>192.0.2.1:80 http (port) 2/2 final end=rst"}},
		{"refused", func(c *talk) {
			c.c(tcpSYN, "")
			c.s(tcpRST|tcpACK, "")
		}, nil, 12 * time.Second, []string{"END 1 10.0.0.1:40000>192.0.2.1:80 http (port) 1/1 final end=rst"}},
		{"a reset after both closed is the end of the first", func(c *talk) {
			c.open()
			c.c(tcpFIN|tcpACK, "")
			c.s(tcpFIN|tcpACK, "")
			c.s(tcpRST, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1"}, 12 * time.Second,
			[]string{"CLASS 2 10.0.0.1:40000>192.0.2.1:80 http (port) 3/3 final", "END 3 10.0.0.1:40000>192.0.2.1:80 http (port) 3/3 final end=fin"}},
		{"nobody answers", func(c *talk) {
			c.c(tcpSYN, "")
			c.cseq--
			c.c(tcpSYN, "")
		}, nil, 32 * time.Second, []string{"END 1 10.0.0.1:40000>192.0.2.1:80 http (port) 2/0 final end=idle"}},
		{"the answer was not heard, the data was", func(c *talk) {
			c.c(tcpSYN, "")
			c.c(tcpACK, httpGet)
		}, []string{"CLASS 1 10.0.0.1:40000>192.0.2.1:80 http www.example.org (dpi) 2/0 more"}, 0, nil},
		{"only the server is heard", func(c *talk) {
			c.s(tcpSYN|tcpACK, "")
			c.s(tcpACK, "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n")
		}, []string{
			"NEW 1 10.0.0.1:40000>192.0.2.1:80 0/1",
			"CLASS 2 10.0.0.1:40000>192.0.2.1:80 http (dpi) 0/2 more",
		}, 0, nil},
		{"from the middle, the server first", func(c *talk) {
			c.s(tcpACK, noise)
			c.c(tcpACK, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 0/1 midstream"}, 0, nil},
		{"a SYN is late", func(c *talk) {
			c.c(tcpACK, "")
			c.cseq--
			c.c(tcpSYN, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/0 midstream"}, 0, nil},
		{"data with the SYN", func(c *talk) {
			c.c(tcpSYN, httpGet[:20])
			c.s(tcpSYN|tcpACK, "")
			c.c(tcpACK, httpGet[20:])
		}, []string{
			"CLASS 1 10.0.0.1:40000>192.0.2.1:80 http (dpi) 1/0 more",
			"UPDATE 2 10.0.0.1:40000>192.0.2.1:80 http www.example.org (dpi) 2/1 more",
		}, 0, nil},
		{"ports are used again", func(c *talk) {
			c.open()
			c.c(tcpFIN|tcpACK, "")
			c.s(tcpFIN|tcpACK, "")
			c.c(tcpACK, "")
			c.cseq += 1 << 20
			c.c(tcpSYN, "")
			c.s(tcpSYN|tcpACK, "")
		}, []string{
			"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1",
			"CLASS 2 10.0.0.1:40000>192.0.2.1:80 http (port) 4/2 final",
			"END 3 10.0.0.1:40000>192.0.2.1:80 http (port) 4/2 final end=fin",
			"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1",
		}, 0, nil},
		{"a straggler keeps a closed connection", func(c *talk) {
			c.open()
			c.c(tcpRST, "")
			c.at = 9 * time.Second
			c.s(tcpACK, "")
		}, []string{"NEW 1 10.0.0.1:40000>192.0.2.1:80 1/1"}, 17 * time.Second, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			tt.script(r.talk(client1, web))
			r.want("script", tt.want...)
			if tt.at != 0 {
				r.tick(tt.at)
				r.want("tick", tt.after...)
			}
		})
	}
}

// TestClosingByPacket: a closed connection is over 10 s after its last packet, by
// the time of packets alone, whatever the granularity of the timers.
func TestClosingByPacket(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		flows uint64
	}{{10*time.Second - 1, 1}, {10 * time.Second, 2}} {
		r := newRig(t, options{})
		c := r.talk(client1, odd)
		c.open()
		c.c(tcpRST, "")
		c.at += tt.after - c.step
		c.s(tcpACK, "")
		r.run()
		r.wantCount(cCreated, tt.flows)
	}
}

// TestDirection: who is the client, by the first packet of a flow.
func TestDirection(t *testing.T) {
	for _, tt := range []struct {
		name       string
		src, dst   string
		proto      uint8
		flags      uint8
		wantClient bool // the sender is
	}{
		{"SYN", "192.0.2.1:80", "10.0.0.1:40000", protoTCP, tcpSYN, true},
		{"SYN with ACK", "10.0.0.1:40000", "192.0.2.1:80", protoTCP, tcpSYN | tcpACK, false},
		{"data to a known port", "10.0.0.1:40000", "192.0.2.1:80", protoTCP, tcpACK, true},
		{"data from a known port", "192.0.2.1:80", "10.0.0.1:40000", protoTCP, tcpACK, false},
		{"data from a low port", "192.0.2.1:999", "10.0.0.1:40000", protoTCP, tcpACK, false},
		{"data between unknown ports", "192.0.2.1:45000", "10.0.0.1:40000", protoTCP, tcpACK, true},
		{"data between known ports", "192.0.2.1:80", "10.0.0.1:443", protoTCP, tcpACK, true},
		{"answer of a name server", "192.0.2.1:53", "10.0.0.1:40000", protoUDP, 0, false},
		{"datagram to a name server", "10.0.0.1:40000", "192.0.2.1:53", protoUDP, 0, true},
		{"datagram between low ports", "192.0.2.1:999", "10.0.0.1:40000", protoUDP, 0, true},
		{"to a group, from its port", "10.0.0.1:5353", "224.0.0.251:40000", protoUDP, 0, true},
		{"to a group, IPv6", "[fe80::1]:5353", "[ff02::fb]:40000", protoUDP, 0, true},
		{"no ports", "192.0.2.1:0", "10.0.0.1:0", 47, 0, true},
		{"from a higher to a lower address", "[2001:db8::9]:40000", "[2001:db8::1]:443", protoTCP, tcpSYN, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			r.put(packet{src: endpoint(tt.src), dst: endpoint(tt.dst), proto: tt.proto, flags: tt.flags, data: []byte(noise)})
			r.eof(0)
			r.run()
			r.collect()
			if len(r.seen) == 0 {
				t.Fatal("no event")
			}
			f := r.seen[len(r.seen)-1].flow()
			want, packets := endpoint(tt.src), f.ClientPackets()
			if !tt.wantClient {
				want, packets = endpoint(tt.dst), f.ServerPackets()
			}
			if f.ClientAddr() != want.Addr() || f.ClientPort() != want.Port() || packets != 1 {
				t.Errorf("client is %v:%d, want %v; its side has %d packets, want 1", f.ClientAddr(), f.ClientPort(), want, packets)
			}
		})
	}
}

// TestSeparation: the same addresses and ports on another VLAN or another pair of
// interfaces are another flow; the pair has no order.
func TestSeparation(t *testing.T) {
	r := newRig(t, options{})
	for i, p := range []packet{
		{}, {vlan: 7}, {vlan: 8}, {in: 1, out: 1}, {in: 1, out: 2}, {proto: protoUDP},
	} {
		p.src, p.dst, p.flags, p.data = endpoint(client1), endpoint(odd), tcpACK, []byte(noise)
		r.put(p)
		p.src, p.dst, p.in, p.out = p.dst, p.src, p.out, p.in
		r.put(p)
		r.run()
		r.wantCount(cCreated, uint64(i+1))
	}
	r.eof(0)
	r.run()
	r.collect()
	ends := 0
	for _, h := range r.seen {
		if h.typ.HasFlow() && h.flow().EndReason() != 0 {
			ends++
			if f := h.flow(); f.ClientPackets() != 1 || f.ServerPackets() != 1 {
				t.Errorf("%v: want one packet each way", h)
			}
		}
	}
	if ends != 6 {
		t.Errorf("%d flows ended, want 6", ends)
	}
}

// TestProbation: a connection that nobody answered is in probation, and a scan is
// no more than that; what follows takes it out.
func TestProbation(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(c *talk)
		want flow.State
	}{
		{"nothing", func(*talk) {}, flow.Probation},
		{"the SYN again", func(c *talk) { c.c(tcpSYN, "") }, flow.Probation},
		{"an ACK of the client", func(c *talk) { c.c(tcpACK, "") }, flow.Probation},
		{"data of the client", func(c *talk) { c.c(tcpACK, noise) }, flow.Alive},
		{"an answer", func(c *talk) { c.s(tcpSYN|tcpACK, "") }, flow.Alive},
		{"a reset of the client", func(c *talk) { c.c(tcpRST, "") }, flow.Closing},
		{"a reset of the server", func(c *talk) { c.s(tcpRST|tcpACK, "") }, flow.Closing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			c := r.talk(client1, odd)
			c.c(tcpSYN, "")
			tt.then(c)
			r.run()
			state, n := flow.Free, 0
			r.w.table.Each(0, r.opt.flows, func(_ uint32, rec *flow.Record) { state, n = rec.State(), n+1 })
			if n != 1 || state != tt.want {
				t.Errorf("%d flows, state %d, want 1 of state %d", n, state, tt.want)
			}
			if want := map[bool]int{true: 1}[tt.want == flow.Probation]; r.w.table.InProbation() != want {
				t.Errorf("InProbation() = %d, want %d", r.w.table.InProbation(), want)
			}
		})
	}
}
