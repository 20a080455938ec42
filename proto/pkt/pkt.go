// Package pkt is the layout of what capd hands to dpid: one 64-byte descriptor
// per packet and, when a payload travels with it, a 16-byte prefix before the
// captured frame.
//
// It holds layout and accessors only: no ring, no parser, no I/O. All fields are
// little-endian. Descriptor and Prefix are views of ring memory: they die with
// the ring batch they came from.
//
//	descriptor, 64 bytes                          prefix, 16 bytes
//	  0 u64 ts (ns)      44 u32 ack                 0 u16 interface in   (interface table index)
//	  8 u64 hash low     48 u32 nfq packet id       2 u16 interface out  (same as in when unknown)
//	 16 u64 hash high    52 u16 queue               4 u32 netfilter mark
//	 24 u64 payload pos  54 u16 generation          8 u16 VLAN tag control information
//	 32 u32 wire length  56 u16 L4 payload length  10 u16 L3 offset
//	 36 u32 capt. length 58 u16 flags              12 u16 L4 offset
//	 40 u32 seq          60 u8  TCP flags          14 u16 L4 payload offset
//	                     61 u8  kind
//	                     62 u8  IP protocol
//	                     63 u8  link (tunnel kind)
//
// The offsets in the prefix count from the first byte of the frame, that is from
// prefix+16. Offset 24 (payload position), 36 (captured length) and flag bit 0
// are also known to package shm/pktring; a test keeps the two in step.
// These constants are part of the format, do not change.
package pkt

import "encoding/binary"

// Sizes in bytes of a descriptor and of the prefix before a payload.
const (
	DescSize   = 64
	PrefixSize = 16
)

// ShortFrame is the length in bytes up to which a captured frame always travels with
// its descriptor: to copy it costs less than to ask whether anybody wants it.
const ShortFrame = 192

// Kind says what a descriptor stands for.
type Kind uint8

// Kinds of descriptors. Their values are part of the format.
const (
	KindPacket Kind = 1 // a packet of a flow
	KindLost   Kind = 2 // capd lost packets here: hash low = packets, hash high = bytes
	KindTick   Kind = 3 // packet time reached ts; nothing earlier in stream order is missing
	KindEOF    Kind = 4 // end of the capture; ts is its last packet time

	// KindAccount is what conntrack knows about the flow with this hash: an Account
	// stands behind an empty prefix.
	KindAccount Kind = 5
)

// Flags of a descriptor.
const (
	FlagPayload   = 1 << 0 // prefix and frame are in the payload area
	FlagTruncated = 1 << 1 // the capture cut the frame
	FlagReverse   = 1 << 2 // the packet's source is endpoint B of the canonical key
	FlagFragment  = 1 << 3 // frame is a datagram that capd put together from fragments
	FlagIPv6      = 1 << 4 // the flow's addresses are IPv6
	FlagGSO       = 1 << 5 // several wire segments in one frame; lengths are sums
	FlagVLAN      = 1 << 6 // the prefix carries a VLAN tag
	FlagNFQ       = 1 << 7 // came through NFQUEUE and waits for a verdict
	FlagOutgoing  = 1 << 8 // sent by this host
	FlagEthernet  = 1 << 9 // the frame begins with an Ethernet header
)

// Link kinds: what the inner flow travelled in.
const (
	LinkPlain uint8 = iota
	LinkPPPoE
	LinkMPLS
	LinkGRE
	LinkIPIP // IP-in-IP, 6in4, 4in6
	LinkVXLAN
	LinkGTPU
	LinkTeredo
	LinkCAPWAP
	LinkL2TP
	LinkGeneve
)

// LinkName returns the name of a link kind, "" for a plain one.
func LinkName(l uint8) string {
	if int(l) < len(linkNames) {
		return linkNames[l]
	}
	return "unknown"
}

var linkNames = [...]string{"", "pppoe", "mpls", "gre", "ipip", "vxlan", "gtpu", "teredo", "capwap", "l2tp", "geneve"}

// Descriptor is a view of 64 bytes.
// Precondition of every method: len(d) >= DescSize.
type Descriptor []byte

// TS returns the packet time in ns since the epoch.
func (d Descriptor) TS() uint64 { return binary.LittleEndian.Uint64(d[0:]) }

// HashLo returns the low half of the flow hash (flowkey.Hash).
func (d Descriptor) HashLo() uint64 { return binary.LittleEndian.Uint64(d[8:]) }

// HashHi returns the high half of the flow hash.
func (d Descriptor) HashHi() uint64 { return binary.LittleEndian.Uint64(d[16:]) }

// WireLen returns the length in bytes the frame had on the wire.
func (d Descriptor) WireLen() uint32 { return binary.LittleEndian.Uint32(d[32:]) }

// CapLen returns how many bytes of the frame were captured.
func (d Descriptor) CapLen() uint32 { return binary.LittleEndian.Uint32(d[36:]) }

// Seq returns the TCP sequence number, 0 when not TCP.
func (d Descriptor) Seq() uint32 { return binary.LittleEndian.Uint32(d[40:]) }

// Ack returns the TCP acknowledgement number, 0 when not TCP.
func (d Descriptor) Ack() uint32 { return binary.LittleEndian.Uint32(d[44:]) }

