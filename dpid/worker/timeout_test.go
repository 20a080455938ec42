package worker

import (
	"strings"
	"testing"
	"time"
)

// datagram puts a UDP packet.
func (r *rig) datagram(at time.Duration, src, dst, data string) {
	r.t.Helper()
	r.put(packet{at: at, src: endpoint(src), dst: endpoint(dst), proto: protoUDP, data: []byte(data)})
}

// TestTimeouts: a flow is over when its time has passed since its last packet; a
// packet at that very moment begins a new one. By packets it is exact, with and
// without ticks on the way, and ticks alone end it within a second.
func TestTimeouts(t *testing.T) {
	const me, peer, resolver = "10.0.0.1:40000", "192.0.2.1:4242", "192.0.2.53:53"
	both := func(proto uint8) func(r *rig, at time.Duration) {
		return func(r *rig, at time.Duration) {
			r.put(packet{at: at, src: endpoint(me), dst: endpoint(peer), proto: proto, flags: tcpACK, data: []byte(noise)})
		}
	}
	for _, tt := range []struct {
		name    string
		begin   func(r *rig)                   // up to time 0
		packet  func(r *rig, at time.Duration) // one more of the flow
		timeout time.Duration
	}{
		{"tcp", func(r *rig) {}, both(protoTCP), 300 * time.Second},
		{"tcp unanswered", func(*rig) {}, func(r *rig, at time.Duration) {
			r.put(packet{at: at, src: endpoint(me), dst: endpoint(peer), flags: tcpSYN})
		}, 30 * time.Second},
		{"udp", func(*rig) {}, both(protoUDP), 60 * time.Second},
		{"icmp", func(*rig) {}, both(protoICMP), 25 * time.Second},
		{"gre", func(*rig) {}, both(47), 45 * time.Second},
		{"dns without answer", func(*rig) {}, func(r *rig, at time.Duration) {
			r.datagram(at, me, resolver, dnsQuery("www.example.org"))
		}, 60 * time.Second},
		{"dns after its answer", func(r *rig) {
			r.datagram(0, me, resolver, dnsQuery("www.example.org"))
			r.datagram(0, resolver, me, dnsAnswer("www.example.org", "192.0.2.1"))
		}, func(r *rig, at time.Duration) { r.datagram(at, me, resolver, dnsQuery("www.example.com")) }, 12 * time.Second},
	} {
		for _, ticks := range []time.Duration{0, 100 * time.Millisecond, 7 * time.Second} {
			t.Run(tt.name+" ticks "+ticks.String(), func(t *testing.T) {
				t.Parallel()
				for extra, want := range map[time.Duration]uint64{-1: 1, 0: 2, 1: 2} {
					r := newRig(t, options{flows: 64})
					tt.begin(r)
					tt.packet(r, 0)
					tt.packet(r, 5*time.Second)
					end := 5*time.Second + tt.timeout + extra
					for at := ticks; ticks > 0 && at <= end; at += ticks {
						r.tick(at)
					}
					tt.packet(r, end)
					r.run()
					if got := r.count(cCreated); got != want {
						t.Errorf("a packet %v after the deadline: %d flows, want %d", extra, got, want)
					}
				}
			})
		}
		t.Run(tt.name+" by ticks", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{flows: 64})
			tt.begin(r)
			tt.packet(r, 0)
			for at := time.Duration(0); at < tt.timeout; at += time.Second / 4 {
				r.tick(at)
			}
			r.run()
			r.wantCount(cEnded, 0)
			r.tick(tt.timeout + time.Second)
			got := strings.Join(r.told(), "\n")
			if r.count(cEnded) != 1 || !strings.Contains(got, "end=idle") {
				t.Errorf("a second after the deadline %d flows ended, want 1, idle:\n%s", r.count(cEnded), got)
			}
		})
	}
}

// TestActive: a flow that lives too long is told and begun anew.
func TestActive(t *testing.T) {
	to := rigTimeouts
	to.Active = 100 * time.Second
	r := newRig(t, options{set: Settings{Timeouts: to}})
	for at := time.Duration(0); at <= 250*time.Second; at += 10 * time.Second {
		r.datagram(at, "10.0.0.1:40000", "192.0.2.1:4242", noise)
		r.tick(at)
	}
	got := r.told()
	ends := 0
	for _, l := range got {
		if strings.HasSuffix(l, "10/0 final end=active") {
			ends++
		}
	}
	if ends != 2 || r.count(cCreated) != 3 {
		t.Errorf("%d flows of 10 packets ended as active, %d created, want 2 and 3:\n%s", ends, r.count(cCreated), strings.Join(got, "\n"))
	}
}

// TestOutOfTime: packets whose time goes back, a little or by years, belong to their
// flows: captures are merged, clocks are set, files are given in any order.
func TestOutOfTime(t *testing.T) {
	for _, back := range []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour, 24 * 365 * time.Hour} {
		r := newRig(t, options{})
		r.datagram(0, "10.0.0.9:40000", "192.0.2.1:4242", noise)
		r.tick(0)
		for i := range 10 {
			r.datagram(time.Duration(i)*time.Millisecond-back, "10.0.0.1:40000", "192.0.2.1:4242", noise)
		}
		r.run()
		if n := r.count(cCreated); n != 2 {
			t.Errorf("%v back: %d flows, want 2", back, n)
		}
	}
}

// TestFarTimes: no time makes the worker stumble, the last that fits included.
func TestFarTimes(t *testing.T) {
	r := newRig(t, options{})
	for i, ts := range []uint64{0, 1, 1 << 62, 1<<64 - 1, epoch, 1<<64 - 1, 0} {
		p := packet{src: endpoint("10.0.0.1:40000"), dst: endpoint("192.0.2.1:4242"), proto: protoUDP, data: []byte(noise)}
		p.at = time.Duration(ts - epoch)
		r.put(p)
		if i%2 == 0 {
			r.tick(p.at)
		}
	}
	r.eof(0)
	r.run()
	r.wantCount(cPackets, 7)
	if c, e := r.count(cCreated), r.count(cEnded); c != e {
		t.Errorf("%d flows created, %d ended", c, e)
	}
}
