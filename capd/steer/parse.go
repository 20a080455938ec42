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
	src, dst address
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
	if f.Link == linkEthernet && p.fast(f) {
		return Delivered
	}
	return p.layerwise(f)
}

// layerwise goes through the layers one by one.
func (p *Packet) layerwise(f *source.Frame) Outcome {
	p.start(f)
	return p.link(f.Link, 0, p.wireEnd())
}

// start forgets the frame before.
func (p *Packet) start(f *source.Frame) {
	p.b = f.Data
	p.depth, p.layers = 0, 0
	p.Key.VLAN = 0
	p.Key.IfA, p.Key.IfB = f.If, f.If
	p.begin(f)
	if p.Fields.CapLen < f.WireLen {
		p.Fields.Flags = pkt.FlagTruncated
	}
	if f.Link == linkEthernet {
		p.Fields.Flags |= pkt.FlagEthernet // dpid keeps the addresses
	}
}

// begin sets Fields and Prefix to what the frame says before it is looked into.
// Field by field: a composite literal is built on the stack in small pieces and
// copied in large ones, which costs more than all of the parsing.
func (p *Packet) begin(f *source.Frame) {
	x := &p.Prefix
	x.In, x.Out = f.If, f.If
	x.Mark, x.VLAN, x.L3, x.L4, x.Data = 0, 0, 0, 0, 0
	y := &p.Fields
	y.TS, y.HashLo, y.HashHi = f.TS, 0, 0
	y.WireLen, y.CapLen = f.WireLen, uint32(len(f.Data))
	y.Seq, y.Ack, y.Ordinal = 0, 0, 0
	y.L4Len, y.Flags, y.TCPFlags = 0, 0, 0
	y.Kind, y.IPProto, y.Link = pkt.KindPacket, 0, pkt.LinkPlain
}

// wireEnd returns where the frame ended on the wire, counted in p.b, which the
// capture may have cut.
func (p *Packet) wireEnd() int {
	return max(len(p.b), int(min(p.Fields.WireLen, maxWire)))
}

// has reports whether n bytes at off were captured.
func (p *Packet) has(off, n int) bool { return len(p.b)-off >= n }

// address is a 16-byte address as two numbers. Bytes that go from the frame to
// the key by way of smaller or larger pieces than they are read in cost a stall
// of the store buffer each time; words are what the hash reads.
type address struct{ hi, lo uint64 }

// v4 is the form ::ffff:a.b.c.d of an IPv4 address.
func v4(b []byte) address { return address{lo: 0xffff<<32 | uint64(be32(b))} }

func v6(b []byte) address {
	b = b[:16:16]
	return address{hi: binary.BigEndian.Uint64(b), lo: binary.BigEndian.Uint64(b[8:])}
}

func (a address) put(b *[16]byte) {
	binary.BigEndian.PutUint64(b[0:8], a.hi)
	binary.BigEndian.PutUint64(b[8:16], a.lo)
}

// bytes returns the 16 bytes.
func (a address) bytes() (b [16]byte) {
	a.put(&b)
	return b
}

// ports makes the key from the addresses that the network layer left in p. It is
// flowkey.Key.Set on words; a test holds the two together. It is called once, for
// the header whose flow counts.
func (p *Packet) ports(proto uint8, sport, dport uint16) {
	p.Key.Proto = proto
	p.Fields.IPProto = proto
	a, b := &p.src, &p.dst
	if a.hi > b.hi || a.hi == b.hi && (a.lo > b.lo || a.lo == b.lo && sport > dport) {
		p.Fields.Flags |= pkt.FlagReverse
		a, b, sport, dport = b, a, dport, sport
	}
	a.put(&p.Key.A)
	b.put(&p.Key.B)
	p.Key.PortA, p.Key.PortB = sport, dport
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
