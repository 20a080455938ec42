package steer

import "weir/proto/pkt"

// IP protocol numbers that mean something to the parser.
const (
	protoHopByHop = 0
	protoIPIP     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAH       = 51
	protoNone     = 59
	protoDestOpts = 60
	protoEtherIP  = 97
	protoMPLS     = 137
)

// maxExtensions bounds the extension headers of a packet; RFC 8200 section 4.1
// knows seven that may stand in one.
const maxExtensions = 8

// ipv4 reads an IPv4 header, RFC 791. Like the kernel it refuses a packet that
// claims more than the frame had on the wire; that the capture kept less is no
// fault of the packet.
func (p *Packet) ipv4(off, end int) Outcome {
	if !p.has(off, 20) {
		return Short
	}
	h := p.b[off : off+20 : off+20]
	head := int(h[0]&15) * 4
	if h[0]>>4 != 4 || head < 20 {
		return IPHeader
	}
	total := int(be16(h[2:]))
	if total == 0 {
		total = end - off // segmentation was left to the interface
	}
	if total < head || total > end-off {
		return IPLength
	}
	p.Key.Version = 4
	p.Fields.Flags &^= pkt.FlagIPv6
	p.Prefix.L3 = uint16(off)
	p.src, p.dst = v4(h[12:]), v4(h[16:])
	if word := be16(h[6:]); word&0x3fff != 0 { // more fragments, or an offset
		p.frag = fragment{
			l3: off, head: off + head, data: off + head, end: off + total,
			off: int(word&0x1fff) * 8, more: word&0x2000 != 0,
			id: uint32(be16(h[4:])), proto: h[9],
		}
		return p.checkFragment()
	}
	return p.transport(h[9], off+head, off+total)
}

// ipv6 reads the fixed header, RFC 8200 section 3.
func (p *Packet) ipv6(off, end int) Outcome {
	if !p.has(off, 40) {
		return Short
	}
	h := p.b[off : off+40 : off+40]
	if h[0]>>4 != 6 {
		return IPHeader
	}
	next, n := h[6], int(be16(h[4:]))
	if n == 0 && next != protoNone {
		n = end - off - 40 // jumbogram, or segmentation was left to the interface
	}
	if n < 0 || n > end-off-40 {
		return IPLength
	}
	p.Key.Version = 6
	p.Fields.Flags |= pkt.FlagIPv6
	p.Prefix.L3 = uint16(off)
	p.src, p.dst = v6(h[8:]), v6(h[24:])
	return p.extensions(next, off, off+40+n)
}

// extensions walks from the fixed header at l3 to the transport header.
func (p *Packet) extensions(next uint8, l3, end int) Outcome {
	off, named := l3+40, l3+6 // named is where next was read
	for range maxExtensions {
		switch next {
		case protoHopByHop, protoRouting, protoDestOpts:
			if end-off < 8 {
				return ExtHeader
			}
			if !p.has(off, 2) {
				return Short
			}
			next, named, off = p.b[off], off, off+8+8*int(p.b[off+1])
			if off > end {
				return ExtHeader
			}
		case protoFragment:
			if end-off < 8 {
				return ExtHeader
			}
			if !p.has(off, 8) {
				return Short
			}
			if be16(p.b[off+2:])&0xfff9 != 0 {
				return p.fragment6(l3, named, off, end)
			}
			// An atomic fragment is all of its datagram and is handled apart
			// from all others, RFC 6946: as if it were none.
			next, named, off = p.b[off], off, off+8
		default:
			return p.transport(next, off, end)
		}
	}
	return ExtHeader
}

// fragment6 reads the fragment header at off, RFC 8200 section 4.5.
// Precondition: its 8 bytes were captured.
func (p *Packet) fragment6(l3, named, off, end int) Outcome {
	h := p.b[off : off+8 : off+8]
	word := be16(h[2:])
	p.frag = fragment{
		l3: l3, head: off, data: off + 8, end: end,
		off: int(word & 0xfff8), more: word&1 != 0,
		id: be32(h[4:]), proto: h[0], named: named,
	}
	return p.checkFragment()
}
