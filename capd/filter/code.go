package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// Instructions, linux/bpf_common.h.
const (
	sizeWord = 0x00
	sizeHalf = 0x08
	sizeByte = 0x10

	opLoad      = 0x20 // LD ABS
	opLoadX     = 0x40 // LD IND
	opLoadMem   = 0x60 // LD MEM
	opLoadConst = 0x00 // LD IMM
	opLoadLen   = 0x80 // LD LEN
	opHeaderX   = 0xb1 // LDX MSH: length of the IPv4 header
	opStore     = 0x02 // ST
	opToX       = 0x07 // TAX
	opALU       = 0x04
	opAnd       = opALU | 0x50
	opReturn    = 0x06
	opJump      = 0x05 // JA
	opEqual     = 0x15
	opGreater   = 0x25
	opGreaterEq = 0x35
	opSet       = 0x45
	opX         = 0x08 // added to an operation or a comparison: with X
	aluSub      = 0x10

	memoryWords = 16  // BPF_MEMWORDS
	farthest    = 250 // a conditional jump reaches 255; there must be room for two more jumps
)

// What the kernel knows beside the frame, linux/filter.h.
const (
	adOffset      = 1<<32 - 0x1000 // SKF_AD_OFF
	adPacketType  = adOffset + 4   // SKF_AD_PKTTYPE
	adVLAN        = adOffset + 44  // SKF_AD_VLAN_TAG
	adVLANPresent = adOffset + 48  // SKF_AD_VLAN_TAG_PRESENT
)

// Kinds of conditions.
const (
	alwaysTrue uint8 = iota
	alwaysFalse
	kindAnd
	kindOr
	kindNot
	kindTest
)

type code = []bpf.RawInstruction

// node is a condition: a test, or what combines others.
type node struct {
	kind uint8
	a, b *node
	load code   // of a test: brings a value into the accumulator
	jump uint16 // of a test: compares it
	k    uint32 // of a test: with this, or with X
}

func and(a, b *node) *node { return &node{kind: kindAnd, a: a, b: b} }
func or(a, b *node) *node  { return &node{kind: kindOr, a: a, b: b} }
func not(a *node) *node    { return &node{kind: kindNot, a: a} }
func always(is bool) *node {
	if is {
		return &node{kind: alwaysTrue}
	}
	return &node{kind: alwaysFalse}
}

func test(jump uint16, k uint32, load code) *node {
	return &node{kind: kindTest, jump: jump, k: k, load: load}
}

// load brings what is at off of the frame into the accumulator.
func load(size uint16, off uint32) code { return code{{Op: opLoad | size, K: off}} }

// masked is load, of the bits in mask.
func masked(size uint16, off, mask uint32) code {
	if mask == 1<<32-1 {
		return load(size, off)
	}
	return code{{Op: opLoad | size, K: off}, {Op: opAnd, K: mask}}
}

// program is built from its end: then a jump, which can only lead forward, knows its
// target. Places count from the end.
type program struct{ reversed code }

func assemble(root *node, snap uint32) code {
	p := &program{}
	no := p.put(bpf.RawInstruction{Op: opReturn})
	yes := p.put(bpf.RawInstruction{Op: opReturn, K: snap})
	if entry := p.gen(root, yes, no); entry != len(p.reversed)-1 {
		p.far(entry)
	}
	slices.Reverse(p.reversed)
	return p.reversed
}

// gen writes what goes to the place yes or no, and returns where it begins.
func (p *program) gen(n *node, yes, no int) int {
	switch n.kind {
	case alwaysTrue:
		return yes
	case alwaysFalse:
		return no
	case kindAnd:
		return p.gen(n.a, p.gen(n.b, yes, no), no)
	case kindOr:
		return p.gen(n.a, yes, p.gen(n.b, yes, no))
	case kindNot:
		return p.gen(n.a, no, yes)
	}
	if p.distance(yes) > farthest {
		yes = p.far(yes)
	}
	if p.distance(no) > farthest {
		no = p.far(no)
	}
	place := p.put(bpf.RawInstruction{Op: n.jump, Jt: uint8(p.distance(yes)), Jf: uint8(p.distance(no)), K: n.k})
	for _, in := range slices.Backward(n.load) {
		place = p.put(in)
	}
	return place
}

// distance is how many instructions one that is put now would have to skip.
func (p *program) distance(place int) int { return len(p.reversed) - 1 - place }

// far puts a jump that reaches any place.
func (p *program) far(place int) int {
	return p.put(bpf.RawInstruction{Op: opJump, K: uint32(p.distance(place))})
}

func (p *program) put(in bpf.RawInstruction) int {
	p.reversed = append(p.reversed, in)
	return len(p.reversed) - 1
}
