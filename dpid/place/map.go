// Package place knows where addresses are: in our networks, on this machine, or
// somewhere else, and which Ethernet address a neighbour has. It fills what a worker
// tells of a flow with that.
//
// What it knows comes from the configuration and, live, from a file that capd
// replaces when something changes; offline from the configuration alone, so that a
// capture has the same records everywhere.
//
// The invariant: a look-up allocates nothing, takes no lock, and has an answer for
// every address.
package place

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"weir/proto/event"
	"weir/proto/network"
)

// word is an address as a number, IPv4 as ::ffff:a.b.c.d.
type word struct{ hi, lo uint64 }

func wordOf(b []byte) word {
	b = b[:16:16]
	return word{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a word) compare(b word) int { return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo)) }

func (a word) less(b word) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

// next returns the following number; ok is false when there is none.
func (a word) next() (w word, ok bool) {
	a.lo++
	if a.lo == 0 {
		a.hi++
	}
	return a, a != word{}
}

// span is a network and what it is.
type span struct {
	first, last word
	place       event.Place
}

// spanOf returns p as addresses from first to last.
func spanOf(p netip.Prefix, place event.Place) span {
	a := p.Masked().Addr().As16()
	s := span{first: wordOf(a[:]), place: place}
	n := 128 - p.Bits() // bits that are free
	if p.Addr().Is4() {
		n = 32 - p.Bits()
	}
	// Shifts by 64 and more make 0.
	s.last = word{s.first.hi | (1<<max(n-64, 0) - 1), s.first.lo | (1<<min(n, 64) - 1)}
	return s
}

// Map is the places of all addresses, and the neighbours. It is not changed once made.
type Map struct {
	starts []word        // first addresses of stretches with one place, ascending; the first is 0
	places []event.Place // of the stretches
	macs   map[[16]byte]network.MAC
	own    map[network.MAC]bool
}

// private are the networks that are ours unless the configuration says which are.
var private = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")

// everywhere has one meaning on every machine.
var everywhere = []struct {
	nets  []netip.Prefix
	place event.Place
}{
	{prefixes("127.0.0.0/8", "::1/128"), event.PlaceHost},
	{prefixes("0.0.0.0/32", "::/128"), event.PlaceLocal}, // a host that has no address yet
	{prefixes("224.0.0.0/4", "ff00::/8"), event.PlaceMulticast},
	{prefixes("255.255.255.255/32"), event.PlaceBroadcast},
}

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// New makes the map of the networks that the configuration calls ours, nil for the
// private ones, and of what capd sees, nil when it sees nothing. Of networks one in
// the other the inner one counts; of one network that is told twice, what the
// configuration says, then what capd calls ours.
func New(local []netip.Prefix, v *network.View) *Map {
	if v == nil {
		v = new(network.View)
	}
	var spans []span
	add := func(place event.Place, list ...netip.Prefix) {
		for _, p := range list {
			spans = append(spans, spanOf(p, place))
		}
	}
	if len(local) == 0 {
		add(event.PlaceLocal, private...)
	}
	add(event.PlaceRemote, v.Other...)
	add(event.PlaceLocal, v.Local...)
	add(event.PlaceLocal, local...)
	for _, p := range append(slices.Clone(v.Local), local...) {
		if p.Addr().Is4() && p.Bits() <= 30 {
			s := spanOf(p, event.PlaceBroadcast)
			s.first = s.last
			spans = append(spans, s)
		}
	}
	m := &Map{macs: map[[16]byte]network.MAC{}, own: map[network.MAC]bool{}}
	for _, h := range v.Hosts {
		add(event.PlaceHost, netip.PrefixFrom(h.Addr, h.Addr.BitLen()))
	}
	for _, e := range everywhere {
		add(e.place, e.nets...)
	}
	m.paint(spans)
	m.stations(v)
	return m
}

func (m *Map) stations(v *network.View) {
	for _, list := range [][]network.Station{v.Neighbours, v.Hosts} {
		for _, s := range list {
			if s.MAC != (network.MAC{}) {
				m.macs[s.Addr.As16()] = s.MAC
			}
		}
	}
	for _, mac := range v.MACs {
		m.own[mac] = true
	}
}

// paint cuts the addresses into stretches. Spans are one in the other or apart; of
// those that are alike the last one counts.
func (m *Map) paint(spans []span) {
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Or(a.first.compare(b.first), b.last.compare(a.last)) })
	whole := span{last: word{^uint64(0), ^uint64(0)}, place: event.PlaceRemote}
	within := []span{whole}
	m.stretch(word{}, whole.place)
	leave := func(until word, all bool) {
		for len(within) > 1 && (all || within[len(within)-1].last.less(until)) {
			after, ok := within[len(within)-1].last.next()
			within = within[:len(within)-1]
			if ok {
				m.stretch(after, within[len(within)-1].place)
			}
		}
	}
	for _, s := range spans {
		leave(s.first, false)
		within = append(within, s)
		m.stretch(s.first, s.place)
	}
	leave(word{}, true)
}

// stretch begins a stretch at first, which is not below those before.
func (m *Map) stretch(first word, place event.Place) {
	if n := len(m.starts); n > 0 && m.starts[n-1] == first {
		m.places[n-1] = place
		return
	}
	m.starts, m.places = append(m.starts, first), append(m.places, place)
}

// Of returns where an address is.
func (m *Map) Of(addr *[16]byte) event.Place {
	a := wordOf(addr[:])
	lo, hi := 0, len(m.starts) // starts[lo] <= a < starts[hi]
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if a.less(m.starts[mid]) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return m.places[lo]
}

// MAC returns the Ethernet address of an end that is at place. seen is that of its
// frames, zero when there were none: it is right unless it is this machine's, which
// stands between the end and the wire that was looked at.
func (m *Map) MAC(addr *[16]byte, place event.Place, seen [6]byte) [6]byte {
	if place != event.PlaceLocal && place != event.PlaceHost || len(m.macs) == 0 {
		return seen
	}
	if seen != [6]byte{} && !m.own[seen] {
		return seen
	}
	if mac, ok := m.macs[*addr]; ok {
		return mac
	}
	return seen
}

// Fill fills in what a flow payload says of its ends: their places, and Ethernet
// addresses that nobody saw. Precondition: len(b) >= event.FixedSize.
func (m *Map) Fill(b []byte) {
	b = b[:event.FixedSize:event.FixedSize]
	client, server := (*[16]byte)(b[32:48]), (*[16]byte)(b[48:64])
	c, s := m.Of(client), m.Of(server)
	b[event.PlaceAt] = event.Places(c, s)
	cm, sm := m.MAC(client, c, [6]byte(b[112:118])), m.MAC(server, s, [6]byte(b[118:124]))
	copy(b[112:118], cm[:])
	copy(b[118:124], sm[:])
}
