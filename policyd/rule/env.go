package rule

import (
	"net/netip"
	"slices"
	"time"

	"weir/proto/event"
)

// Flow is what rules are asked about.
type Flow struct {
	event.Flow
	Interface string    // name of the interface, empty when unknown
	Role      string    // role of the interface, empty when it has none
	Now       time.Time // packet time of the event, for schedules
}

// scope is the flow under evaluation and the set that evaluates it.
type scope struct {
	Flow
	set *Set
	buf []byte // for the text of an attribute
}

// field is a name that expressions may use. zero gives its type.
type field struct {
	name     string
	zero     any
	counters bool // changes with every packet
	value    func(*scope) any
}

// fields is the vocabulary of rules; docs/formats/rules.md lists it for people.
var fields = []field{
	{name: "protocol", zero: "", value: func(s *scope) any { return s.text(s.Protocol()) }},
	{name: "application", zero: "", value: func(s *scope) any { return s.text(s.Application()) }},
	{name: "category", zero: "", value: func(s *scope) any { return s.text(s.Category()) }},
	{name: "host", zero: "", value: func(s *scope) any { return s.text(s.Host()) }},
	{name: "sni", zero: "", value: func(s *scope) any { return s.tlsText("sni") }},
	{name: "alpn", zero: []string(nil), value: func(s *scope) any { return s.tlsList("alpn", "alpn_offered") }},
	{name: "ja3", zero: "", value: func(s *scope) any { return s.tlsText("ja3") }},
	{name: "ja4", zero: "", value: func(s *scope) any { return s.tlsText("ja4") }},
	{name: "tls_version", zero: "", value: func(s *scope) any { return s.tlsText("version", "client_version") }},
	{name: "client_ip", zero: netip.Addr{}, value: func(s *scope) any { return s.addr(s.ClientAddr()) }},
	{name: "server_ip", zero: netip.Addr{}, value: func(s *scope) any { return s.addr(s.ServerAddr()) }},
	{name: "client_port", zero: 0, value: func(s *scope) any { return s.int(int(s.ClientPort())) }},
	{name: "server_port", zero: 0, value: func(s *scope) any { return s.int(int(s.ServerPort())) }},
	{name: "ip_protocol", zero: 0, value: func(s *scope) any { return s.int(int(s.IPProto())) }},
	{name: "ip_version", zero: 0, value: func(s *scope) any { return s.int(int(s.IPVersion())) }},
	{name: "vlan", zero: 0, value: func(s *scope) any { return s.int(int(s.VLAN())) }},
	{name: "interface", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.Interface) }},
	{name: "client_mac", zero: "", value: func(s *scope) any { return s.mac(s.ClientMAC()) }},
	{name: "server_mac", zero: "", value: func(s *scope) any { return s.mac(s.ServerMAC()) }},
	{name: "interface_role", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.Role) }},
	{name: "client_place", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.ClientPlace().String()) }},
	{name: "server_place", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.ServerPlace().String()) }},
	{name: "direction", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.Direction()) }},
	{name: "origin", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.Origin()) }},
	{name: "local_ip", zero: netip.Addr{}, value: func(s *scope) any { return s.addr(s.local().Addr) }},
	{name: "local_port", zero: 0, value: func(s *scope) any { return s.int(int(s.local().Port)) }},
	{name: "local_mac", zero: "", value: func(s *scope) any { return s.mac(s.local().MAC) }},
	{name: "other_ip", zero: netip.Addr{}, value: func(s *scope) any { return s.addr(s.other().Addr) }},
	{name: "other_port", zero: 0, value: func(s *scope) any { return s.int(int(s.other().Port)) }},
	{name: "other_mac", zero: "", value: func(s *scope) any { return s.mac(s.other().MAC) }},
	{name: "other_type", zero: "", value: func(s *scope) any { return s.set.boxes.str(s.other().Place.String()) }},
	{name: "mark", zero: int64(0), value: func(s *scope) any { return int64(s.Mark()) }},
	{name: "bytes", zero: int64(0), counters: true, value: func(s *scope) any { return sum(s.ClientBytes(), s.ServerBytes()) }},
	{name: "packets", zero: int64(0), counters: true, value: func(s *scope) any { return sum(s.ClientPackets(), s.ServerPackets()) }},
	{name: "client_bytes", zero: int64(0), counters: true, value: func(s *scope) any { return sum(s.ClientBytes(), 0) }},
	{name: "server_bytes", zero: int64(0), counters: true, value: func(s *scope) any { return sum(s.ServerBytes(), 0) }},
	{name: "client_packets", zero: int64(0), counters: true, value: func(s *scope) any { return sum(s.ClientPackets(), 0) }},
	{name: "server_packets", zero: int64(0), counters: true, value: func(s *scope) any { return sum(s.ServerPackets(), 0) }},
	{name: "duration", zero: 0.0, counters: true, value: func(s *scope) any { return s.duration() }},
	{name: "confidence", zero: 0, value: func(s *scope) any { return s.int(int(s.Confidence())) }},
	{name: "source", zero: "", value: func(s *scope) any { return s.Source().String() }},
	{name: "guessed", zero: false, value: func(s *scope) any {
		src := s.Source()
		return src == event.SourceNetwork || src == event.SourcePort
	}},
	{name: "evidence", zero: "", value: func(s *scope) any { return s.text(s.Evidence()) }},
	{name: "midstream", zero: false, value: func(s *scope) any { return s.Flags()&event.FlagMidstream != 0 }},
	{name: "tags", zero: []string(nil), value: func(s *scope) any { return s.set.tags }},
	{name: "end_reason", zero: "", value: func(s *scope) any { return s.EndReason().String() }},
}

