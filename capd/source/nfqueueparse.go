package source

import (
	"encoding/binary"

	"weir/proto/pkt"
)

// What the kernel sends for a packet: a netlink message whose body is 4 bytes
// (family, version, queue) and attributes. Headers are in host byte order, values in
// network byte order; see linux/netfilter/nfnetlink_queue.h. These numbers are part
// of the format, do not change.
const (
	msgHeader   = 16 // struct nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32
	queueHeader = 4  // struct nfgenmsg: family u8, version u8, queue u16 in network order
	attrHeader  = 4  // struct nlattr: length u16, type u16

	msgError        = 2
	msgPacket       = 3 << 8 // NFNL_SUBSYS_QUEUE<<8 | NFQNL_MSG_*
	msgVerdict      = 3<<8 | 1
	msgConfig       = 3<<8 | 2
	msgVerdictBatch = 3<<8 | 3

	attrTypeMask = 1<<14 - 1 // above are NLA_F_NESTED and NLA_F_NET_BYTEORDER

	attrPacket    = 1 // id u32, EtherType u16, hook u8
	attrVerdict   = 2
	attrMark      = 3
	attrTimestamp = 4 // seconds u64, microseconds u64
	attrIn        = 5
	attrOut       = 6
	attrPhysIn    = 7
	attrPhysOut   = 8
	attrHWAddr    = 9 // length u16, 2 bytes of nothing, address
	attrPayload   = 10
	attrConntrack = 11 // nested
	attrCTInfo    = 12
	attrCapLen    = 13 // length before it was cut
	attrSKBInfo   = 14
	attrVLAN      = 19 // nested
	attrL2        = 20 // link header, in bridges only
	attrVLANProto = 1
	attrVLANTCI   = 2
	attrCTMark    = 8
	attrCTID      = 12
	skbNoChecksum = 1 << 0 // not filled in yet
	skbGSO        = 1 << 1
	familyBridge  = 7
	vlanTagSize   = 4

	linktypeEthernet = 1
	linktypeRaw      = 101 // an IP header comes first

	maxLinkHeader  = 64
	ethernetHeader = 14
)

// QueueMeta is what a queue knows of a packet beyond its Frame.
type QueueMeta struct {
	Family   uint8  // AF_INET, AF_INET6, AF_BRIDGE
	Hook     uint8  // of the family
	Protocol uint16 // EtherType
	HWAddr   [8]byte
	HWLen    uint8 // bytes of HWAddr; 0: the packet has no sender's hardware address

	NoChecksum bool // the transport checksum is left for the hardware to fill in

	HasConntrack         bool // the next three are known
	CTInfo, CTID, CTMark uint32
}

// queued is one message about a packet, read.
type queued struct {
	meta               QueueMeta
	id, mark, skbInfo  uint32
	in, out            uint32
	physIn, physOut    uint32
	capLen             uint32
	vlanProto, vlanTCI uint16
	hasID, hasVLAN     bool
	ts                 uint64 // ns since the epoch, 0 without
	start, end         int    // of the payload in the message; start 0: none
	link               []byte // in the message
}

// parse reads a message. It reports false when the message breaks the format; what
// stood before the break is in p, the packet's number first of all.
func (p *queued) parse(msg []byte) bool {
	*p = queued{}
	if len(msg) < msgHeader+queueHeader {
		return false
	}
	p.meta.Family = msg[msgHeader]
	b := msg[msgHeader+queueHeader:]
	for len(b) > 0 {
		typ, v, rest, ok := attribute(b)
		if !ok || len(v) < attrSize[min(typ, attrL2)] {
			return false
		}
		if typ == attrPayload {
			p.start = len(msg) - len(b) + attrHeader
			p.end = p.start + len(v)
		} else if !p.attribute(typ, v) {
			return false
		}
		b = rest
	}
	return p.hasID
}

// attrSize is the least length of each attribute's value.
var attrSize = [attrL2 + 1]int{
	attrPacket: 7, attrMark: 4, attrTimestamp: 16, attrIn: 4, attrOut: 4, attrPhysIn: 4, attrPhysOut: 4,
	attrHWAddr: 12, attrCTInfo: 4, attrCapLen: 4, attrSKBInfo: 4,
}

// attribute takes in one value. Precondition: len(v) >= attrSize[typ].
func (p *queued) attribute(typ uint16, v []byte) bool {
	be := binary.BigEndian
	switch typ {
	case attrPacket:
		p.id, p.hasID = be.Uint32(v), true
		p.meta.Protocol, p.meta.Hook = be.Uint16(v[4:]), v[6]
	case attrMark:
		p.mark = be.Uint32(v)
	case attrTimestamp:
		p.ts = be.Uint64(v)*1e9 + be.Uint64(v[8:])*1e3
	case attrIn:
		p.in = be.Uint32(v)
	case attrOut:
		p.out = be.Uint32(v)
	case attrPhysIn:
		p.physIn = be.Uint32(v)
	case attrPhysOut:
		p.physOut = be.Uint32(v)
	case attrHWAddr:
		p.meta.HWLen = uint8(min(be.Uint16(v), 8))
		copy(p.meta.HWAddr[:], v[4:12])
	case attrCTInfo:
		p.meta.CTInfo = be.Uint32(v)
	case attrCapLen:
		p.capLen = be.Uint32(v)
	case attrSKBInfo:
		p.skbInfo = be.Uint32(v)
		p.meta.NoChecksum = p.skbInfo&skbNoChecksum != 0
	case attrL2:
		p.link = v
	case attrConntrack, attrVLAN:
		return p.nested(typ, v)
	}
	return true
}

