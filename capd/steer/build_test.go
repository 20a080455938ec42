package steer

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"weir/capd/source"
)

// The functions below build frames from the inside out: each puts its header
// before what it is given.

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

func u16(v ...uint16) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func u32(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

var macs = []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}

func eth(typ uint16, in []byte) []byte { return cat(macs, u16(typ), in) }

func vlan(tci, typ uint16, in []byte) []byte { return cat(u16(tci, typ), in) }

// ip4 is an IPv4 packet without options.
func ip4(proto uint8, src, dst string, in []byte) []byte { return ip4opt(proto, src, dst, nil, in) }

func ip4opt(proto uint8, src, dst string, options, in []byte) []byte {
	a, b := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	n := 20 + len(options)
	h := cat([]byte{byte(0x40 | n/4), 0}, u16(uint16(n+len(in)), 7, 0), []byte{64, proto, 0, 0}, a[:], b[:], options)
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return cat(h, in)
}

// ip4frag is a fragment of an IPv4 packet; off in bytes.
func ip4frag(id uint16, off int, more bool, proto uint8, in []byte) []byte {
	b := ip4(proto, "10.0.0.1", "10.0.0.2", in)
	binary.BigEndian.PutUint16(b[4:], id)
	word := uint16(off / 8)
	if more {
		word |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], word)
	return b
}

func ip6(next uint8, src, dst string, in []byte) []byte {
	a, b := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	return cat([]byte{0x60, 0, 0, 0}, u16(uint16(len(in))), []byte{next, 64}, a[:], b[:], in)
}

// ext is an IPv6 extension header of 8*(1+words) bytes.
func ext(next uint8, words int, in []byte) []byte {
	h := make([]byte, 8*(1+words))
	h[0], h[1] = next, byte(words)
	return cat(h, in)
}

// frag6 is an IPv6 fragment header; off in bytes.
func frag6(next uint8, id uint32, off int, more bool, in []byte) []byte {
	word := uint16(off)
	if more {
		word |= 1
	}
	return cat([]byte{next, 0}, u16(word), u32(id), in)
}

func tcp(sport, dport uint16, in string) []byte {
	return cat(u16(sport, dport), u32(0x01020304, 0x05060708), []byte{0x50, 0x18}, u16(1000, 0, 0), []byte(in))
}

func udp(sport, dport uint16, in []byte) []byte {
	return cat(u16(sport, dport, uint16(8+len(in)), 0), in)
}

// inner is the packet that the encapsulations carry: 192.168.1.2:40000 to
// 192.168.1.3:443, "hello".
func inner() []byte { return ip4(6, "192.168.1.2", "192.168.1.3", tcp(40000, 443, "hello")) }

func inner6() []byte { return ip6(6, "2001:db8::2", "2001:db8::3", tcp(40000, 443, "hello")) }

// outer wraps in into Ethernet and IPv4 from 10.0.0.1 to 10.0.0.2.
func outer(proto uint8, in []byte) []byte { return eth(0x0800, ip4(proto, "10.0.0.1", "10.0.0.2", in)) }

func frame(link uint32, b []byte) *source.Frame {
	return &source.Frame{TS: 1e18, WireLen: uint32(len(b)), Link: link, If: 3, Data: b[:len(b):len(b)]}
}
