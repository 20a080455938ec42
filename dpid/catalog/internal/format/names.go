package format

import (
	"encoding/binary"
	"math/bits"
)

// The name table is a trie of domain labels from the right, its nodes kept in
// one open-addressing table. A node's key is its parent's slot and the first
// step of its text: the right-most label, at the top the two right-most ones.
// So "example.com" is found at once; an entry of one label, which only user
// lists have, is a node of its own beside it and not its parent. Runs of
// labels without a branch are one node: "ads.example.com" alone is one.
//
// Slots come in groups of eight with a tag byte each, 0 for empty. The tags
// lie apart from the nodes: a name that is not there costs no access to the
// nodes at all, one that is there costs one 32-byte node a branch.
//
// Node, NodeSize bytes:
//
//	 0  parent slot u32 (NoParent at the top)
//	 4  value row u32; in a wild node the first row of Wilds
//	 8  length of the text u8
//	 9  flags u8
//	10  text, up to InlineText bytes; when it is longer, an offset u32 into
//	    Long, where the whole text is
const (
	NodeSize   = 32
	GroupSlots = 8
	InlineText = 22
	NoParent   = 1<<32 - 1

	NodeParent = 0
	NodeValue  = 4
	NodeLen    = 8
	NodeFlags  = 9
	NodeText   = 10
)

// Node flags.
const (
	Suffix    = 1 << iota // the value holds for the name and all below it
	Exact                 // the value holds for the name itself only
	Deeper                // there are nodes below this one
	WildChild             // one of them is the wild node
	ExactNode             // one of them is the exact node
	Special               // this is a wild or an exact node
)

// Texts of special nodes; the Special flag keeps names from the wire that
// look like this from ever meeting them.
const (
	WildText  = "*"
	ExactText = "="
)

// MaxProbe bounds how many groups a look-up may visit. The compiler takes
// more room or another seed rather than exceed it.
const MaxProbe = 32

// Multipliers of the hash: odd, with half of the bits set.
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xe7037ed1a0b428db
	mul2 = 0x8ebc6af09c88c6e3
)

// Hash is the hash of the first step of a node's text below a parent: 64-bit
// multiply-folds over all bytes, for most texts two of them.
func Hash(seed uint64, parent uint32, step []byte) uint64 {
	h := seed ^ uint64(parent)*mul0
	n := len(step)
	for len(step) > 16 {
		b := step[:16]
		h = fold(h^binary.LittleEndian.Uint64(b), mul1^binary.LittleEndian.Uint64(b[8:]))
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
	return fold(fold(h^x, mul1^y)^uint64(n), mul2)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Tag is the tag byte of a hash, never 0. It uses bits that Group does not.
func Tag(h uint64) byte {
	if t := byte(h); t != 0 {
		return t
	}
	return 1
}

// Group is the first group to look in, of n.
func Group(h uint64, n uint32) uint32 {
	return uint32((h >> 32) * uint64(n) >> 32)
}

// MatchTags sets the high bit of the bytes in a tag word that equal t, and
// perhaps some above the first of them: candidates to be verified. For t = 0
// the result is not 0 exactly when there is an empty slot.
func MatchTags(word uint64, t byte) uint64 {
	const low, high = 0x0101010101010101, 0x8080808080808080
	x := word ^ uint64(t)*low
	return (x - low) &^ x & high
}
