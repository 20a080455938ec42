package catalog

import (
	"encoding/binary"
	"math/bits"

	"weir/dpid/catalog/internal/format"
)

// maxName is the longest host name in text, RFC 1035 section 2.3.4 less the
// length bytes at both ends.
const maxName = 253

// Host looks a host name up: in any case, with or without the final dot. Of
// the entries that cover it, an exact one wins, then the longest; a wildcard
// counts as long as the labels it covers. User lists are joined over all
// entries that cover the name. What is no host name is not found.
//
// The Match refers to the bytes of name until AppendEntry has been called.
func (c *Catalog) Host(name []byte) (Match, bool) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if len(name) == 0 || len(name) > maxName {
		return Match{}, false
	}
	var w walk
	if hasUpper(name) {
		var buf [maxName]byte
		c.host(&w, lower(buf[:len(name)], name))
	} else {
		c.host(&w, name)
	}
	if w.kind == KindNone {
		return Match{}, false
	}
	m, ok := c.match(w.app, w.lists, w.kind, w.entry)
	m.text = name[w.from:]
	return m, ok
}

// walk is what a walk has found so far.
type walk struct {
	app   uint32 // row + 1
	lists ListSet
	kind  Kind
	entry uint32 // row of a wildcard or a pattern
	from  int    // where in the name the part begins that the entry covers
}

// host walks the names from the right. Every step goes at least one label to
// the left, so it ends.
func (c *Catalog) host(w *walk, name []byte) {
	root := format.Root(c.seed)
	top := labelStart(name, len(name))
	if c.single {
		c.step(w, root.Down(name[top:]), name, top)
	}
	start := labelStart(name, top-1)
	for h, end := root, len(name); ; {
		h = h.Down(name[start:end])
		if !c.step(w, h, name, start) {
			break
		}
		end = start - 1
		start = labelStart(name, end)
	}
	if w.lists == 0 && len(c.patterns) > 0 {
		if i, k, row := c.pattern(name); k != KindNone {
			c.take(w, k, i, row, 0)
		}
	}
}

// step takes what is known of name[start:], whose hash is h, and reports
// whether longer names may be known.
func (c *Catalog) step(w *walk, h format.Hash, name []byte, start int) bool {
	ref, ok := c.find(h)
	if !ok {
		return false
	}
	if row := ref >> format.FlagBits; row != 0 {
		c.take(w, KindSuffix, 0, row, start)
	}
	if start == 0 {
		if ref&format.ExactHere != 0 {
			if ref, ok := c.find(h.Exact()); ok {
				c.take(w, KindExact, 0, ref>>format.FlagBits, 0)
			}
		}
		return false
	}
	if ref&format.WildBelow != 0 {
		c.wild(w, h, name, start)
	}
	return ref&format.Deeper != 0
}

// take notes an entry that covers the name, a longer one than those before.
// One that names the application is better evidence than a longer one that
// only adds a list.
func (c *Catalog) take(w *walk, kind Kind, entry, row uint32, from int) {
	app, lists := c.value(row)
	w.lists |= lists
	if app == 0 && (w.app != 0 || lists == 0) {
		return
	}
	w.app, w.kind, w.entry, w.from = app, kind, entry, from
}

// find returns the flags and the row of a slot.
func (c *Catalog) find(h format.Hash) (uint32, bool) {
	le := binary.LittleEndian
	place := h.Place()
	if i := place.Bit(c.bits); c.filter[i/8]>>(i%8)&1 == 0 {
		return 0, false
	}
	f, line := h.Fingerprint(), place.Line(c.lines)
	for range c.maxProbe {
		b := c.names[int(line)*format.LineSize:][:format.LineSize:format.LineSize]
		for i := 0; i < format.LineSlots*format.SlotSize; i += format.SlotSize {
			if le.Uint64(b[i:]) == f {
				return le.Uint32(b[i+format.SlotRef:]), true
			}
		}
		if le.Uint64(b[(format.LineSlots-1)*format.SlotSize:]) == 0 {
			break // lines are filled from the front
		}
		if line++; line == c.lines {
			line = 0
		}
	}
	return 0, false
}

// labelStart is where the label that ends at end begins; 0 for end < 0.
func labelStart(name []byte, end int) int {
	// Eight bytes at a time from the right; a branch a byte would cost more
	// than all the hashing.
	for end >= 8 {
		if d := dots(binary.LittleEndian.Uint64(name[end-8 : end])); d != 0 {
			return end - bits.LeadingZeros64(d)/8
		}
		end -= 8
	}
	for end > 0 && name[end-1] != '.' {
		end--
	}
	return max(end, 0)
}
