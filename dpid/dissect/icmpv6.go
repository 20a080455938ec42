package dissect

import "encoding/binary"

func init() {
	register(Spec{
		Name: "icmpv6", ID: 19, Category: "network", Over: IP, IPProtos: []uint8{58}, Bytes: 256,
		Detect: detectICMPv6,
	})
}

var icmpv6Keys = quotedKeys{
	"icmpv6.about_src", "icmpv6.about_dst", "icmpv6.about_proto", "icmpv6.about_src_port", "icmpv6.about_dst_port",
}

// detectICMPv6 takes every message of next header 58 that has the header of RFC
// 4443 section 2.1. The number in the IP header says what it is.
func detectICMPv6(in *Input, out *Result) Verdict {
	m := in.Packet
	if len(m) < 8 {
		return No
	}
	out.Rule("IP protocol", 100)
	out.Uint("icmpv6.type", uint64(m[0]))
	out.Uint("icmpv6.code", uint64(m[1]))
	switch m[0] {
	case 1, 2, 3, 4:
		if m[0] == 2 {
			out.Uint("icmpv6.mtu", uint64(binary.BigEndian.Uint32(m[4:])))
		}
		icmpQuoted(m[8:], &icmpv6Keys, out)
	case 128, 129:
		out.Uint("icmpv6.id", uint64(binary.BigEndian.Uint16(m[4:])))
	case 130, 131, 132: // multicast listener: the group, RFC 2710 section 3
		icmpv6Target(m, "icmpv6.group", out)
	case 133:
		icmpv6Options(m[8:], out)
	case 134:
		if len(m) >= 16 { // RFC 4861 section 4.2
			out.Uint("icmpv6.router_lifetime", uint64(binary.BigEndian.Uint16(m[6:])))
			icmpv6Options(m[16:], out)
		}
	case 135, 136, 137: // neighbour solicitation and advertisement, redirect
		icmpv6Target(m, "icmpv6.target", out)
		skip := 24
		if m[0] == 137 {
			skip = 40
		}
		icmpv6Options(m[min(skip, len(m)):], out)
	}
	return Yes
}

func icmpv6Target(m []byte, key string, out *Result) {
	if len(m) >= 24 {
		out.Addr(key, m[8:24])
	}
}

// icmpv6Options reports options of neighbour discovery, RFC 4861 section 4.6: type,
// length in units of 8 bytes, value.
func icmpv6Options(b []byte, out *Result) {
	for len(b) >= 8 {
		n := 8 * int(b[1])
		if n == 0 || n > len(b) {
			return
		}
		o := b[:n:n]
		b = b[n:]
		switch {
		case o[0] == 1 || o[0] == 2: // link-layer address
			out.Hex("icmpv6.link_address", o[2:8])
		case o[0] == 3 && n == 32:
			out.AddrList("icmpv6.prefixes", o[16:32])
		case o[0] == 5:
			out.Uint("icmpv6.mtu", uint64(binary.BigEndian.Uint32(o[4:])))
		case o[0] == 25: // name servers, RFC 8106 section 5.1
			for s := o[8:]; len(s) >= 16; s = s[16:] {
				out.AddrList("icmpv6.name_servers", s[:16])
			}
		}
	}
}
