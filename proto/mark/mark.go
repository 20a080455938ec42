// Package mark is the one layout of Weir's bits in netfilter marks.
//
// Whoever sets or reads our bits of a ct mark or a packet mark does it through
// this package: capd in its verdicts and rules, policyd in its actions. It is
// arithmetic on 32-bit words, without I/O and without allocation.
//
// Our bits are those of a mask, a run of at least two bits. From its highest bit
// down (docs/formats/ct-mark.md; part of the format, do not change):
//
//	final    the kernel decides alone about this flow, no packet of it is queued
//	drop     packets of the flow are dropped
//	reject   they are answered with a TCP reset or an ICMP error; drop is set too
//	class    all bits that are left: the number of a traffic class, 0 = none
//
// Invariant: bits outside of the mask belong to others, and no function here
// changes them.
package mark

import (
	"fmt"
	"math/bits"
)

// DefaultMask is the mask of a configuration that names none.
const DefaultMask = 0xff000000

// Verdict is what becomes of a flow's packets. Its order is no ranking.
type Verdict uint8

// Verdicts.
const (
	Accept Verdict = iota
	Drop
	Reject
)

// String returns the word that rules use.
func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Drop:
		return "drop"
	case Reject:
		return "reject"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// State is what our bits say about a flow. The zero State is that of a flow that
// nobody has judged yet.
type State struct {
	Final   bool // no packet of the flow needs user space any more
	Verdict Verdict
	Class   uint32 // traffic class, 0 = none
}

// Layout says which bit means what. The zero Layout has no bits; New makes one.
type Layout struct {
	Mask   uint32 // all our bits
	Final  uint32 // one bit
	Drop   uint32 // one bit
	Reject uint32 // one bit, 0 where the mask has only two
	Class  uint32 // a run of bits, 0 where the mask has at most three
}

// New divides a mask. One that is not a single run of at least two bits is an error.
func New(mask uint32) (Layout, error) {
	width, low := bits.OnesCount32(mask), bits.TrailingZeros32(mask)
	if width < 2 || bits.Len32(mask)-low != width {
		return Layout{}, fmt.Errorf("mark mask %#08x: must be one run of at least 2 bits, such as %#08x", mask, uint32(DefaultMask))
	}
	top := uint32(1) << (low + width - 1)
	l := Layout{Mask: mask, Final: top, Drop: top >> 1}
	if width > 2 {
		l.Reject = top >> 2
	}
	l.Class = mask &^ (l.Final | l.Drop | l.Reject)
	return l, nil
}

// MaxClass returns the highest class number that fits, 0 for none.
func (l Layout) MaxClass() uint32 { return l.Class >> l.shift() }

// shift is a valid shift for a layout without class bits, too.
func (l Layout) shift() int { return bits.TrailingZeros32(l.Class) & 31 }

// Fits says what of a state the mask has no bits for; nil when Decode returns what
// Encode is given.
func (l Layout) Fits(s State) error {
	switch {
	case s.Verdict == Reject && l.Reject == 0:
		return fmt.Errorf("mark mask %#08x has no bit for reject: use drop, or a mask of at least 3 bits", l.Mask)
	case s.Class > l.MaxClass() && l.Class == 0:
		return fmt.Errorf("mark mask %#08x has no bits for class %d: use a mask of at least 4 bits", l.Mask, s.Class)
	case s.Class > l.MaxClass():
		return fmt.Errorf("class %d does not fit mark mask %#08x: the highest is %d", s.Class, l.Mask, l.MaxClass())
	}
	return nil
}

// Encode returns our bits for a state, none outside of the mask. Drop and Reject
// are final whether s says so or not. What does not fit loses its nicety, never its
// effect: Reject becomes Drop, and a class becomes no class; Fits tells beforehand.
func (l Layout) Encode(s State) uint32 {
	var b uint32
	if s.Class <= l.MaxClass() {
		b = s.Class << l.shift() & l.Class
	}
	if s.Final || s.Verdict != Accept {
		b |= l.Final
	}
	switch s.Verdict {
	case Drop:
		b |= l.Drop
	case Reject:
		b |= l.Drop | l.Reject
	}
	return b
}

// Decode reads our bits of a mark. Of a combination that Encode never makes, the
// stricter part holds: the drop bit alone means Drop, the reject bit alone Reject,
// and either is final.
func (l Layout) Decode(mark uint32) State {
	s := State{Final: mark&l.Final != 0, Class: mark & l.Class >> l.shift()}
	switch {
	case mark&l.Reject != 0:
		s.Verdict, s.Final = Reject, true
	case mark&l.Drop != 0:
		s.Verdict, s.Final = Drop, true
	}
	return s
}

// Merge returns old with our bits replaced by those of b and everybody else's kept.
func (l Layout) Merge(old, b uint32) uint32 { return old&^l.Mask | b&l.Mask }

// String says what fits, for logs and -print.
func (l Layout) String() string {
	s := fmt.Sprintf("mask %#08x: final %#x, drop %#x", l.Mask, l.Final, l.Drop)
	if l.Reject == 0 {
		return s + ", no reject, no classes"
	}
	s += fmt.Sprintf(", reject %#x", l.Reject)
	if l.Class == 0 {
		return s + ", no classes"
	}
	return s + fmt.Sprintf(", classes 1-%d in %#x", l.MaxClass(), l.Class)
}
