package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Magic numbers of classic pcap, as a little-endian reader sees them. The
// modified format (Alexey Kuznetzov's) has eight more bytes in a record header.
const (
	magicMicro     = 0xa1b2c3d4
	magicNano      = 0xa1b23c4d
	magicModified  = 0xa1b2cd34
	fileHeaderSize = 24
)

// linkMask takes the link type out of the last word of the file header; the
// other bits tell the length of a frame check sequence.
const linkMask = 0x03ffffff

// pcap reads the classic format, draft-ietf-opsawg-pcap:
//
//	file header   u32 magic, u16 major, u16 minor, 8 bytes, u32 snap length, u32 link type
//	per packet    u32 seconds, u32 fraction, u32 captured length, u32 wire length, data
type pcap struct {
	*blocks
	name     string
	big      bool
	unpacked bool
	header   int    // bytes of a record header
	scale    uint64 // ns of one unit of the fraction
	swapped  swap
	link     uint32
	failed   error // what Next says from now on
}

// swap says whether captured and wire length stand in the old order.
type swap uint8

const (
	swapNever swap = iota
	swapMaybe      // version 2.3: some writers did, so the smaller one is the captured length
	swapAlways
)

// openPcap reads the file header. Precondition: magic is one of the constants.
func openPcap(name string, b *blocks, magic uint32, big, unpacked bool) (*pcap, error) {
	p := &pcap{blocks: b, name: name, big: big, unpacked: unpacked, header: 16, scale: 1000}
	if !b.want(fileHeaderSize) {
		return nil, p.fail(fmt.Errorf("pcap file header: %w: %d of %d bytes", b.short(), len(b.peek()), fileHeaderSize))
	}
	order := byteOrder(big)
	h := b.peek()[:fileHeaderSize:fileHeaderSize]
	major, minor := order.Uint16(h[4:]), order.Uint16(h[6:])
	// 543 is what one old Unix wrote into major; it also swapped the lengths.
	if major != 2 && major != 543 {
		return nil, p.fail(fmt.Errorf("%w: pcap version %d.%d, want 2.x", ErrFormat, major, minor))
	}
	switch {
	case major == 543 || minor < 3:
		p.swapped = swapAlways
	case minor == 3:
		p.swapped = swapMaybe
	}
	switch magic {
	case magicNano:
		p.scale = 1
	case magicModified:
		p.header = 24
	}
	p.link = order.Uint32(h[20:]) & linkMask
	b.take(fileHeaderSize)
	return p, nil
}

func byteOrder(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Next implements Source.
func (p *pcap) Next(f *Frame) error {
	if !p.want(p.header) {
		return p.end()
	}
	h := p.buf[p.lo:][:16:16]
	var sec, frac, captured, wire uint32
	if p.big {
		sec, frac = binary.BigEndian.Uint32(h[0:]), binary.BigEndian.Uint32(h[4:])
		captured, wire = binary.BigEndian.Uint32(h[8:]), binary.BigEndian.Uint32(h[12:])
	} else {
		sec, frac = binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint32(h[4:])
		captured, wire = binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	}
	if p.swapped != swapNever && (p.swapped == swapAlways || captured > wire) {
		captured, wire = wire, captured
	}
	if captured > MaxFrame {
		return p.fail(fmt.Errorf("%w: packet of %d captured bytes, limit %d", ErrCorrupt, captured, MaxFrame))
	}
	n := p.header + int(captured)
	if !p.want(n) {
		return p.fail(fmt.Errorf("packet: %w: %d of %d bytes", p.short(), len(p.peek()), n))
	}
	f.Data = p.buf[p.lo+p.header : p.lo+n : p.lo+n]
	f.TS = uint64(sec)*1e9 + uint64(frac)*p.scale
	f.WireLen = max(wire, captured)
	f.Link = p.link
	f.If = 0
	p.take(n)
	return nil
}

// end tells a clean end from a record header that is cut short.
func (p *pcap) end() error {
	if p.failed != nil {
		return p.failed
	}
	n := len(p.peek())
	if n == 0 && errors.Is(p.err, io.EOF) {
		p.failed = io.EOF
		return io.EOF
	}
	return p.fail(fmt.Errorf("packet header: %w: %d of %d bytes", p.short(), n, p.header))
}

// fail makes err the last word: nothing is delivered after a broken record,
// because its length was what would have led to the next one.
func (p *pcap) fail(err error) error {
	if p.failed == nil {
		p.failed = &Error{Name: p.name, Offset: p.off, Unpacked: p.unpacked, Err: err}
	}
	return p.failed
}

func (p *pcap) interfaces() []Interface { return []Interface{{Link: p.link}} }
