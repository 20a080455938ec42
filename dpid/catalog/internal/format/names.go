package format

import (
	"encoding/binary"
	"math/bits"
)

// The name table is a set of fingerprints. Every name in the catalogue, and
// every name above one, has a slot: "ads.example.com" makes slots for itself
// and for "example.com", which is marked as having something below it. So a
// walk from the right ends at the first name that is not there, after one
// access to memory for most names that nobody lists.
//
// The text of names is not kept: a slot is found by 64 bits of a hash, at a
// place that other bits of it choose. A name that is not in the catalogue
// equals one of the ten fingerprints that a look-up compares for each of its
// labels with a probability of 10/2^64: at a million look-ups a second that is
// once in tens of thousands of years. It costs nothing to those who could
// make such a name on purpose: they could as well write the listed one.
//
// The slots lie in lines of LineSize bytes, LineSlots of them in each, filled
// from the front; a name whose line is full is in one of the next.
//
// Slot, SlotSize bytes:
//
//	0  fingerprint u64, 0 for empty
//	8  flags in the low FlagBits bits, row above them, u32: a row of Values,
//	   in a wild slot the first row of Wilds
const (
	LineSize  = 64
	LineSlots = 5
	SlotSize  = 12
	SlotRef   = 8
)

// Flags of a slot.
const (
	Deeper    = 1 << iota // there are names below
	WildBelow             // there is a wild slot
	ExactHere             // there is an exact slot: an entry for the name alone

	FlagBits = 4
	MaxRow   = 1<<(32-FlagBits) - 1
)

// FilterBits is how many bits of the filter there are for a slot. One of them
// is set for it; a name whose bit is not set is not there. The filter of a
// million names fits in a second-level cache, which spares most names that
// nobody lists the access to the lines.
const FilterBits = 4

// MaxProbe bounds how many lines a look-up may visit.
const MaxProbe = 32

// Hash is the hash of a name: a chooses the fingerprint, b the place.
type Hash struct{ a, b uint64 }

// Multipliers and marks: odd, with half of the bits set.
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xe7037ed1a0b428db
	mul2 = 0x8ebc6af09c88c6e3
	mul3 = 0x589965cc75374cc3

	markWild  = 0xd6e8feb86659fd93
	markExact = 0xa0761d6478bd642f
)

// Root is the hash above all names.
func Root(seed uint64) Hash { return Hash{seed ^ mul2, seed ^ mul3} }

// Down is the hash of the name that step makes of the one with the hash h.
// The first step from the root is the two right-most labels with their dot,
// every other one label.
func (h Hash) Down(step []byte) Hash {
	n := len(step)
	for len(step) > 16 {
		b := step[:16]
		h = h.mix(binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]))
		step = step[16:]
	}
	// The two reads may overlap; the length tells such texts apart.
	var x, y uint64
	switch k := len(step); {
	case k >= 8:
		x, y = binary.LittleEndian.Uint64(step), binary.LittleEndian.Uint64(step[k-8:])
	case k >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(step)), uint64(binary.LittleEndian.Uint32(step[k-4:]))
	case k > 0:
		x, y = uint64(step[0])|uint64(step[k/2])<<8, uint64(step[k-1])
	}
	return h.mix(x, y^uint64(n)<<56)
}

// mix folds sixteen bytes into both halves, with different multipliers.
func (h Hash) mix(x, y uint64) Hash {
	return Hash{
		a: fold(h.a^x, mul0^y) ^ bits.RotateLeft64(h.a, 23),
		b: fold(h.b^y, mul1^x) ^ bits.RotateLeft64(h.b, 41),
	}
}

// Wild is the hash of the wild slot of a name, Exact that of its exact slot.
func (h Hash) Wild() Hash { return Hash{h.a ^ markWild, h.b ^ markExact} }

// Exact is the hash of the exact slot of a name.
func (h Hash) Exact() Hash { return Hash{h.a ^ markExact, h.b ^ markWild} }

// Fingerprint is what a slot is known by, never 0.
func (h Hash) Fingerprint() uint64 {
	if f := fold(h.a, mul2); f != 0 {
		return f
	}
	return 1
}

// Place chooses the line of a slot and its bit in the filter.
func (h Hash) Place() Place { return Place(fold(h.b, mul3)) }

// Place is 64 bits of a hash: the upper half for Line, the lower for Bit.
type Place uint64

// Line is the line of a place, of n.
func (p Place) Line(n uint32) uint32 { return uint32(uint64(p) >> 32 * uint64(n) >> 32) }

// Bit is the bit of a place in a filter of n bits.
func (p Place) Bit(n uint32) uint32 { return uint32(uint64(uint32(p)) * uint64(n) >> 32) }

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