func findField(name string) *field {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return &fields[i]
}

// sum adds counters of a hostile sender without turning negative.
func sum(a, b uint64) int64 {
	const most = 1<<63 - 1
	if s := a + b; s >= a && s <= most {
		return int64(s)
	}
	return most
}

func (s *scope) duration() float64 {
	if s.Last() <= s.First() {
		return 0
	}
	return time.Duration(min(s.Last()-s.First(), 1<<62)).Seconds()
}

// local and other are the ends of the flow; zero when neither is ours.
func (s *scope) local() event.End { return s.End(s.Flow.Flow.Local()) }
func (s *scope) other() event.End { return s.End(s.Flow.Flow.Local().Other()) }

func (s *scope) text(b []byte) any     { return s.set.boxes.text(b) }
func (s *scope) addr(a netip.Addr) any { return s.set.boxes.addr(a) }
func (s *scope) int(v int) any         { return s.set.boxes.int(v) }
func (s *scope) mac(m [6]byte) any     { return s.set.boxes.mac(m) }

// tlsList returns all values of the attributes of a TLS handshake called members.
func (s *scope) tlsList(members ...string) (l []string) {
	for a := range attrs(s.Attrs()) {
		for _, m := range members {
			if isMember(a.Key, tlsObjects, m) {
				l = append(l, s.set.boxes.string(a.Value))
			}
		}
	}
	return l
}

// tlsObjects are the objects in which dissectors leave what a TLS handshake says.
// QUIC's handshake is in "tls" too; "quic.version" is another matter.
var tlsObjects = []string{"tls", "dtls"}

// tlsText returns the first attribute of a TLS handshake with the first of members
// that it has.
func (s *scope) tlsText(members ...string) any {
	for _, m := range members {
		for a := range attrs(s.Attrs()) {
			if isMember(a.Key, tlsObjects, m) {
				s.buf = a.AppendText(s.buf[:0])
				return s.set.boxes.text(s.buf)
			}
		}
	}
	return s.set.boxes.text(nil)
}

// isMember reports whether key is "object.member" for one of objects.
func isMember(key []byte, objects []string, member string) bool {
	n := len(key) - len(member)
	if n < 2 || string(key[n:]) != member || key[n-1] != '.' {
		return false
	}
	for _, o := range objects {
		if string(key[:n-1]) == o {
			return true
		}
	}
	return false
}

// attr is the function attr of the language: the value of an attribute, of a list
// the first one, empty when there is none.
func (s *scope) attr(key string) string {
	for a := range attrs(s.Attrs()) {
		if string(a.Key) == key {
			if a.Kind == event.AttrString {
				return s.set.boxes.string(a.Value)
			}
			s.buf = a.AppendText(s.buf[:0])
			return s.set.boxes.string(s.buf)
		}
	}
	return ""
}

// attrList is the function attrs of the language: all values of an attribute.
func (s *scope) attrList(key string) (l []string) {
	for a := range attrs(s.Attrs()) {
		if string(a.Key) == key {
			l = append(l, string(a.AppendText(nil)))
		}
	}
	return l
}

func attrs(list []byte) func(yield func(event.Attr) bool) {
	return func(yield func(event.Attr) bool) {
		for {
			a, rest, ok := event.NextAttr(list)
			if !ok || !yield(a) {
				return
			}
			list = rest
		}
	}
}
