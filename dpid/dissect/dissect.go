// Package dissect recognises protocols by their first bytes.
//
// A protocol is one file: it registers a Spec whose Detect looks at what was seen
// of both directions and says No, More or Yes. Samples beside it, in
// testdata/NAME, are its tests; ids, ports, documentation and rule names come from
// the registry. The package knows nothing of flows, rings or events beyond the
// attribute encoding, keeps no state of its own and never allocates on the way of
// a packet.
package dissect

import (
	"fmt"
	"slices"

	"weir/proto/ids"
)

// Verdict is what a dissector says about the bytes it was shown.
type Verdict uint8

// Verdicts. No and Yes stay what they are however many bytes follow.
const (
	No      Verdict = iota // not this protocol; final for the flow
	More                   // still possible; show more bytes
	YesMore                // it is; metadata may follow, show more bytes
	Yes                    // it is, and all it can tell is told
)

// Transport is what a protocol runs over; a Spec may name several.
type Transport uint8

// Transports.
const (
	TCP Transport = 1 << iota // a byte stream
	UDP                       // datagrams
	IP                        // straight over IP, by Spec.IPProtos
)

// MaxBytes is the most bytes of one direction that a Spec may want.
const MaxBytes = 16 << 10

// Input is all a dissector may look at. The slices alias the packet ring or a
// reassembly buffer and die with the call: copy what you keep.
//
// TCP: Client and Server are what was received in order from the start of each
// direction, at most Spec.Bytes; Packet is the part that the newest segment added.
// UDP and IP: Client and Server are the first datagram of each direction, Packet
// is the newest one.
type Input struct {
	Client, Server         []byte
	Packet                 []byte
	FromServer             bool // who sent Packet
	ClientPort, ServerPort uint16
	ClientAddr, ServerAddr [16]byte // IPv4 as ::ffff:a.b.c.d
	IPProto                uint8
	ClientCount            uint16 // packets with payload so far, by direction
	ServerCount            uint16
	ClientEnd, ServerEnd   bool // nothing will be added to this direction
	Midstream              bool // the start of the flow was not seen
	// Scratch is Spec.Scratch bytes, zero at the flow's first packet and kept while
	// it is inspected, if its first eight bytes are not all zero: a protocol that
	// wants to find something there again must put something there as well.
	Scratch []byte
}

// Spec describes a protocol. It is registered once, at program start.
type Spec struct {
	Name     string       // lower case, Wireshark's display-filter name where there is one
	ID       ids.Protocol // given once, for ever
	Category string       // category of a flow whose application is not known
	Over     Transport
	IPProtos []uint8  // for Over IP: the IP protocol numbers
	Ports    []uint16 // likely server ports; they order the trials and prove nothing
	Bytes    int      // bytes wanted of each direction; 0 means 1024
	Scratch  int      // bytes of private state per inspected flow, 8 to 16 KiB

	// Detect looks at the whole Input and fills out from nothing at every call.
	// It is pure but for in.Scratch. Where the first flight names the flow, it says of
	// each part of one that is not whole that it is Unfinished.
	Detect func(in *Input, out *Result) Verdict

	// Follow, when set, is shown every later packet of a flow that Detect said Yes
	// to, because later bytes matter (DNS answers, STARTTLS). What it puts in out is
	// added to what is known of the flow. It says More to go on, anything else to
	// let the flow go.
	Follow func(in *Input, out *Result) Verdict

	// Again, when set, takes the place of Follow inline, where each request of a flow is
	// judged: it says with Result.Renames that a later one names the flow anew.
	Again func(in *Input, out *Result) Verdict

	// Carries names protocols that this one prepares the way for on the same flow, as
	// STUN does for DTLS (RFC 7983). While it says YesMore they are shown each packet,
	// too, and the first that says Yes takes the flow over. Until then they must have
	// said More to its packets.
	Carries []string

	index   int // position in the registry
	scratch int // offset of the protocol's part of the scratch block
}

// Index returns the position of s in All: small, dense, of this build only.
func (s *Spec) Index() int { return s.index }

var registry []*Spec

// register adds a protocol. It panics on a mistake in s: a bug found at start.
func register(s Spec) {
	if s.Bytes == 0 {
		s.Bytes = 1024
	}
	bad := func(what string) { panic(fmt.Sprintf("BUG: dissect: protocol %q: %s", s.Name, what)) }
	switch {
	case s.Name == "" || s.Detect == nil || s.Over == 0:
		bad("needs a name, Detect and a transport")
	case s.ID == ids.UnknownProtocol || s.ID >= ids.FirstUserProto:
		bad("id out of range")
	case s.Bytes > MaxBytes || s.Scratch > MaxBytes:
		bad("wants more than 16 KiB")
	case s.Scratch > 0 && s.Scratch < 8:
		bad("needs at least 8 bytes of scratch, or none")
	case (s.Over&IP != 0) != (len(s.IPProtos) > 0):
		bad("Over IP and IPProtos go together")
	}
	for _, o := range registry {
		if o.ID == s.ID || o.Name == s.Name {
			bad(fmt.Sprintf("name or id %d already taken by %q", s.ID, o.Name))
		}
	}
	registry = append(registry, &s)
	slices.SortFunc(registry, func(a, b *Spec) int { return int(a.ID) - int(b.ID) })
	for i, r := range registry {
		r.index = i
	}
	if len(registry) > maxSpecs {
		bad("more protocols than a candidate set holds")
	}
}

// All returns every protocol, ordered by id. The slice is not to be changed.
func All() []*Spec { return registry }

// ByName returns the protocol of that name.
func ByName(name string) (*Spec, bool) {
	for _, s := range registry {
		if s.Name == name {
			return s, true
		}
	}
	return nil, false
}

// ByID returns the protocol of that id.
func ByID(id ids.Protocol) (*Spec, bool) {
	i, ok := slices.BinarySearchFunc(registry, id, func(s *Spec, id ids.Protocol) int { return int(s.ID) - int(id) })
	if !ok {
		return nil, false
	}
	return registry[i], true
}
