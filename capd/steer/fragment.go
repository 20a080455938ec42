package steer

import (
	"encoding/binary"
	"math"

	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// fragment is what the parser found out about a fragment. Offsets count from
// the first byte of the frame.
type fragment struct {
	l3    int // IP header
	head  int // end of what a datagram keeps: the IPv4 header, or all before the fragment header
	data  int // first byte of the data
	end   int // where the data ended on the wire
	named int // IPv6: the byte that names the fragment header as the next one
	off   int // of the data in the datagram
	more  bool
	id    uint32
	proto uint8
}

const (
	// maxHead bounds what stands before the data of a fragment: link header,
	// tunnels and IP header.
	maxHead = 1024

	// maxDatagram is the longest IP packet.
	maxDatagram = math.MaxUint16
)

// checkFragment refuses what no sender can mean: data that is not a multiple of
// eight although more is to follow, nothing at all, or a datagram over 65,535
// bytes (the ping of death). After it, all that stands before the data is there.
func (p *Packet) checkFragment() Outcome {
	f := &p.frag
	n := f.end - f.data
	header := f.head - f.l3
	if p.Key.Version == 6 {
		header -= 40 // its length field does not count the fixed header
	}
	switch {
	case f.data > maxHead:
		return ExtHeader
	case f.data > len(p.b):
		return Short
	case n <= 0, f.more && n%8 != 0, header+f.off+n > maxDatagram:
		return BadFragment
	}
	return Held
}

// fragmentKey is the identity of the datagram that p is a fragment of. It is not
// canonical: the ports hold the datagram's id.
func (p *Packet) fragmentKey() flowkey.Key {
	k := flowkey.Key{
		A: p.src.bytes(), B: p.dst.bytes(),
		PortA: uint16(p.frag.id >> 16), PortB: uint16(p.frag.id),
		VLAN: p.Key.VLAN, Proto: p.frag.proto, Version: p.Key.Version,
	}
	if k.Version == 6 {
		k.Proto = 0 // RFC 8200: only addresses and id; the first fragment's next header counts
	}
	return k
}

// whole makes p the packet of a complete datagram: b is the rebuilt frame with
// the IP header at l3, end is where it would end had the capture cut nothing,
// wire what its fragments took on the wire.
func (p *Packet) whole(b []byte, l3, end int, wire uint32) Outcome {
	p.b = b
	p.Fields.WireLen, p.Fields.CapLen = wire, uint32(len(b))
	p.Fields.Flags |= pkt.FlagFragment
	p.Fields.Flags &^= pkt.FlagTruncated
	if len(b) < end {
		p.Fields.Flags |= pkt.FlagTruncated
	}
	if p.Key.Version == 6 {
		return p.ipv6(l3, end)
	}
	return p.ipv4(l3, end)
}

// setWhole rewrites the IP header at b[l3:] from that of a first fragment to that
// of a datagram whose data has n bytes. Precondition: checkFragment allowed it.
func setWhole(b []byte, f *fragment, n int) {
	h := b[f.l3:f.head]
	if h[0]>>4 == 6 {
		binary.BigEndian.PutUint16(h[4:], uint16(len(h)-40+n))
		b[f.named] = f.proto
		return
	}
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+n))
	h[6], h[7] = h[6]&0x40, 0 // keeps "don't fragment"
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], checksum(h))
}

// checksum is that of RFC 1071. Precondition: len(b) is even.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(be16(b))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
