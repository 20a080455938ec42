package dissect

import (
	"encoding/binary"
	"strconv"
)

func init() {
	register(Spec{
		Name: "dhcpv6", ID: 8, Category: "network", Over: UDP, Ports: []uint16{546, 547}, Bytes: 1500,
		Detect: detectDHCPv6,
	})
}

var dhcpv6Types = [...]string{
	1: "SOLICIT", 2: "ADVERTISE", 3: "REQUEST", 4: "CONFIRM", 5: "RENEW", 6: "REBIND", 7: "REPLY", 8: "RELEASE",
	9: "DECLINE", 10: "RECONFIGURE", 11: "INFORMATION-REQUEST", 12: "RELAY-FORW", 13: "RELAY-REPL",
	14: "LEASEQUERY", 15: "LEASEQUERY-REPLY", 20: "DHCPV4-QUERY", 21: "DHCPV4-RESPONSE", // RFC 7341
	36: "ADDR-REG-INFORM", 37: "ADDR-REG-REPLY", // RFC 9686
}

func dhcpv6Type(t byte) bool { return int(t) < len(dhcpv6Types) && dhcpv6Types[t] != "" }

// detectDHCPv6 looks for a message of RFC 8415 section 8: type, transaction (3),
// options; or of section 9, between relays: type, hops, link and peer address,
// options. The ports are part of the definition (section 7.2). Options of known
// codes and sizes fill the message, and one of them is the id of the client or
// server, the relayed message or elapsed time: more than 32 bits.
func detectDHCPv6(in *Input, out *Result) Verdict {
	if !dhcpv6Port(in.ClientPort) && !dhcpv6Port(in.ServerPort) {
		return No
	}
	m := in.Packet
	if len(m) < 4+4 || !dhcpv6Type(m[0]) {
		return No
	}
	typ := m[0]
	for hops := 0; m[0] == 12 || m[0] == 13; hops++ { // look into what relays carry
		inner, ok := dhcpv6Relayed(m)
		if !ok || hops > 8 {
			return No
		}
		if hops == 0 {
			out.Addr("dhcpv6.peer", m[18:34])
		}
		if m = inner; len(m) < 8 || !dhcpv6Type(m[0]) {
			return No
		}
	}
	if !dhcpv6Sane(m[4:]) {
		return No
	}
	out.Rule("options", 90)
	out.Str("dhcpv6.type", append(make([]byte, 0, 32), dhcpv6Types[typ]...))
	for b := m[4:]; len(b) > 0; {
		code, value, rest, ok := dhcpv6Option(b)
		if !ok {
			return Yes // the last of a cut message
		}
		dhcpv6Tell(code, value, out)
		b = rest
	}
	return Yes
}

func dhcpv6Port(p uint16) bool { return p == 546 || p == 547 }

// dhcpv6Option splits the first option off b: code (2), length (2), value.
func dhcpv6Option(b []byte) (code uint16, value, rest []byte, ok bool) { return svcParam(b) }

// dhcpv6Relayed returns the message that relay message m carries in option 9.
func dhcpv6Relayed(m []byte) (inner []byte, ok bool) {
	if len(m) < 34 || m[1] > 32 {
		return nil, false
	}
	for b := m[34:]; ; {
		code, value, rest, ok := dhcpv6Option(b)
		if !ok {
			return nil, false
		}
		if code == 9 {
			return value, true
		}
		b = rest
	}
}

// dhcpv6Sane reports whether options fill b, the last perhaps cut, and one that
// every exchange has is among them.
func dhcpv6Sane(b []byte) bool {
	proof := false
	for len(b) > 0 {
		code, value, rest, ok := dhcpv6Option(b)
		if !ok {
			return proof && len(b) < 1500
		}
		if code == 0 || code > 255 { // IANA is at about 150
			return false
		}
		switch code {
		case 1, 2: // a DUID of RFC 8415 section 11: type 1 to 4, at most 130 bytes
			if len(value) < 4 || len(value) > 130 || value[0] != 0 || value[1] == 0 || value[1] > 4 {
				return false
			}
			proof = true
		case 8:
			if len(value) != 2 {
				return false
			}
			proof = true
		}
		b = rest
	}
	return proof
}

func dhcpv6Tell(code uint16, value []byte, out *Result) {
	switch code {
	case 1:
		out.Hex("dhcpv6.client_duid", value)
	case 2:
		out.Hex("dhcpv6.server_duid", value)
	case 3: // IA_NA: id, T1, T2, then IAADDR options
		if len(value) > 12 {
			for b := value[12:]; ; {
				c, v, rest, ok := dhcpv6Option(b)
				if !ok {
					return
				}
				if c == 5 && len(v) >= 16 {
					out.AddrList("dhcpv6.addresses", v[:16])
				}
				b = rest
			}
		}
	case 6: // wishes, as in DHCPv4 a mark of the operating system
		var buf [512]byte
		list := buf[:0]
		for ; len(value) >= 2 && len(list) < 500; value = value[2:] {
			if len(list) > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendUint(list, uint64(binary.BigEndian.Uint16(value)), 10)
		}
		out.Str("dhcpv6.fingerprint", list)
	case 16: // enterprise (4), then texts with their length (2)
		if len(value) >= 6 {
			out.Uint("dhcpv6.vendor", uint64(binary.BigEndian.Uint32(value)))
			if n := int(binary.BigEndian.Uint16(value[4:])); n <= len(value)-6 {
				dhcpText("dhcpv6.vendor_class", value[6:6+n], out)
			}
		}
	case 39: // flags, name: RFC 4704 section 4
		if len(value) > 1 {
			var buf [dnsMaxName]byte
			name := wireName(&buf, value[1:])
			out.Str("dhcpv6.fqdn", name)
			out.SetHost(name)
		}
	}
}
