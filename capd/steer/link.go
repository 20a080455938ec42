package steer

import (
	"encoding/binary"

	"weir/proto/pkt"
)

// Link types, https://www.tcpdump.org/linktypes.html.
const (
	linkNull     = 0
	linkEthernet = 1
	linkPPP      = 9
	linkRaw12    = 12 // DLT_RAW as some systems wrote it to files
	linkRaw14    = 14
	linkPPPHDLC  = 50
	linkPPPoE    = 51
	linkRaw      = 101
	linkCHDLC    = 104
	linkLoop     = 108
	linkSLL      = 113
	linkPPI      = 192
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// packetOutgoing is PACKET_OUTGOING of <linux/if_packet.h>.
const packetOutgoing = 4

// link reads the header of link type typ at off. Here and below, end is where
// the enclosing layer ended on the wire.
func (p *Packet) link(typ uint32, off, end int) Outcome {
	switch typ {
	case linkEthernet:
		return p.ethernet(off, end)
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		return p.rawIP(off, end)
	case linkSLL:
		return p.cooked(off, end)
	case linkSLL2:
		return p.cooked2(off, end)
	case linkNull, linkLoop:
		return p.loopback(off, end)
	case linkPPP, linkPPPHDLC:
		if p.has(off, 1) && (p.b[off] == 0x0f || p.b[off] == 0x8f) {
			return p.ciscoHDLC(off, end) // both framings occur under these types
		}
		return p.ppp(off, end)
	case linkCHDLC:
		return p.ciscoHDLC(off, end)
	case linkPPPoE:
		return p.pppoe(off, end)
	case linkPPI:
		return p.ppi(off, end)
	}
	return UnknownLink
}

// Reads reports whether frames of link type typ can be read.
func Reads(typ uint32) bool {
	return (&Packet{}).link(typ, 0, 0) != UnknownLink
}

func (p *Packet) ethernet(off, end int) Outcome {
	if !p.has(off, 14) {
		return Short
	}
	return p.etherType(be16(p.b[off+12:]), off+14, end)
}

// rawIP reads an IP header of either version.
func (p *Packet) rawIP(off, end int) Outcome {
	if !p.has(off, 1) {
		return Short
	}
	switch p.b[off] >> 4 {
	case 4:
		return p.ipv4(off, end)
	case 6:
		return p.ipv6(off, end)
	}
	return IPHeader
}

// cooked reads Linux cooked capture v1: packet type, ARPHRD, address length,
// 8 bytes of address, protocol.
func (p *Packet) cooked(off, end int) Outcome {
	if !p.has(off, 16) {
		return Short
	}
	if be16(p.b[off:]) == packetOutgoing {
		p.Fields.Flags |= pkt.FlagOutgoing
	}
	return p.cookedProtocol(be16(p.b[off+14:]), off+16, end)
}

// cooked2 reads v2: protocol, 2 bytes, interface index, ARPHRD, packet type,
// address length, 8 bytes of address.
func (p *Packet) cooked2(off, end int) Outcome {
	if !p.has(off, 20) {
		return Short
	}
	if p.b[off+10] == packetOutgoing {
		p.Fields.Flags |= pkt.FlagOutgoing
	}
	return p.cookedProtocol(be16(p.b[off:]), off+20, end)
}

// cookedProtocol is an EtherType, or below 1536 one of Linux' own numbers.
func (p *Packet) cookedProtocol(typ uint16, off, end int) Outcome {
	if typ == 4 { // LINUX_SLL_P_802_2
		return p.llc(off, end)
	}
	if typ < 0x0600 {
		return NonIP
	}
	return p.etherType(typ, off, end)
}

// loopback reads the address family that BSD puts first, in the byte order of
// the capturing host (NULL) or the network's (LOOP); the small one of the two
// readings is right. IPv6 has a number for every system.
func (p *Packet) loopback(off, end int) Outcome {
	if !p.has(off, 4) {
		return Short
	}
	h := p.b[off : off+4 : off+4]
	switch min(binary.LittleEndian.Uint32(h), binary.BigEndian.Uint32(h)) {
	case 2:
		return p.ipv4(off+4, end)
	case 10, 23, 24, 28, 30:
		return p.ipv6(off+4, end)
	}
	return NonIP
}

// ppi reads the Per-Packet Information header and goes on with the link type it names.
func (p *Packet) ppi(off, end int) Outcome {
	if !p.has(off, 8) {
		return Short
	}
	n := int(binary.LittleEndian.Uint16(p.b[off+2:]))
	typ := binary.LittleEndian.Uint32(p.b[off+4:])
	if n < 8 || typ == linkPPI {
		return UnknownLink
	}
	if !p.has(off, n) {
		return Short
	}
	return p.link(typ, off+n, end)
}

// ciscoHDLC reads address, control and an EtherType.
func (p *Packet) ciscoHDLC(off, end int) Outcome {
	if !p.has(off, 4) {
		return Short
	}
	return p.etherType(be16(p.b[off+2:]), off+4, end)
}

// ppp reads RFC 1662 framing (address and control may be left out) and the
// protocol number, which is one byte when the peers agreed to compress it.
func (p *Packet) ppp(off, end int) Outcome {
	if p.has(off, 2) && be16(p.b[off:]) == 0xff03 {
		off += 2
	}
	if !p.has(off, 2) {
		return Short
	}
	proto := be16(p.b[off:])
	n := 2
	if p.b[off]&1 != 0 {
		proto, n = uint16(p.b[off]), 1
	}
	switch proto {
	case 0x0021:
		return p.ipv4(off+n, end)
	case 0x0057:
		return p.ipv6(off+n, end)
	case 0x0281, 0x0283:
		return p.mpls(off+n, end)
	}
	return NonIP // control protocols, compressed or encrypted data
}