// nested takes in a value that is made of attributes.
func (p *queued) nested(outer uint16, b []byte) bool {
	be := binary.BigEndian
	p.meta.HasConntrack = p.meta.HasConntrack || outer == attrConntrack
	for len(b) > 0 {
		typ, v, rest, ok := attribute(b)
		if !ok {
			return false
		}
		b = rest
		switch {
		case outer == attrConntrack && typ == attrCTMark && len(v) >= 4:
			p.meta.CTMark = be.Uint32(v)
		case outer == attrConntrack && typ == attrCTID && len(v) >= 4:
			p.meta.CTID = be.Uint32(v)
		case outer == attrVLAN && typ == attrVLANProto && len(v) >= 2:
			p.vlanProto = be.Uint16(v)
		case outer == attrVLAN && typ == attrVLANTCI && len(v) >= 2:
			p.vlanTCI, p.hasVLAN = be.Uint16(v), true
		}
	}
	return true
}

// fill fills the parts of f that the message has. A packet of a bridge gets its link
// header back, its VLAN tag with it: they are put into msg right before the payload,
// over attributes that have been read.
func (p *queued) fill(f *Frame, msg []byte) {
	f.Flags = pkt.FlagNFQ
	f.ID, f.Mark, f.TS = p.id, p.mark, p.ts
	f.Link, f.Data = linktypeRaw, msg[p.start:p.end:p.end]
	f.WireLen = max(p.capLen, uint32(len(f.Data)))
	if p.meta.Family == familyBridge && len(p.link) >= ethernetHeader && len(p.link) <= maxLinkHeader {
		p.putLink(f, msg)
	}
	if f.WireLen > uint32(len(f.Data)) {
		f.Flags |= pkt.FlagTruncated
	}
	if p.skbInfo&skbGSO != 0 {
		f.Flags |= pkt.FlagGSO
	}
	if p.in == 0 && p.physIn == 0 {
		f.Flags |= pkt.FlagOutgoing // nothing brought it here
	}
}

func (p *queued) putLink(f *Frame, msg []byte) {
	var h [maxLinkHeader + vlanTagSize]byte
	n := copy(h[:], p.link[:12])
	if p.hasVLAN {
		binary.BigEndian.PutUint16(h[n:], p.vlanProto)
		binary.BigEndian.PutUint16(h[n+2:], p.vlanTCI)
		n += vlanTagSize
	}
	n += copy(h[n:], p.link[12:])
	if p.start < n {
		return // only a message that no kernel makes
	}
	copy(msg[p.start-n:p.start], h[:n])
	f.Data = msg[p.start-n : p.end : p.end]
	f.Link = linktypeEthernet
	f.WireLen += uint32(n)
}

// interfaces returns the kernel's numbers of the interfaces the packet came in by and
// leaves by; of a bridge its ports. An unknown one is the other.
func (p *queued) interfaces() (in, out uint32) {
	in, out = p.in, p.out
	if p.meta.Family == familyBridge {
		in, out = nonZero(p.physIn, in), nonZero(p.physOut, out)
	}
	return nonZero(in, out), nonZero(out, in)
}

func nonZero(a, b uint32) uint32 {
	if a != 0 {
		return a
	}
	return b
}

// netlinkMessage cuts the first message off b. ok is false when there is none.
func netlinkMessage(b []byte) (typ uint16, msg, rest []byte, ok bool) {
	if len(b) < msgHeader {
		return 0, nil, nil, false
	}
	n := binary.NativeEndian.Uint32(b)
	if n < msgHeader || uint64(n) > uint64(len(b)) {
		return 0, nil, nil, false
	}
	return binary.NativeEndian.Uint16(b[4:]), b[:n:n], b[min(align(int(n)), len(b)):], true
}

// attribute cuts the first attribute off b. ok is false when there is none.
func attribute(b []byte) (typ uint16, value, rest []byte, ok bool) {
	if len(b) < attrHeader {
		return 0, nil, nil, false
	}
	n := int(binary.NativeEndian.Uint16(b))
	if n < attrHeader || n > len(b) {
		return 0, nil, nil, false
	}
	return binary.NativeEndian.Uint16(b[2:]) & attrTypeMask, b[attrHeader:n:n], b[min(align(n), len(b)):], true
}

// align rounds up to where netlink lets the next header begin.
func align(n int) int { return (n + 3) &^ 3 }
