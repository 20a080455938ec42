package dissect

import (
	"encoding/binary"
	"strconv"
)

func init() {
	register(Spec{
		Name: "dhcp", ID: 7, Category: "network", Over: UDP, Ports: []uint16{67, 68}, Bytes: 1500,
		Detect: detectDHCP,
	})
}

const (
	dhcpFixed  = 236        // bytes before the cookie
	dhcpCookie = 0x63825363 // RFC 2131 section 3
)

// detectDHCP looks for a message of RFC 2131 section 2: operation, hardware type
// and the length of its addresses in bounds, the cookie behind the fixed part, and
// options (RFC 2132) from there on. The cookie alone is 32 bits.
func detectDHCP(in *Input, out *Result) Verdict {
	m := in.Packet
	if len(m) < dhcpFixed+4 || m[0] != 1 && m[0] != 2 || m[2] > 16 || m[3] > 16 ||
		binary.BigEndian.Uint32(m[dhcpFixed:]) != dhcpCookie {
		return No
	}
	out.Rule("magic cookie", 100)
	if m[0] == 1 {
		out.Str("dhcp.op", []byte("request"))
	} else {
		out.Str("dhcp.op", []byte("reply"))
	}
	if n := int(m[2]); n > 0 {
		out.Hex("dhcp.client_mac", m[28:28+n])
	}
	dhcpAddr("dhcp.client_ip", m[12:16], out)
	dhcpAddr("dhcp.your_ip", m[16:20], out)
	dhcpAddr("dhcp.relay", m[24:28], out)
	overload := dhcpOptions(m[dhcpFixed+4:], out)
	if overload&1 != 0 { // RFC 2131 section 4.1: options go on in file, then sname
		dhcpOptions(m[108:236:236], out)
	}
	if overload&2 != 0 {
		dhcpOptions(m[44:108:108], out)
	}
	return Yes
}

// dhcpAddr reports an address that is set.
func dhcpAddr(key string, b []byte, out *Result) {
	if len(b) == 4 && b[0]|b[1]|b[2]|b[3] != 0 {
		out.Addr(key, b)
	}
}

var dhcpTypes = [...]string{
	1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK", 7: "RELEASE", 8: "INFORM",
	9: "FORCERENEW", 10: "LEASEQUERY", 11: "LEASEUNASSIGNED", 12: "LEASEUNKNOWN", 13: "LEASEACTIVE",
}

// dhcpOptions reports the options in b and returns option 52, which tells that
// there are more in other fields.
func dhcpOptions(b []byte, out *Result) (overload byte) {
	for len(b) > 0 && b[0] != 255 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || 2+int(b[1]) > len(b) {
			return overload
		}
		code, value := b[0], b[2:2+int(b[1]):2+int(b[1])]
		b = b[2+int(b[1]):]
		if code == 52 && len(value) == 1 {
			overload = value[0]
		}
		dhcpOption(code, value, out)
	}
	return overload
}

func dhcpOption(code byte, value []byte, out *Result) {
	switch code {
	case 12:
		value = dhcpText("dhcp.hostname", value, out)
		out.SetName(value)
	case 15:
		dhcpText("dhcp.domain", value, out)
	case 50:
		dhcpAddr("dhcp.requested_ip", value, out)
	case 53:
		if len(value) == 1 && int(value[0]) < len(dhcpTypes) {
			out.Str("dhcp.type", append(make([]byte, 0, 32), dhcpTypes[value[0]]...))
		}
	case 54:
		dhcpAddr("dhcp.server_id", value, out)
	case 55: // the order of the wishes tells the operating system
		var buf [4 * 255]byte
		list := buf[:0]
		for i, c := range value {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendUint(list, uint64(c), 10)
		}
		out.Str("dhcp.fingerprint", list)
	case 60:
		dhcpText("dhcp.class_id", value, out)
	case 81: // flags, two codes of no use, name: RFC 4702 section 2
		if len(value) > 3 && value[0]&4 == 0 {
			dhcpText("dhcp.fqdn", value[3:], out)
		} else if len(value) > 3 {
			dhcpWireName("dhcp.fqdn", value[3:], out)
		}
	}
}

// dhcpText reports text without the zeros that some end it with, and returns it.
func dhcpText(key string, b []byte, out *Result) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	if !isText(b) {
		return nil
	}
	out.Str(key, b)
	return b
}

// dhcpWireName reports a name in labels (RFC 1035 section 3.1), whole or its first
// labels only, and returns its text in dst.
func dhcpWireName(key string, b []byte, out *Result) {
	var buf [dnsMaxName]byte
	out.Str(key, wireName(&buf, b))
}

// wireName writes a name in labels without pointers as text into dst. The end may
// be missing: DHCP sends names of hosts without their domain so.
func wireName(dst *[dnsMaxName]byte, b []byte) []byte {
	n := 0
	for len(b) > 0 && b[0] != 0 && b[0] < 64 && int(b[0]) < len(b) {
		label := b[1 : 1+b[0]]
		b = b[1+b[0]:]
		if n+1+len(label) > len(dst) || !isText(label) {
			return nil
		}
		if n > 0 {
			dst[n] = '.'
			n++
		}
		n += copy(dst[n:], label)
	}
	return dst[:n]
}
