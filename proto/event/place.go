package event

import (
	"net/netip"
	"slices"
)

// Place says where an end of a flow is, seen from the machine that Weir runs on.
// Byte 141 of a flow payload has that of the client in its low four bits and that of
// the server in the high ones.
type Place uint8

// Places. Their numbers are part of the format.
const (
	PlaceUnknown   Place = iota // an older worker wrote the event
	PlaceRemote                 // somewhere else
	PlaceLocal                  // a network of ours
	PlaceHost                   // this machine
	PlaceMulticast              // a multicast group
	PlaceBroadcast              // everybody on a network
)

// PlaceAt is the byte of a flow payload with the places of both ends.
const PlaceAt = 141

// Places returns that byte.
func Places(client, server Place) uint8 { return uint8(client&15 | server<<4) }

// String returns the place as it stands in JSON, "" for one that is not known.
func (p Place) String() string {
	if int(p) < len(placeNames) {
		return placeNames[p]
	}
	return ""
}

var placeNames = [...]string{"", "remote", "local", "host", "multicast", "broadcast"}

// rank orders places by how much an end there is ours: of two that are, the one in
// our networks is what others want to know of, more than this machine.
func (p Place) rank() int {
	switch p {
	case PlaceLocal:
		return 2
	case PlaceHost:
		return 1
	}
	return 0
}

// ClientPlace returns where the client is.
func (f Flow) ClientPlace() Place { return Place(f[PlaceAt] & 15) }

// ServerPlace returns where the server is.
func (f Flow) ServerPlace() Place { return Place(f[PlaceAt] >> 4) }

// Side is an end of a flow.
type Side uint8

// Sides.
const (
	NoSide Side = iota
	Client
	Server
)

// Local returns which end is ours: the one in a network of ours, else this machine;
// the client if both are alike, NoSide if neither is.
func (f Flow) Local() Side {
	c, s := f.ClientPlace().rank(), f.ServerPlace().rank()
	switch {
	case c == 0 && s == 0:
		return NoSide
	case c >= s:
		return Client
	}
	return Server
}

// Origin returns who began the flow: "local", "other", or "" when no end is ours.
func (f Flow) Origin() string {
	switch f.Local() {
	case Client:
		return "local"
	case Server:
		return "other"
	}
	return ""
}

// Direction returns which way the flow was begun: "outbound" from us to elsewhere,
// "inbound" from elsewhere to us, to a multicast group or to everybody, "internal"
// where both ends are ours or many of ours, "transit" where none is. It is "" when
// places are not known.
func (f Flow) Direction() string {
	c, s := f.ClientPlace(), f.ServerPlace()
	if c.String() == "" || s.String() == "" {
		return ""
	}
	ours := s != PlaceRemote // many that hear it are taken for ours
	switch {
	case c.rank() > 0 && ours:
		return "internal"
	case c.rank() > 0:
		return "outbound"
	case ours:
		return "inbound"
	}
	return "transit"
}

// End is one end of a flow.
type End struct {
	Addr  netip.Addr
	Port  uint16
	MAC   [6]byte // zero when unknown
	Place Place
}

// End returns an end of the flow, the zero End for NoSide.
func (f Flow) End(s Side) End {
	switch s {
	case Client:
		return End{f.ClientAddr(), f.ClientPort(), f.ClientMAC(), f.ClientPlace()}
	case Server:
		return End{f.ServerAddr(), f.ServerPort(), f.ServerMAC(), f.ServerPlace()}
	}
	return End{}
}

// Other returns the end opposite to s, NoSide for NoSide.
func (s Side) Other() Side {
	switch s {
	case Client:
		return Server
	case Server:
		return Client
	}
	return NoSide
}

// Role returns the role of the flow's interface as role tells it: of two, lan comes
// first, because there the end is that is ours.
func (f Flow) Role(role func(index uint16) string) string {
	in := name(role, f.In())
	if f.Out() == f.In() || in == "lan" {
		return in
	}
	if out := name(role, f.Out()); in == "" || out == "lan" {
		return out
	}
	return in
}

// parsePlace is the inverse of Place.String.
func parsePlace(s string) Place { return Place(max(slices.Index(placeNames[:], s), 0)) }

// places writes what is known of where the ends are.
func (w *jsonWriter) places(f Flow, n *Names) {
	if r := f.Role(n.Role); r != "" {
		w.text("interface_role", r)
	}
	d := f.Direction()
	if d == "" {
		return
	}
	w.text("client_place", f.ClientPlace().String())
	w.text("server_place", f.ServerPlace().String())
	w.text("direction", d)
	s := f.Local()
	if s == NoSide {
		return
	}
	w.text("origin", f.Origin())
	local, other := f.End(s), f.End(s.Other())
	w.addr("local_ip", local.Addr)
	w.uint("local_port", uint64(local.Port))
	w.mac("local_mac", local.MAC)
	w.addr("other_ip", other.Addr)
	w.uint("other_port", uint64(other.Port))
	w.mac("other_mac", other.MAC)
}
