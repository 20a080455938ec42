package steer

import (
	"encoding/binary"
	"math"

	"weir/capd/source"
	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// Packet is one parsed frame. The zero value is ready; it is used again for
// every frame, so that parsing allocates nothing.
//
// After Parse said Delivered, Key, Fields and Prefix are complete but for the
// hash, the ordinal and what the driver knows. Prefix.Data is where the transport
// payload begins; for anything but TCP and UDP that is the transport header
// itself, whose meaning is left to dpid. Fields.L4Len counts from there to the
// end that the IP header gives, so that link padding is no payload, nor is
// missing what the capture cut.
type Packet struct {
	Key    flowkey.Key
	Fields pkt.Fields
	Prefix pkt.PrefixFields

	b        []byte // the frame
	src, dst [16]byte
	depth    int // tunnels entered
	layers   int // link headers read, but for plain VLAN tags
	frag     fragment
}

// be16 and be32 read network byte order.
// Precondition: b is long enough.
func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// maxWire bounds the arithmetic with a wire length that a file claims.
const maxWire = 1 << 24

// Parse takes f apart. It returns Delivered, Held for a fragment, or what is
// wrong with the frame; then the fields of p mean nothing.
func (p *Packet) Parse(f *source.Frame) Outcome {
	p.start(f)
	return p.link(f.Link, 0, p.wireEnd())
}

// start forgets the frame before.
func (p *Packet) start(f *source.Frame) {
	p.b = f.Data
	p.depth, p.layers = 0, 0
	p.Key.VLAN = 0
	p.Key.IfA, p.Key.IfB = f.If, f.If
	p.Prefix = pkt.PrefixFields{In: f.If, Out: f.If}
	p.Fields = pkt.Fields{
		TS:      f.TS,
		WireLen: f.WireLen,
		CapLen:  uint32(len(f.Data)),
		Kind:    pkt.KindPacket,
	}
	if p.Fields.CapLen < f.WireLen {
		p.Fields.Flags = pkt.FlagTruncated
	}
}

// wireEnd returns where the frame ended on the wire, counted in p.b, which the
// capture may have cut.
func (p *Packet) wireEnd() int {
	return max(len(p.b), int(min(p.Fields.WireLen, maxWire)))
}

// has reports whether n bytes at off were captured.
func (p *Packet) has(off, n int) bool { return len(p.b)-off >= n }

// ports makes the key from the addresses that the network layer left in p.
func (p *Packet) ports(proto uint8, sport, dport uint16) {
	p.Key.Proto = proto
	p.Fields.IPProto = proto
	p.Fields.Flags &^= pkt.FlagReverse // of an outer header
	if p.Key.Set(&p.src, &p.dst, sport, dport) {
		p.Fields.Flags |= pkt.FlagReverse
	}
}

// payload notes where the transport header and its payload are.
func (p *Packet) payload(l4, data, end int) Outcome {
	if data > math.MaxUint16 {
		return ExtHeader // a prefix could not say where; no real stack of headers is that long
	}
	p.Prefix.L4 = uint16(min(l4, len(p.b)))
	p.Prefix.Data = uint16(min(data, len(p.b)))
	p.Fields.L4Len = uint16(min(max(end-data, 0), math.MaxUint16))
	return Delivered
}
