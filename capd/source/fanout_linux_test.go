package source

import (
	"testing"

	"weir/capd/internal/netlab"
)

// TestFanoutGroups: two groups on one interface both get every frame.
func TestFanoutGroups(t *testing.T) {
	netns(t)
	var groups [2][2]*TPacket
	for i := range groups {
		g := new(FanoutGroup)
		for k := range groups[i] {
			groups[i][k] = open(t, TPacketConfig{Fanout: "lb", FanoutGroup: g})
		}
	}
	send := sender(t, "far")
	for range 10 {
		send(udp(1, 2, 1000, 53, 60))
	}
	for i := range groups {
		a, b := drain(t, groups[i][0]), drain(t, groups[i][1])
		if a != 5 || b != 5 {
			t.Errorf("group %d: its sockets got %d and %d frames, want 5 of 10 each", i, a, b)
		}
	}
}

// TestFanoutGroupAgain: an interface that is made again is shared again, also while a
// socket of the group still has the old one; and a group outlives its sockets.
func TestFanoutGroupAgain(t *testing.T) {
	netns(t)
	cfg := TPacketConfig{Fanout: "hash", FanoutGroup: new(FanoutGroup)}
	old, late := open(t, cfg), open(t, cfg)
	netlab.IP(t, "link del near")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	netlab.IP(t, "link add near type veth peer name far")
	netlab.IP(t, "link set near up")
	netlab.IP(t, "link set far up")
	first := open(t, cfg)
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, cfg)
	send := sender(t, "far")
	for i := range 100 {
		send(udp(1, 2, uint16(1000+i), 53, 60))
	}
	a, b := drain(t, first), drain(t, second)
	if a == 0 || b == 0 || a+b != 100 {
		t.Errorf("the sockets got %d and %d of 100 frames, want some each and all", a, b)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := open(t, cfg)
	send(udp(1, 2, 1000, 53, 60))
	if n := drain(t, third); n != 1 {
		t.Errorf("after all had left, a socket got %d frames, want 1", n)
	}
}
