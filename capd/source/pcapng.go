package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Block types of pcapng, draft-ietf-opsawg-pcapng section 4. All other blocks
// (names, statistics, secrets, comments) are stepped over.
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockOldPacket = 2 // obsolete Packet Block
	blockSimple    = 3
	blockPacket    = 6 // Enhanced Packet Block
)

const (
	orderMagic     = 0x1a2b3c4d
	blockOverhead  = 12 // type, length, length again at the end
	packetData     = 28 // offset of the data in an Enhanced or old Packet Block
	simpleData     = 12 // offset of the data in a Simple Packet Block
	maxInterfaces  = math.MaxUint16
	maxNameBytes   = 255
	optEnd         = 0
	optName        = 2
	optResolution  = 9
	optTimeOffset  = 14
	interfaceFixed = 16 // offset of the options in an Interface Description Block
)

// pcapng reads the block format. Interfaces are numbered through the whole
// file, also when it has several sections.
type pcapng struct {
	*blocks
	name     string
	big      bool
	unpacked bool
	first    int // number of the section's first interface
	ifs      []ngInterface
	last     uint64 // time of the last packet; simple packets carry none
	failed   error
}

type ngInterface struct {
	Interface
	snap  uint32
	clock ngClock
}

// openPcapng checks that the file starts with a section header block.
func openPcapng(name string, b *blocks, unpacked bool) (*pcapng, error) {
	p := &pcapng{blocks: b, name: name, unpacked: unpacked}
	if !b.want(blockOverhead) {
		return nil, p.fail(0, fmt.Errorf("section header block: %w: %d of 28 bytes", b.short(), len(b.peek())))
	}
	// The file is called broken here only where that makes it no pcapng at all.
	switch m := binary.LittleEndian.Uint32(b.peek()[8:]); m {
	case orderMagic, swap32(orderMagic):
		return p, nil
	default:
		return nil, p.fail(0, fmt.Errorf("%w: byte order magic %#08x in the section header block", ErrFormat, m))
	}
}

func swap32(v uint32) uint32 {
	return v>>24 | v>>8&0xff00 | v<<8&0xff0000 | v<<24
}

