// Package format is the layout of a compiled catalogue file: the header, the
// table of sections and the fixed-size records in them. The compiler writes
// it and the look-up reads it; both use these numbers and nothing else.
//
// It knows bytes, not applications: no look-up, no text.
//
// Everything is little-endian. The numbers are part of the
// format: changing one means a new Version. docs/formats/catalog.md has the
// same in words.
package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Header of the file, HeaderSize bytes:
//
//	 0  magic "WEIRCAT\n"
//	 8  version u32
//	12  header size u32
//	16  file size u64
//	24  CRC-32C of everything after the header u32
//	28  CRC-32C of the header with this field zero u32
//	32  hash seed u64
//	40  longest probe, in lines u32
//	44  number of sections u32
//	48  sections: offset u64, size u64 each
const (
	Magic      = "WEIRCAT\n"
	Version    = 1
	HeaderSize = 256
	Align      = 64 // of sections: a line of names is one of the cache

	offVersion    = 8
	offHeaderSize = 12
	offFileSize   = 16
	offBodyCRC    = 24
	offHeaderCRC  = 28
	offSeed       = 32
	offMaxProbe   = 40
	offSections   = 44
	offSingle     = 46
	offTable      = 48
)

// Sections, by their place in the table.
const (
	Categories = iota // CategorySize each, by id
	Apps              // AppSize each, by id
	Lists             // ListSize each; row = bit in a value's list mask
	Values            // ValueSize each; row 0 is "nothing"
	Filter            // FilterBits bits a slot, see names.go
	Names             // lines of LineSize bytes, see names.go
	Wilds             // WildSize each
	Nets              // NetSize each; row 0 is "nothing"
	V4                // V4Size each, by start
	V6                // V6Size each, by start
	JA4               // JA4Size each, by fingerprint
	Patterns          // PatternSize each
	Strings           // every other text
	NumSections
)

// Record sizes.
const (
	CategorySize = 8  // id u16, name length u16, name offset u32
	AppSize      = 12 // id u32, name offset u32, name length u16, category u16
	ListSize     = 8  // category u16, name length u16, name offset u32
	ValueSize    = 16 // application row + 1 u32, zero u32, list mask u64
	WildSize     = 16 // value u32, text offset u32, prefix length u8, suffix length u8, last u8, zero
	NetSize      = 12 // value u32, text offset u32, text length u32
	V4Size       = 8  // first address u32, net row u32
	V6Size       = 24 // first address high u64, low u64, net row u32, zero u32
	JA4Size      = 40 // fingerprint 36 bytes, value u32
	PatternSize  = 16 // value u32, text offset u32, text length u32, kind u8, zero
	JA4Len       = 36
)

// MaxLists is the number of user lists that fit the mask of a value.
const MaxLists = 64

// Bounds of keywords and regular expressions: they are tried one after the
// other, on the packet path, on names that no list has by its domains.
const (
	MaxPatterns   = 512
	MaxPatternLen = 512
)

// sizes are the record sizes that a section's length must be a multiple of.
var sizes = [NumSections]uint64{
	CategorySize, AppSize, ListSize, ValueSize, 1, LineSize,
	WildSize, NetSize, V4Size, V6Size, JA4Size, PatternSize, 1,
}

// Errors that Parse wraps.
var (
	// ErrNotCatalog means the bytes do not begin like a compiled catalogue.
	ErrNotCatalog = errors.New("not a compiled catalogue")

	// ErrVersion means the file was written by another version.
	ErrVersion = errors.New("incompatible catalogue version")

	// ErrCorrupt means sizes, offsets or checksums do not fit.
	ErrCorrupt = errors.New("corrupt catalogue")
)

