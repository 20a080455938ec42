package main

import (
	"encoding/binary"
	"net/netip"
)

// rewriter gives one copy of one capture client addresses of its own, so that its
// flows are new ones. A private address is the client's; where both are public, the
// end with the higher port is. Multicast addresses stay. Checksums are updated.
type rewriter struct{ capture, copy uint64 }

// mix64 is the finaliser of SplitMix64: a different address for each input.
func mix64(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func (w rewriter) hash(a uint64) uint64 {
	return mix64(mix64(a^w.capture<<40^w.copy<<20) + 0x9e3779b97f4a7c15)
}

func (w rewriter) v4(a uint32) uint32 { return 10<<24 | uint32(w.hash(uint64(a)))&0xffffff }

// v6Delta is what the low half of the routing prefix is changed by.
func (w rewriter) v6Delta(word uint32) uint32 { return uint32(w.hash(uint64(word) | 1<<63)) }

func private4(a uint32) bool { return a>>24 == 10 || a>>20 == 0xac1 || a>>16 == 0xc0a8 }

// which4 says which ends of an IPv4 flow are rewritten. ports says that they are known.
func which4(src, dst uint32, sport, dport uint16, ports bool) (s, d bool) {
	s, d = private4(src), private4(dst)
	if !s && !d {
		s = src < dst
		if ports && sport != dport {
			s = sport > dport
		}
		d = !s
	}
	if dst>>28 >= 14 {
		s, d = true, false
	}
	if src>>28 >= 14 {
		s = false
	}
	return s, d
}

// which6 says whether the source, rather than the destination, is rewritten.
func which6(src, dst netip.Addr, sport, dport uint16, ports bool) bool {
	if dst.IsMulticast() {
		return true
	}
	if src.IsMulticast() {
		return false
	}
	if ports && sport != dport {
		return sport > dport
	}
	return src.Less(dst)
}

func (w rewriter) addr6(a netip.Addr) netip.Addr {
	if a.IsMulticast() {
		return a
	}
	x := a.As16()
	word := x[12:16]
	binary.BigEndian.PutUint32(word, binary.BigEndian.Uint32(word)^w.v6Delta(binary.BigEndian.Uint32(word)))
	return netip.AddrFrom16(x)
}

// frame rewrites an Ethernet frame in place.
func (w rewriter) frame(d []byte) {
	if len(d) < 34 {
		return
	}
	o, typ := 12, binary.BigEndian.Uint16(d[12:])
	for (typ == 0x8100 || typ == 0x88a8) && o+6 <= len(d) {
		o += 4
		typ = binary.BigEndian.Uint16(d[o:])
	}
	d = d[o+2:]
	switch {
	case typ == 0x0800 && len(d) >= 20 && d[0]>>4 == 4:
		w.ipv4(d)
	case typ == 0x86dd && len(d) >= 40:
		w.ipv6(d)
	}
}

func (w rewriter) ipv4(d []byte) {
	l4, proto := int(d[0]&15)*4, d[9]
	first := binary.BigEndian.Uint16(d[6:])&0x1fff == 0
	src, dst := binary.BigEndian.Uint32(d[12:]), binary.BigEndian.Uint32(d[16:])
	var sport, dport uint16
	ports := (proto == 6 || proto == 17) && first && len(d) >= l4+4
	if ports {
		sport, dport = binary.BigEndian.Uint16(d[l4:]), binary.BigEndian.Uint16(d[l4+2:])
	}
	s, t := which4(src, dst, sport, dport, ports)
	change := func(at int, old uint32) {
		now := w.v4(old)
		binary.BigEndian.PutUint32(d[at:], now)
		patch(d[10:12], old, now)
		if first {
			patchTransport(d, l4, proto, old, now)
		}
	}
	if s {
		change(12, src)
	}
	if t {
		change(16, dst)
	}
}

func (w rewriter) ipv6(d []byte) {
	src, dst := netip.AddrFrom16([16]byte(d[8:24])), netip.AddrFrom16([16]byte(d[24:40]))
	proto := d[6]
	var sport, dport uint16
	ports := (proto == 6 || proto == 17) && len(d) >= 44
	if ports {
		sport, dport = binary.BigEndian.Uint16(d[40:]), binary.BigEndian.Uint16(d[42:])
	}
	at, addr := 24, dst
	if which6(src, dst, sport, dport, ports) {
		at, addr = 8, src
	}
	now := w.addr6(addr).As16()
	old := binary.BigEndian.Uint32(d[at+12:])
	copy(d[at:], now[:])
	patchTransport(d, 40, proto, old, binary.BigEndian.Uint32(now[12:]))
}

// patchTransport corrects the checksum of a transport whose pseudo header changed.
func patchTransport(d []byte, l4 int, proto uint8, old, now uint32) {
	at := -1
	switch proto {
	case 6:
		at = l4 + 16
	case 17:
		at = l4 + 6
	case 58:
		at = l4 + 2
	}
	if at < 0 || len(d) < at+2 || proto == 17 && d[at] == 0 && d[at+1] == 0 {
		return
	}
	patch(d[at:at+2], old, now)
}

// patch updates an Internet checksum for a 32-bit word that changed, RFC 1624.
func patch(sum []byte, old, now uint32) {
	x := uint32(^binary.BigEndian.Uint16(sum))
	x += ^old>>16&0xffff + ^old&0xffff + now>>16 + now&0xffff
	x = x&0xffff + x>>16
	x = x&0xffff + x>>16
	binary.BigEndian.PutUint16(sum, ^uint16(x))
}
