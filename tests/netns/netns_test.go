package netns

import (
	"net"
	"slices"
	"testing"
	"time"
)

func TestSets(t *testing.T) {
	n := New(t)
	if got := n.Sets(t, "inet", "t"); got != nil {
		t.Errorf("Sets of no table = %v, want nil", got)
	}
	n.NFT(t, `add table inet t
add set inet t a { type ipv4_addr . inet_service; flags timeout; timeout 1h; size 10; }
add set inet t b { type ether_addr; }
add element inet t a { 192.0.2.1 . 443 timeout 2h comment "weir: x", 192.0.2.2 . 80 }
add element inet t b { 02:00:00:00:00:01 }`)
	sets := n.Sets(t, "inet", "t")
	a, b := sets["a"], sets["b"]
	if a.Type != "ipv4_addr . inet_service" || a.Timeout != time.Hour || a.Size != 10 || !slices.Equal(a.Flags, []string{"timeout"}) {
		t.Errorf("set a is %+v", a)
	}
	if got, want := a.Keys(), []string{"192.0.2.1 . 443", "192.0.2.2 . 80"}; !slices.Equal(got, want) {
		t.Errorf("keys of a = %q, want %q", got, want)
	}
	if e := a.Elements["192.0.2.1 . 443"]; e.Timeout != 2*time.Hour || e.Expires < time.Hour || e.Comment != "weir: x" {
		t.Errorf("element is %+v", e)
	}
	if b.Type != "ether_addr" || !slices.Equal(b.Keys(), []string{"02:00:00:00:00:01"}) {
		t.Errorf("set b is %+v", b)
	}
}

// TestDo: a socket made in a namespace is there, and the thread that made it is not
// used again.
func TestDo(t *testing.T) {
	n := New(t)
	n.Run(t, "ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
	n.Run(t, "ip", "link", "set", "lo", "up")
	n.Do(t, func() error {
		l, err := net.Listen("tcp", "192.0.2.7:0")
		if err != nil {
			return err
		}
		return l.Close()
	})
	if l, err := net.Listen("tcp", "192.0.2.7:0"); err == nil {
		_ = l.Close()
		t.Error("the test itself is in the namespace")
	}
}
