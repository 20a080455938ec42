package dissect

import "encoding/binary"

func init() {
	register(Spec{
		Name: "icmp", ID: 18, Category: "network", Over: IP, IPProtos: []uint8{1}, Bytes: 128,
		Detect: detectICMP,
	})
}

// detectICMP takes every message of IP protocol 1 that has the header of RFC 792:
// type, code, checksum (2), four bytes by type. The number in the IP header says
// what it is; nothing else may use it.
func detectICMP(in *Input, out *Result) Verdict {
	m := in.Packet
	if len(m) < 8 {
		return No
	}
	out.Rule("IP protocol", 100)
	out.Uint("icmp.type", uint64(m[0]))
	out.Uint("icmp.code", uint64(m[1]))
	switch m[0] {
	case 0, 8, 13, 14: // echo, timestamp: identifier, sequence
		out.Uint("icmp.id", uint64(binary.BigEndian.Uint16(m[4:])))
	case 3, 4, 5, 11, 12: // errors quote the datagram they are about
		if m[0] == 3 && m[1] == 4 { // RFC 1191 section 4
			out.Uint("icmp.mtu", uint64(binary.BigEndian.Uint16(m[6:])))
		}
		if m[0] == 5 {
			out.Addr("icmp.gateway", m[4:8])
		}
		icmpQuoted(m[8:], &icmpKeys, out)
	}
	return Yes
}

// quotedKeys are the attributes of a quoted datagram.
type quotedKeys struct{ src, dst, proto, sport, dport string }

var icmpKeys = quotedKeys{
	"icmp.about_src", "icmp.about_dst", "icmp.about_proto", "icmp.about_src_port", "icmp.about_dst_port",
}

// icmpQuoted reports the flow that an error is about.
func icmpQuoted(b []byte, k *quotedKeys, out *Result) {
	var proto uint8
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && b[0]&15 >= 5:
		proto = b[9]
		out.Addr(k.src, b[12:16])
		out.Addr(k.dst, b[16:20])
		if first := binary.BigEndian.Uint16(b[6:])&0x1fff == 0; first {
			b = b[min(4*int(b[0]&15), len(b)):]
		} else {
			b = nil
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		proto = b[6]
		out.Addr(k.src, b[8:24])
		out.Addr(k.dst, b[24:40])
		b = b[40:]
	default:
		return
	}
	out.Uint(k.proto, uint64(proto))
	if (proto == 6 || proto == 17 || proto == 132) && len(b) >= 4 {
		out.Uint(k.sport, uint64(binary.BigEndian.Uint16(b)))
		out.Uint(k.dport, uint64(binary.BigEndian.Uint16(b[2:])))
	}
}