// NFQID returns the NFQUEUE packet id, valid with FlagNFQ.
func (d Descriptor) NFQID() uint32 { return binary.LittleEndian.Uint32(d[48:]) }

// Queue returns the NFQUEUE number, valid with FlagNFQ.
func (d Descriptor) Queue() uint16 { return binary.LittleEndian.Uint16(d[52:]) }

// Generation returns capd's generation, valid with FlagNFQ.
func (d Descriptor) Generation() uint16 { return binary.LittleEndian.Uint16(d[54:]) }

// Ordinal returns the number of packets that stood in the capture before this
// one; for ticks, before the tick. It lies over NFQID, Queue and Generation,
// which captures do not use; a restarted capd finds in it what it had published.
func (d Descriptor) Ordinal() uint64 { return binary.LittleEndian.Uint64(d[48:]) }

// L4Len returns the length of the transport payload in bytes on the wire.
func (d Descriptor) L4Len() uint16 { return binary.LittleEndian.Uint16(d[56:]) }

// Flags returns the Flag bits.
func (d Descriptor) Flags() uint16 { return binary.LittleEndian.Uint16(d[58:]) }

// TCPFlags returns the flag byte of the TCP header, 0 when not TCP.
func (d Descriptor) TCPFlags() uint8 { return d[60] }

// Kind returns what the descriptor stands for.
func (d Descriptor) Kind() Kind { return Kind(d[61]) }

// IPProto returns the IP protocol number of the flow.
func (d Descriptor) IPProto() uint8 { return d[62] }

// Link returns the tunnel kind the inner flow travelled in.
func (d Descriptor) Link() uint8 { return d[63] }

// Fields are the fields of a descriptor before they are laid out.
type Fields struct {
	TS              uint64
	HashLo, HashHi  uint64
	WireLen, CapLen uint32
	Seq, Ack        uint32
	Ordinal         uint64 // or NFQID | Queue<<32 | Generation<<48
	L4Len, Flags    uint16
	TCPFlags        uint8
	Kind            Kind
	IPProto, Link   uint8
}

// Encode lays f out in d. The payload position is left to the ring.
// Precondition: len(d) >= DescSize.
func (f *Fields) Encode(d []byte) {
	d = d[:DescSize:DescSize]
	binary.LittleEndian.PutUint64(d[0:], f.TS)
	binary.LittleEndian.PutUint64(d[8:], f.HashLo)
	binary.LittleEndian.PutUint64(d[16:], f.HashHi)
	binary.LittleEndian.PutUint32(d[32:], f.WireLen)
	binary.LittleEndian.PutUint32(d[36:], f.CapLen)
	binary.LittleEndian.PutUint32(d[40:], f.Seq)
	binary.LittleEndian.PutUint32(d[44:], f.Ack)
	binary.LittleEndian.PutUint64(d[48:], f.Ordinal)
	binary.LittleEndian.PutUint16(d[56:], f.L4Len)
	binary.LittleEndian.PutUint16(d[58:], f.Flags)
	d[60], d[61], d[62], d[63] = f.TCPFlags, uint8(f.Kind), f.IPProto, f.Link
}

// Prefix is a view of the 16 bytes before a frame.
// Precondition of every method: len(p) >= PrefixSize.
type Prefix []byte

// In returns the index of the interface the packet came in by.
func (p Prefix) In() uint16 { return binary.LittleEndian.Uint16(p[0:]) }

// Out returns the index of the interface it leaves by; In() when unknown.
func (p Prefix) Out() uint16 { return binary.LittleEndian.Uint16(p[2:]) }

// Mark returns the netfilter mark.
func (p Prefix) Mark() uint32 { return binary.LittleEndian.Uint32(p[4:]) }

// VLAN returns the VLAN tag control information, valid with FlagVLAN.
func (p Prefix) VLAN() uint16 { return binary.LittleEndian.Uint16(p[8:]) }

// L3 returns the offset in the frame of the innermost network header.
func (p Prefix) L3() int { return int(binary.LittleEndian.Uint16(p[10:])) }

// L4 returns the offset of the transport header.
func (p Prefix) L4() int { return int(binary.LittleEndian.Uint16(p[12:])) }

// Data returns the offset of the transport payload.
func (p Prefix) Data() int { return int(binary.LittleEndian.Uint16(p[14:])) }

// PrefixFields are the fields of a prefix before they are laid out.
type PrefixFields struct {
	In, Out      uint16
	Mark         uint32
	VLAN         uint16
	L3, L4, Data uint16
}

// Encode lays f out in p. Precondition: len(p) >= PrefixSize.
func (f *PrefixFields) Encode(p []byte) {
	p = p[:PrefixSize:PrefixSize]
	binary.LittleEndian.PutUint16(p[0:], f.In)
	binary.LittleEndian.PutUint16(p[2:], f.Out)
	binary.LittleEndian.PutUint32(p[4:], f.Mark)
	binary.LittleEndian.PutUint16(p[8:], f.VLAN)
	binary.LittleEndian.PutUint16(p[10:], f.L3)
	binary.LittleEndian.PutUint16(p[12:], f.L4)
	binary.LittleEndian.PutUint16(p[14:], f.Data)
}
