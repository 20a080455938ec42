package netif

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"weir/capd/internal/netlab"
)

// until returns the first event for which ok is true.
func until(t *testing.T, ch <-chan Event, what string, ok func(e Event) bool) Event {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e, open := <-ch:
			if !open || e.Kind == Failed {
				t.Fatalf("the watch ended before %s: %v", what, e.Err)
			}
			if ok(e) {
				return e
			}
		case <-deadline:
			t.Fatalf("no event: %s", what)
		}
	}
}

func TestWatch(t *testing.T) {
	netlab.Alone(t)
	netlab.IP(t, "link add near type veth peer name far")
	netlab.IP(t, "addr add 192.0.2.1/24 dev near")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ch, err := Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first := until(t, ch, "near is there", func(e Event) bool { return e.Link.Name == "near" })
	l := first.Link
	if first.Kind != Added || l.Index < 2 || l.Hardware != unix.ARPHRD_ETHER || len(l.MAC) != 6 || l.MTU != 1500 || l.Up || l.Running ||
		!slices.Equal(l.Addrs, []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}) {
		t.Errorf("first event is %+v", first)
	}
	change := func(args, what string, ok func(e Event) bool) Event {
		t.Helper()
		netlab.IP(t, args)
		return until(t, ch, what, func(e Event) bool { return e.Link.Index == l.Index && ok(e) })
	}
	netlab.IP(t, "link set far up") // near is down still: this says nothing of it
	change("link set near up", "up", func(e Event) bool { return e.Link.Up && e.Link.Running && !e.Before.Running })
	change("link set near mtu 9000", "MTU", func(e Event) bool { return e.Before.MTU == 1500 && e.Link.MTU == 9000 })
	change("link set near address 02:00:00:00:00:01", "MAC", func(e Event) bool { return e.Link.MAC == "\x02\x00\x00\x00\x00\x01" })
	v6 := netip.MustParsePrefix("2001:db8::1/64")
	change("addr add 2001:db8::1/64 dev near nodad", "address", func(e Event) bool { return slices.Contains(e.Link.Addrs, v6) })
	change("addr del 2001:db8::1/64 dev near", "address goes", func(e Event) bool {
		return slices.Contains(e.Before.Addrs, v6) && !slices.Contains(e.Link.Addrs, v6)
	})
	change("link set far down", "no carrier", func(e Event) bool { return e.Link.Up && !e.Link.Running })
	change("link set near down", "down", func(e Event) bool { return e.Before.Up && !e.Link.Up })
	e := change("link set near name other", "rename", func(e Event) bool { return e.Renamed() })
	if e.Before.Name != "near" || e.Link.Name != "other" || e.Link.MTU != 9000 {
		t.Errorf("renamed: %+v", e)
	}
	if e := change("link del other", "removal", func(e Event) bool { return e.Kind == Removed }); e.Link.Name != "other" {
		t.Errorf("removed: %+v", e)
	}
	netlab.IP(t, "link add near type veth peer name far")
	if e := until(t, ch, "near again", func(e Event) bool { return e.Link.Name == "near" }); e.Kind != Added || e.Link.Index == l.Index {
		t.Errorf("made again: %+v, was number %d", e, l.Index)
	}
	cancel()
	for range ch { // ends, as the channel is closed
	}
}

// TestBridge takes an interface out of a bridge: the kernel says RTM_DELLINK, of the port.
func TestBridge(t *testing.T) {
	netlab.Alone(t)
	if out, err := exec.Command("ip", "link", "add", "br0", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("the kernel has no bridges: %s", out)
	}
	netlab.IP(t, "link add near type veth peer name far")
	netlab.IP(t, "link set near master br0")
	ch, err := Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	netlab.IP(t, "link set near nomaster")
	netlab.IP(t, "link set near mtu 1400")
	until(t, ch, "MTU", func(e Event) bool {
		if e.Kind == Removed {
			t.Errorf("event %+v though the interface is there", e)
		}
		return e.Link.Name == "near" && e.Link.MTU == 1400
	})
}

func TestList(t *testing.T) {
	netlab.Alone(t)
	netlab.IP(t, "link add near type veth peer name far")
	links, err := List()
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	if want := []string{"far", "lo", "near"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("List() = %v, %v, want %v", names, err, want)
	}
}

// TestReplace is what happens after the kernel dropped messages.
func TestReplace(t *testing.T) {
	a, b, c := Link{Index: 1, Name: "a"}, Link{Index: 2, Name: "b"}, Link{Index: 3, Name: "b"}
	was := table{1: a, 2: b}
	a.MTU = 1400
	got := was.replace(table{1: a, 3: c})
	kinds := []Kind{}
	for _, e := range got {
		kinds = append(kinds, e.Kind)
	}
	if want := []Kind{Removed, Changed, Added}; !slices.Equal(kinds, want) || len(was) != 2 || was[1].MTU != 1400 {
		t.Errorf("replace = %+v, table is %+v, want kinds %v", got, was, want)
	}
	if got := was.replace(table{1: a, 3: c}); len(got) != 0 {
		t.Errorf("replace by the same = %+v", got)
	}
}

// FuzzApply takes any message without a panic, and twice the same as once.
func FuzzApply(f *testing.F) {
	link := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(link[4:], 7)
	link = append(link, 7, 0, unix.IFLA_IFNAME, 0, 'a', 'b', 0, 0)
	f.Add(uint16(unix.RTM_NEWLINK), link)
	addr := append([]byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0}, 8, 0, unix.IFA_LOCAL, 0, 192, 0, 2, 1)
	f.Add(uint16(unix.RTM_NEWADDR), addr)
	f.Fuzz(func(t *testing.T, typ uint16, b []byte) {
		m := netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(typ)}, Data: b}
		now := table{1: {Index: 1, Name: "a"}}
		now.apply(m)
		if e, ok := now.apply(m); ok {
			t.Errorf("applied twice: %+v", e)
		}
	})
}
