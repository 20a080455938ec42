package place

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"testing"

	"weir/proto/event"
	"weir/proto/network"
)

var seen = &network.View{
	Hosts: []network.Station{
		{Addr: netip.MustParseAddr("192.168.1.1"), MAC: network.MAC{2, 0, 0, 0, 0, 1}},
		{Addr: netip.MustParseAddr("198.51.100.2"), MAC: network.MAC{2, 0, 0, 0, 0, 2}},
	},
	MACs:  []network.MAC{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}},
	Local: prefixes("192.168.1.0/24", "2001:db8:1::/64", "203.0.113.0/24"),
	Other: prefixes("192.168.178.0/24", "198.51.100.0/24", "203.0.113.0/24"),
	Neighbours: []network.Station{
		{Addr: netip.MustParseAddr("192.168.1.10"), MAC: network.MAC{2, 0, 0, 0, 0, 0xa}},
		{Addr: netip.MustParseAddr("2001:db8:1::a"), MAC: network.MAC{2, 0, 0, 0, 0, 0xb}},
		{Addr: netip.MustParseAddr("8.8.8.8"), MAC: network.MAC{2, 0, 0, 0, 0, 0xc}},
	},
}

func of(m *Map, addr string) event.Place {
	a := netip.MustParseAddr(addr).As16()
	return m.Of(&a)
}

func TestOf(t *testing.T) {
	ours := prefixes("198.51.100.128/25", "192.168.178.0/24")
	tests := []struct {
		addr              string
		none, live, given event.Place // nothing known; what capd sees; the configuration too
	}{
		{"10.1.2.3", event.PlaceLocal, event.PlaceLocal, event.PlaceRemote},
		{"172.15.255.255", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote},
		{"172.31.255.255", event.PlaceLocal, event.PlaceLocal, event.PlaceRemote},
		{"100.64.0.1", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote}, // a provider's
		{"192.168.1.10", event.PlaceLocal, event.PlaceLocal, event.PlaceLocal},
		{"192.168.1.1", event.PlaceLocal, event.PlaceHost, event.PlaceHost},
		{"192.168.1.255", event.PlaceLocal, event.PlaceBroadcast, event.PlaceBroadcast},
		{"192.168.178.1", event.PlaceLocal, event.PlaceRemote, event.PlaceLocal},
		{"198.51.100.2", event.PlaceRemote, event.PlaceHost, event.PlaceHost},
		{"198.51.100.3", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote},
		{"198.51.100.200", event.PlaceRemote, event.PlaceRemote, event.PlaceLocal},
		{"203.0.113.9", event.PlaceRemote, event.PlaceLocal, event.PlaceLocal}, // told as both
		{"8.8.8.8", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote},
		{"127.0.0.53", event.PlaceHost, event.PlaceHost, event.PlaceHost},
		{"0.0.0.0", event.PlaceLocal, event.PlaceLocal, event.PlaceLocal},
		{"0.0.0.1", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote},
		{"255.255.255.255", event.PlaceBroadcast, event.PlaceBroadcast, event.PlaceBroadcast},
		{"255.255.255.254", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote},
		{"239.255.255.250", event.PlaceMulticast, event.PlaceMulticast, event.PlaceMulticast},
		{"::1", event.PlaceHost, event.PlaceHost, event.PlaceHost},
		{"::", event.PlaceLocal, event.PlaceLocal, event.PlaceLocal},
		{"fe80::1", event.PlaceLocal, event.PlaceLocal, event.PlaceRemote},
		{"fd00::1", event.PlaceLocal, event.PlaceLocal, event.PlaceRemote},
		{"2001:db8:1::a", event.PlaceRemote, event.PlaceLocal, event.PlaceLocal},
		{"2001:db8:1:1::a", event.PlaceRemote, event.PlaceRemote, event.PlaceRemote},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", event.PlaceMulticast, event.PlaceMulticast, event.PlaceMulticast},
	}
	none, live, given := New(nil, nil), New(nil, seen), New(ours, seen)
	for _, tt := range tests {
		for _, m := range []struct {
			name string
			m    *Map
			want event.Place
		}{{"nothing known", none, tt.none}, {"live", live, tt.live}, {"configured", given, tt.given}} {
			if got := of(m.m, tt.addr); got != m.want {
				t.Errorf("%s: Of(%s) = %v, want %v", m.name, tt.addr, got, m.want)
			}
		}
	}
}

// TestOfModel holds the stretches against a search through all networks.
func TestOfModel(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	addr := func() netip.Addr { // few that differ, so that networks nest
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(r.IntN(2)), byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
		}
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], r.Uint64()&0xff00000000000001)
		binary.BigEndian.PutUint64(b[8:], r.Uint64()&3)
		return netip.AddrFrom16(b)
	}
	for range 200 {
		v := &network.View{}
		for range r.IntN(40) {
			a := addr()
			p := netip.PrefixFrom(a, r.IntN(a.BitLen()+1)).Masked()
			if p.Addr().Is4() && p.Bits() <= 30 || r.IntN(2) == 0 {
				v.Other = append(v.Other, p)
			} else {
				v.Local = append(v.Local, p)
			}
		}
		m := New(prefixes("64:ff9b:1::/48"), v)
		for range 200 {
			a := addr().Unmap()
			if slow := search(v, a); slow != event.PlaceUnknown && of(m, a.String()) != slow {
				t.Fatalf("Of(%s) = %v, want %v of local %v, other %v", a, of(m, a.String()), slow, v.Local, v.Other)
			}
		}
	}
}