// Header is the decoded header.
type Header struct {
	Seed     uint64
	MaxProbe uint32 // lines that a look-up visits at most
	Single   bool   // there are entries of one label
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Parse checks b, a whole file, and returns its header and its sections. The
// sections alias b. Sizes, offsets and checksums are right on return; what
// the records point to is not checked.
func Parse(b []byte) (Header, [NumSections][]byte, error) {
	var secs [NumSections][]byte
	if len(b) < HeaderSize || string(b[:len(Magic)]) != Magic {
		return Header{}, secs, ErrNotCatalog
	}
	le := binary.LittleEndian
	h := b[:HeaderSize:HeaderSize]
	if v := le.Uint32(h[offVersion:]); v != Version {
		return Header{}, secs, fmt.Errorf("%w: %d, want %d; compile it again", ErrVersion, v, Version)
	}
	if le.Uint32(h[offHeaderSize:]) != HeaderSize || le.Uint16(h[offSections:]) != NumSections {
		return Header{}, secs, fmt.Errorf("%w: header geometry", ErrCorrupt)
	}
	if headerCRC(h) != le.Uint32(h[offHeaderCRC:]) {
		return Header{}, secs, fmt.Errorf("%w: header checksum", ErrCorrupt)
	}
	if n := le.Uint64(h[offFileSize:]); n != uint64(len(b)) {
		return Header{}, secs, fmt.Errorf("%w: %d bytes, header says %d", ErrCorrupt, len(b), n)
	}
	for i := range secs {
		e := h[offTable+16*i:]
		off, size := le.Uint64(e), le.Uint64(e[8:])
		if off < HeaderSize || off%Align != 0 || off > uint64(len(b)) || size > uint64(len(b))-off || size%sizes[i] != 0 {
			return Header{}, secs, fmt.Errorf("%w: section %d at %d, %d bytes", ErrCorrupt, i, off, size)
		}
		secs[i] = b[off : off+size : off+size]
	}
	hd := Header{Seed: le.Uint64(h[offSeed:]), MaxProbe: le.Uint32(h[offMaxProbe:]), Single: le.Uint16(h[offSingle:]) != 0}
	// At least one line and one byte, so that a look-up always has one to look into.
	if len(secs[Names]) == 0 || len(secs[Filter]) == 0 || hd.MaxProbe > MaxProbe {
		return Header{}, secs, fmt.Errorf("%w: name table geometry", ErrCorrupt)
	}
	if crc32.Checksum(b[HeaderSize:], castagnoli) != le.Uint32(h[offBodyCRC:]) {
		return Header{}, secs, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	return hd, secs, nil
}

// headerCRC is the checksum of h with the checksum field taken as zero.
func headerCRC(h []byte) uint32 {
	var zero [4]byte
	c := crc32.Update(0, castagnoli, h[:offHeaderCRC])
	c = crc32.Update(c, castagnoli, zero[:])
	return crc32.Update(c, castagnoli, h[offHeaderCRC+4:HeaderSize])
}

// Layout returns the header for the sections, with all checksums, and the
// padding that follows each section.
func Layout(hd Header, secs *[NumSections][]byte) (header []byte, pad [NumSections]int) {
	le := binary.LittleEndian
	h := make([]byte, HeaderSize)
	copy(h, Magic)
	le.PutUint32(h[offVersion:], Version)
	le.PutUint32(h[offHeaderSize:], HeaderSize)
	le.PutUint64(h[offSeed:], hd.Seed)
	le.PutUint32(h[offMaxProbe:], hd.MaxProbe)
	le.PutUint16(h[offSections:], NumSections)
	if hd.Single {
		le.PutUint16(h[offSingle:], 1)
	}
	var zero [Align]byte
	off, crc := uint64(HeaderSize), uint32(0)
	for i, s := range secs {
		le.PutUint64(h[offTable+16*i:], off)
		le.PutUint64(h[offTable+16*i+8:], uint64(len(s)))
		pad[i] = -len(s) & (Align - 1)
		crc = crc32.Update(crc, castagnoli, s)
		crc = crc32.Update(crc, castagnoli, zero[:pad[i]])
		off += uint64(len(s) + pad[i])
	}
	le.PutUint64(h[offFileSize:], off)
	le.PutUint32(h[offBodyCRC:], crc)
	Seal(h)
	return h, pad
}

// Seal writes the checksum of the header into it.
func Seal(h []byte) {
	binary.LittleEndian.PutUint32(h[offHeaderCRC:], headerCRC(h))
}

// SealBody writes the checksum of the body of the file b and then that of the
// header. Tests use it to reach what lies behind the checksums.
func SealBody(b []byte) {
	binary.LittleEndian.PutUint32(b[offBodyCRC:], crc32.Checksum(b[HeaderSize:], castagnoli))
	Seal(b[:HeaderSize])
}