func (p *pcapng) u32(b []byte) uint32 {
	if p.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (p *pcapng) u16(b []byte) uint16 {
	if p.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

// Next implements Source.
func (p *pcapng) Next(f *Frame) error {
	for p.failed == nil {
		start := p.off
		typ, body, err := p.block()
		if err != nil {
			return p.fail(start, err)
		}
		found := false
		switch typ {
		case blockPacket, blockOldPacket:
			found, err = true, p.packet(typ, body, f)
		case blockSimple:
			found, err = true, p.simple(body, f)
		case blockInterface:
			err = p.describe(body)
		case blockSection:
			err = p.section(body)
		}
		if err != nil {
			return p.fail(start, err)
		}
		if found {
			return nil
		}
	}
	return p.failed
}

// block takes the next block. The body, all of it but the length at the end, is
// given only for the blocks that Next looks into.
func (p *pcapng) block() (typ uint32, body []byte, err error) {
	if !p.want(blockOverhead) {
		n := len(p.peek())
		if n == 0 && errors.Is(p.err, io.EOF) {
			return 0, nil, io.EOF
		}
		return 0, nil, fmt.Errorf("block header: %w: %d of %d bytes", p.short(), n, blockOverhead)
	}
	h := p.peek()[:blockOverhead:blockOverhead]
	typ = p.u32(h)
	if typ == blockSection { // reads the same both ways; the word after the length tells the order
		switch binary.LittleEndian.Uint32(h[8:]) {
		case orderMagic:
			p.big = false
		case swap32(orderMagic):
			p.big = true
		default:
			return 0, nil, fmt.Errorf("section header block: %w: byte order magic %#08x", ErrCorrupt, p.u32(h[8:]))
		}
	}
	total := p.u32(h[4:])
	if total < blockOverhead || total%4 != 0 {
		return 0, nil, fmt.Errorf("block of type %#x: %w: length %d", typ, ErrCorrupt, total)
	}
	switch typ {
	case blockPacket, blockOldPacket, blockSimple, blockInterface, blockSection:
	default:
		return typ, nil, p.pass(typ, total)
	}
	if total > maxBlock {
		return 0, nil, fmt.Errorf("block of type %#x: %w: length %d, limit %d", typ, ErrCorrupt, total, maxBlock)
	}
	n := int(total)
	if !p.want(n) {
		return 0, nil, fmt.Errorf("block of type %#x: %w: %d of %d bytes", typ, p.short(), len(p.peek()), n)
	}
	b := p.peek()[:n:n]
	if again := p.u32(b[n-4:]); again != total {
		return 0, nil, fmt.Errorf("block of type %#x: %w: length %d, %d at its end", typ, ErrCorrupt, total, again)
	}
	p.take(n)
	return typ, b[: n-4 : n-4], nil
}

// pass steps over a block of any length.
func (p *pcapng) pass(typ, total uint32) error {
	if !p.skip(int64(total)-4) || !p.want(4) {
		return fmt.Errorf("block of type %#x: %w: length %d", typ, p.short(), total)
	}
	if again := p.u32(p.peek()); again != total {
		return fmt.Errorf("block of type %#x: %w: length %d, %d at its end", typ, ErrCorrupt, total, again)
	}
	p.take(4)
	return nil
}

func (p *pcapng) section(b []byte) error {
	if len(b) < 24 {
		return fmt.Errorf("section header block: %w: length %d", ErrCorrupt, len(b)+4)
	}
	if major := p.u16(b[12:]); major != 1 {
		return fmt.Errorf("section header block: %w: pcapng version %d.%d, want 1.x", ErrFormat, major, p.u16(b[14:]))
	}
	p.first = len(p.ifs)
	return nil
}

func (p *pcapng) packet(typ uint32, b []byte, f *Frame) error {
	if len(b) < packetData {
		return fmt.Errorf("packet block: %w: length %d", ErrCorrupt, len(b)+4)
	}
	id := p.u32(b[8:])
	if typ == blockOldPacket {
		id = uint32(p.u16(b[8:])) // the other half counts drops
	}
	i := p.lookup(id)
	if i == nil {
		return fmt.Errorf("packet block: %w: interface %d of %d", ErrCorrupt, id, len(p.ifs)-p.first)
	}
	captured, wire := p.u32(b[20:]), p.u32(b[24:])
	data := b[packetData:]
	if captured > MaxFrame || int(captured) > len(data) {
		return fmt.Errorf("packet block: %w: %d captured bytes, room for %d, limit %d", ErrCorrupt, captured, len(data), MaxFrame)
	}
	p.last = i.clock.ns(uint64(p.u32(b[12:]))<<32 | uint64(p.u32(b[16:])))
	f.TS = p.last
	f.WireLen = max(wire, captured)
	f.Link = i.Link
	f.If = uint16(p.first + int(id))
	f.Data = data[:captured:captured]
	return nil
}

// simple reads a Simple Packet Block: first interface of the section, no time,
// as many bytes as the snap length and the block allow.
func (p *pcapng) simple(b []byte, f *Frame) error {
	i := p.lookup(0)
	if len(b) < simpleData || i == nil {
		return fmt.Errorf("simple packet block: %w: length %d, %d interfaces", ErrCorrupt, len(b)+4, len(p.ifs)-p.first)
	}
	wire := p.u32(b[8:])
	captured := min(wire, uint32(len(b)-simpleData))
	if i.snap != 0 {
		captured = min(captured, i.snap)
	}
	if captured > MaxFrame {
		return fmt.Errorf("simple packet block: %w: %d captured bytes, limit %d", ErrCorrupt, captured, MaxFrame)
	}
	f.TS = p.last
	f.WireLen = wire
	f.Link = i.Link
	f.If = uint16(p.first)
	f.Data = b[simpleData : simpleData+captured : simpleData+captured]
	return nil
}

// lookup returns the section's interface id, nil when there is none.
func (p *pcapng) lookup(id uint32) *ngInterface {
	if s := p.ifs[p.first:]; uint64(id) < uint64(len(s)) {
		return &s[id]
	}
	return nil
}

func (p *pcapng) fail(at int64, err error) error {
	if p.failed == nil {
		p.failed = err
		if !errors.Is(err, io.EOF) { // only a clean end is io.EOF
			p.failed = &Error{Name: p.name, Offset: at, Unpacked: p.unpacked, Err: err}
		}
	}
	return p.failed
}

func (p *pcapng) interfaces() []Interface {
	out := make([]Interface, len(p.ifs))
	for i := range p.ifs {
		out[i] = p.ifs[i].Interface
	}
	return out
}