// search is Of in few lines; PlaceUnknown for addresses of its fixed ones.
func search(v *network.View, a netip.Addr) event.Place {
	for _, e := range everywhere {
		for _, p := range e.nets {
			if p.Contains(a) {
				return event.PlaceUnknown
			}
		}
	}
	best, place := -1, event.PlaceRemote
	look := func(list []netip.Prefix, is event.Place) {
		for _, p := range list {
			bits := p.Bits()
			if p.Addr().Is4() {
				bits += 96
			}
			in := p.Contains(a) || !p.Addr().Is4() && a.Is4() && p.Contains(netip.AddrFrom16(a.As16()))
			if !in && p.Addr().Is6() && a.Is4() {
				in = netip.PrefixFrom(netip.AddrFrom16(a.As16()), p.Bits()).Masked().Addr() == p.Addr()
			}
			if in && (bits > best || bits == best && is == event.PlaceLocal) {
				best, place = bits, is
			}
		}
	}
	look(v.Other, event.PlaceRemote)
	look(v.Local, event.PlaceLocal)
	return place
}

func TestFill(t *testing.T) {
	lan, router := [6]byte{2, 0, 0, 0, 0, 0xa}, [6]byte{2, 0, 0, 0, 0, 1}
	other := [6]byte{2, 9, 9, 9, 9, 9}
	tests := []struct {
		name                   string
		client, server         string
		cmac, smac             [6]byte
		wantC, wantS           [6]byte
		direction, origin, end string
	}{
		{"queue, from the LAN", "192.168.1.10", "8.8.8.8", [6]byte{}, [6]byte{}, lan, [6]byte{}, "outbound", "local", "remote"},
		{"frame of a client", "192.168.1.10", "8.8.8.8", other, router, other, router, "outbound", "local", "remote"},
		{"on the far side of us", "192.168.1.10", "8.8.8.8", router, other, lan, other, "outbound", "local", "remote"},
		{"not a neighbour", "192.168.1.11", "8.8.8.8", router, other, router, other, "outbound", "local", "remote"},
		{"from outside", "8.8.8.8", "192.168.1.10", [6]byte{}, [6]byte{}, [6]byte{}, lan, "inbound", "other", "remote"},
		{"to us", "192.168.1.10", "192.168.1.1", [6]byte{}, [6]byte{}, lan, router, "internal", "local", "host"},
		{"from us", "192.168.1.1", "192.168.1.10", [6]byte{}, [6]byte{}, router, lan, "internal", "other", "host"},
		{"multicast", "192.168.1.10", "224.0.0.251", lan, other, lan, other, "internal", "local", "multicast"},
		{"transit", "8.8.8.8", "9.9.9.9", other, lan, other, lan, "transit", "", ""},
	}
	m := New(nil, seen)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := event.Counters{Client: netip.MustParseAddr(tt.client).As16(), Server: netip.MustParseAddr(tt.server).As16(), IPVersion: 4}
			b := make([]byte, event.DescriptionAt)
			c.Encode(b)
			d := event.Description{ClientMAC: tt.cmac, ServerMAC: tt.smac}
			b = d.Append(b)
			m.Fill(b)
			f, err := event.ParseFlow(b)
			if err != nil {
				t.Fatal(err)
			}
			if f.ClientMAC() != tt.wantC || f.ServerMAC() != tt.wantS {
				t.Errorf("MACs = %x, %x, want %x, %x", f.ClientMAC(), f.ServerMAC(), tt.wantC, tt.wantS)
			}
			other := f.End(f.Local().Other()).Place.String()
			if f.Direction() != tt.direction || f.Origin() != tt.origin || other != tt.end {
				t.Errorf("direction %q, origin %q, other end %q, want %q, %q, %q", f.Direction(), f.Origin(), other, tt.direction, tt.origin, tt.end)
			}
			if n := testing.AllocsPerRun(100, func() { m.Fill(b) }); n != 0 {
				t.Errorf("Fill: %v allocations, want 0", n)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "network")
	b := Open(nil, path, slog.New(slog.DiscardHandler))
	if got := of(b.Map, "203.0.113.9"); got != event.PlaceRemote {
		t.Errorf("without a file Of = %v, want %v", got, event.PlaceRemote)
	}
	for _, step := range []struct {
		what string
		text []byte
		want event.Place
	}{
		{"the file comes", seen.Append(nil), event.PlaceLocal},
		{"a broken one", []byte("weir-network 1\nlocal"), event.PlaceLocal},
		{"another", (&network.View{}).Append(nil), event.PlaceRemote},
	} {
		if err := network.Save(path, step.text); err != nil {
			t.Fatal(err)
		}
		b.Refresh()
		if got := of(b.Map, "203.0.113.9"); got != step.want {
			t.Errorf("%s: Of = %v, want %v", step.what, got, step.want)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	m := New(nil, seen)
	c := event.Counters{Client: netip.MustParseAddr("192.168.1.10").As16(), Server: netip.MustParseAddr("8.8.8.8").As16(), IPVersion: 4}
	p := make([]byte, event.FixedSize)
	c.Encode(p)
	for b.Loop() {
		m.Fill(p)
	}
}
