package netif

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"weir/capd/internal/netlab"
	"weir/proto/network"
)

var testRole = func(name string) string {
	return map[string]string{"near": roleLAN, "outer": roleWAN}[name]
}

// text is the view as the file has it.
func text(n *Network) string { return string(n.View().Append(nil)) }

// TestNetwork changes the network of a gateway while it is looked at.
func TestNetwork(t *testing.T) {
	netlab.Alone(t)
	for _, args := range []string{
		"link set lo up",
		"link add near type veth peer name far", "link set near address 02:00:00:00:00:01", "link set near up", "link set far up",
		"link add outer type veth peer name uplink", "link set outer address 02:00:00:00:00:02", "link set outer up", "link set uplink up",
		"addr add 192.0.2.1/24 dev near", "addr add 192.168.178.2/24 dev outer",
		"addr add 2001:db8:1::1/64 dev near nodad", "addr add 2001:db8:2::1/64 dev outer nodad",
		"route add default via 192.168.178.1 dev outer", "route add 198.51.100.0/24 via 192.168.178.1 dev outer",
		"neigh add 192.0.2.10 lladdr 02:00:00:00:00:0a dev near", "neigh add 192.168.178.1 lladdr 02:00:00:00:00:0f dev outer",
	} {
		netlab.IP(t, args)
	}
	n, err := OpenNetwork(testRole)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	has := func(v string, lines ...string) string {
		for _, l := range lines {
			if want := !strings.HasPrefix(l, "not "); strings.Contains(v, strings.TrimPrefix(l, "not ")+"\n") != want {
				return l
			}
		}
		return ""
	}
	if l := has(text(n), "host 192.0.2.1 02:00:00:00:00:01", "host 2001:db8:1::1 02:00:00:00:00:01", "host 127.0.0.1", "mac 02:00:00:00:00:02",
		"local 192.0.2.0/24", "local 2001:db8:1::/64", "other 192.168.178.0/24", "other 2001:db8:2::/64",
		"neighbour 192.0.2.10 02:00:00:00:00:0a",
		"not local 198.51.100.0/24", "not other 198.51.100.0/24", "not neighbour 192.168.178.1 02:00:00:00:00:0f"); l != "" {
		t.Fatalf("want %q in\n%s", l, text(n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string, 64), make(chan error, 1)
	go func() { ended <- n.Follow(ctx, func() { told <- text(n) }) }()
	change := func(args string, lines ...string) {
		t.Helper()
		netlab.IP(t, args)
		deadline := time.After(10 * time.Second)
		last := ""
		for {
			select {
			case last = <-told:
				if has(last, lines...) == "" {
					return
				}
			case <-deadline:
				t.Fatalf("after ip %s: want %q in\n%s", args, lines, last)
			}
		}
	}
	change("route add 203.0.113.0/24 via 192.0.2.10", "local 203.0.113.0/24")
	change("route add 203.0.113.0/24 via 192.0.2.11 metric 7 dev near", "local 203.0.113.0/24")
	change("route del 203.0.113.0/24 via 192.0.2.10", "local 203.0.113.0/24") // the other one is there
	change("route del 203.0.113.0/24 via 192.0.2.11 metric 7", "not local 203.0.113.0/24")
	change("route add 2001:db8:77::/48 via 2001:db8:1::a", "local 2001:db8:77::/48")
	change("route del 2001:db8:77::/48", "not local 2001:db8:77::/48")
	change("route add 10.7.0.0/16 nexthop via 192.0.2.20 nexthop via 192.168.178.20", "local 10.7.0.0/16")
	change("neigh replace 192.0.2.10 lladdr 02:00:00:00:00:bb dev near", "neighbour 192.0.2.10 02:00:00:00:00:bb", "not neighbour 192.0.2.10 02:00:00:00:00:0a")
	change("neigh add 2001:db8:1::a lladdr 02:00:00:00:00:0c dev near", "neighbour 2001:db8:1::a 02:00:00:00:00:0c")
	netlab.IP(t, "neigh del 2001:db8:1::a dev near") // it stays known until somebody has its address
	change("addr add 172.20.0.1/16 dev near", "host 172.20.0.1 02:00:00:00:00:01", "local 172.20.0.0/16", "neighbour 2001:db8:1::a 02:00:00:00:00:0c")
	change("addr del 172.20.0.1/16 dev near", "not host 172.20.0.1 02:00:00:00:00:01", "not local 172.20.0.0/16")
	change("link set near down", "not local 203.0.113.0/24", "local 192.0.2.0/24")
	change("link set near name inner", "not local 192.0.2.0/24") // another name, another role
	change("link del outer", "not other 192.168.178.0/24", "not mac 02:00:00:00:00:02")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Follow = %v, want nil", err)
	}
}

// TestNetworkOverrun lets the kernel tell more than the socket holds.
func TestNetworkOverrun(t *testing.T) {
	netlab.Alone(t)
	netlab.IP(t, "link add near type veth peer name far")
	netlab.IP(t, "link set near up")
	netlab.IP(t, "addr add 10.0.0.1/16 dev near")
	n, err := OpenNetwork(testRole)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.conn.SetReadBuffer(2048); err != nil {
		t.Fatal(err)
	}
	var batch strings.Builder
	for i := range 500 {
		fmt.Fprintf(&batch, "neigh add 10.0.%d.%d lladdr 02:00:00:00:%02x:%02x dev near\n", i/200, 2+i%200, i/200, 2+i%200)
	}
	file := t.TempDir() + "/batch"
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	netlab.IP(t, "-batch "+file)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := 0
	err = n.Follow(ctx, func() {
		if got = len(n.View().Neighbours); got == 500 {
			cancel()
		}
	})
	if err != nil || got != 500 {
		t.Errorf("Follow = %v, %d neighbours, want 500", err, got)
	}
}

func TestNeighbourRoom(t *testing.T) {
	n := neighbours{all: map[netip.Addr]neighbour{}}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range maxNeighbours {
		n.put(addr(i), neighbour{mac: network.MAC{2}, index: 1})
	}
	if n.put(addr(maxNeighbours), neighbour{mac: network.MAC{2}, index: 1}) || n.refused != 1 || len(n.all) != maxNeighbours {
		t.Errorf("one too many: %d kept, %d refused, want %d, 1", len(n.all), n.refused, maxNeighbours)
	}
	for i := range 10 {
		n.forget(addr(i), 1)
	}
	n.forget(addr(20), 2) // of another interface
	if !n.put(addr(maxNeighbours), neighbour{mac: network.MAC{2}, index: 1}) || len(n.all) != maxNeighbours-4 {
		t.Errorf("with room: %d kept, want %d", len(n.all), maxNeighbours-4)
	}
	for i, want := range []bool{false, false, false, false, false, true, true, true, true, true} { // the longest gone went
		if _, got := n.all[addr(i)]; got != want {
			t.Errorf("neighbour %d is there: %t, want %t", i, got, want)
		}
	}
}

// FuzzNetwork takes any message without a panic, and twice the same is no news.
func FuzzNetwork(f *testing.F) {
	neigh := make([]byte, unix.SizeofNdMsg)
	neigh[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(neigh[4:], 1)
	binary.NativeEndian.PutUint16(neigh[8:], unix.NUD_REACHABLE)
	neigh = append(neigh, 8, 0, unix.NDA_DST, 0, 192, 0, 2, 1, 10, 0, unix.NDA_LLADDR, 0, 2, 0, 0, 0, 0, 1, 0, 0)
	f.Add(uint16(unix.RTM_NEWNEIGH), neigh)
	f.Add(uint16(unix.RTM_DELNEIGH), neigh)
	rt := []byte{unix.AF_INET, 24, 0, 0, unix.RT_TABLE_MAIN, 0, 0, unix.RTN_UNICAST, 0, 0, 0, 0, 8, 0, unix.RTA_DST, 0, 192, 0, 2, 0}
	f.Add(uint16(unix.RTM_NEWROUTE), slices.Concat(rt, []byte{8, 0, unix.RTA_OIF, 0, 1, 0, 0, 0}))
	f.Add(uint16(unix.RTM_NEWROUTE), slices.Concat(rt, []byte{12, 0, unix.RTA_MULTIPATH, 0, 8, 0, 0, 0, 1, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, typ uint16, b []byte) {
		m := netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(typ)}, Data: b}
		n := Network{role: testRole, links: table{1: {Index: 1, Name: "near"}}, neighbours: neighbours{all: map[netip.Addr]neighbour{}}}
		n.apply(m)
		if typ != unix.RTM_NEWROUTE && typ != unix.RTM_DELROUTE && n.apply(m) {
			t.Errorf("applied twice: news")
		}
		if _, err := network.Parse([]byte(text(&n))); err != nil {
			t.Errorf("the file of it: %v\n%s", err, text(&n))
		}
	})
}
