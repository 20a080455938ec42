package worker

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"weir/dpid/place"
	"weir/proto/event"
	"weir/proto/network"
)

// TestPlaces: events say where the ends are, as capd tells it at the time; a flow
// keeps the neighbour's Ethernet address that it was classified with.
func TestPlaces(t *testing.T) {
	r := newRig(t, options{})
	path := filepath.Join(t.TempDir(), "network")
	r.w.part.Places = place.Open(nil, path, slog.New(slog.DiscardHandler))
	router, phone := network.MAC{2, 0, 0, 0, 0, 1}, network.MAC{2, 0, 0, 0, 0, 0xa}
	tell := func(v *network.View) {
		t.Helper()
		if err := network.Save(path, v.Append(nil)); err != nil {
			t.Fatal(err)
		}
		r.w.part.Places.Refresh()
	}
	client, server := netip.MustParseAddr("203.0.113.10"), endpoint("198.51.100.9:443")
	me := netip.AddrPortFrom(client, 40000)
	ours := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	tell(&network.View{Local: ours, MACs: []network.MAC{router}, Neighbours: []network.Station{{Addr: client, MAC: phone}}})
	r.put(packet{src: me, dst: server, flags: tcpSYN})
	r.put(packet{at: time.Second, src: server, dst: me, flags: tcpSYN | tcpACK, ack: 1})
	r.put(packet{at: 2 * time.Second, src: me, dst: server, flags: tcpACK, seq: 1, ack: 1, data: []byte(hello("www.example.com"))})
	r.run()
	tell(&network.View{MACs: []network.MAC{router}}) // the neighbour goes, and the network is not ours any more
	r.put(packet{at: 3 * time.Second, src: me, dst: server, flags: tcpRST, seq: 600, ack: 1})
	r.tick(time.Hour)
	r.run()
	want := map[event.Type]event.Place{event.FlowClass: event.PlaceLocal, event.FlowEnd: event.PlaceRemote}
	for _, h := range r.seen {
		w, ok := want[h.typ]
		if !ok {
			continue
		}
		delete(want, h.typ)
		if f := h.flow(); f.ClientPlace() != w || f.ServerPlace() != event.PlaceRemote || f.ClientMAC() != phone {
			t.Errorf("%v: places %q, %q, client MAC %x, want %q, %q, %x", h.typ, f.ClientPlace(), f.ServerPlace(), f.ClientMAC(),
				w, event.PlaceRemote, phone)
		}
	}
	if len(want) > 0 {
		t.Errorf("no event of %v", want)
	}
}
