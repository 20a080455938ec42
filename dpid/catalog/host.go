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
func (c *Catalog) Host(name []byte) (Match, bool) {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if len(name) == 0 || len(name) > maxName {
		return Match{}, false
	}
	if hasUpper(name) {
		var buf [maxName]byte
		return c.host(lower(buf[:len(name)], name))
	}
	return c.host(name)
}

// host walks the trie from the right. Every step goes at least one label to
// the left, so it ends.
func (c *Catalog) host(name []byte) (Match, bool) {
	var w walk
	top := labelStart(name, len(name))
	if c.single {
		c.step(&w, format.NoParent, name, top, len(name))
	}
	for start, end, parent := labelStart(name, top-1), len(name), uint32(format.NoParent); ; {
		slot, left := c.step(&w, parent, name, start, end)
		if left <= 0 {
			break
		}
		parent, end = slot, left-1
		start = labelStart(name, end)
	}
	if w.lists == 0 && len(c.patterns) > 0 {
		if i, k, row := c.pattern(name); k != KindNone {
			c.take(&w, k, i, row)
		}
	}
	if w.kind == KindNone {
		return Match{}, false
	}
	return c.match(w.app, w.lists, w.kind, w.entry)
}

// walk is what a walk has found so far.
type walk struct {
	app   uint32 // row + 1
	lists ListSet
	kind  Kind
	entry uint32
}

// take notes an entry that covers the name, a longer one than those before.
// One that names the application is better evidence than a longer one that
// only adds a list.
func (c *Catalog) take(w *walk, kind Kind, entry, row uint32) {
	app, lists := c.value(row)
	w.lists |= lists
	if app != 0 {
		w.app, w.kind, w.entry = app, kind, entry
	} else if w.app == 0 && lists != 0 {
		w.kind, w.entry = kind, entry
	}
}

// step goes from parent to the node by which name[:end] goes on, whose first
// step is name[start:end]. It returns that node and what is left of the name
// to its left, dot included: 0 when that is nothing or nothing more can match.
func (c *Catalog) step(w *walk, parent uint32, name []byte, start, end int) (uint32, int) {
	slot, n := c.find(parent, name, start, end, 0)
	if n == nil {
		return 0, 0
	}
	flags, row := n[format.NodeFlags], binary.LittleEndian.Uint32(n[format.NodeValue:])
	end -= int(n[format.NodeLen])
	if flags&format.Suffix != 0 {
		c.take(w, KindSuffix, slot, row)
	}
	if end == 0 {
		switch {
		case flags&format.Exact != 0:
			c.take(w, KindExact, slot, row)
		case flags&format.ExactNode != 0:
			if s, x := c.special(slot, format.ExactText); x != nil {
				c.take(w, KindExact, s, binary.LittleEndian.Uint32(x[format.NodeValue:]))
			}
		}
		return 0, 0
	}
	if flags&format.WildChild != 0 {
		label := name[labelStart(name, end-1) : end-1]
		if i, row, ok := c.wild(slot, label); ok {
			c.take(w, KindWild, i, row)
		}
	}
	if flags&format.Deeper == 0 {
		return 0, 0
	}
	return slot, end
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

// find returns the node below parent whose text ends name[:end] and whose
// first step is name[start:end]. Only nodes with the Special flag as given count.
func (c *Catalog) find(parent uint32, name []byte, start, end int, special byte) (uint32, []byte) {
	h := format.Hash(c.seed, parent, name[start:end])
	tag, g := format.Tag(h), format.Group(h, c.groups)
	for probe := uint32(0); probe < c.maxProbe; probe++ {
		word := binary.LittleEndian.Uint64(c.tags[int(g)*format.GroupSlots:])
		for m := format.MatchTags(word, tag); m != 0; m &= m - 1 {
			slot := g*format.GroupSlots + uint32(bits.TrailingZeros64(m))/8
			n := c.nodes[int(slot)*format.NodeSize:][:format.NodeSize:format.NodeSize]
			if binary.LittleEndian.Uint32(n) != parent || n[format.NodeFlags]&format.Special != special {
				continue
			}
			if from := end - int(n[format.NodeLen]); from >= 0 && from <= start &&
				(from == 0 || name[from-1] == '.') && string(c.nodeText(n)) == string(name[from:end]) {
				return slot, n
			}
		}
		if format.MatchTags(word, 0) != 0 {
			break
		}
		if g++; g == c.groups {
			g = 0
		}
	}
	return 0, nil
}

// special returns the wild or the exact node below parent.
func (c *Catalog) special(parent uint32, text string) (uint32, []byte) {
	return c.find(parent, []byte(text), 0, len(text), format.Special)
}

// nodeText is the text of a node, nil for one that points nowhere.
func (c *Catalog) nodeText(n []byte) []byte {
	size := int(n[format.NodeLen])
	if size <= format.InlineText {
		return n[format.NodeText : format.NodeText+size]
	}
	off := uint64(binary.LittleEndian.Uint32(n[format.NodeText:]))
	if off+uint64(size) > uint64(len(c.long)) {
		return nil
	}
	return c.long[off:][:size]
}
