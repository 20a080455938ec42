package catalog

import (
	"encoding/binary"

	"weir/dpid/catalog/internal/format"
)

// wild returns the wildcard row below parent that covers the label, with its
// value row. The rows of a parent are contiguous, the most specific first.
func (c *Catalog) wild(parent uint32, label []byte) (uint32, uint32, bool) {
	_, n := c.special(parent, format.WildText)
	if n == nil {
		return 0, 0, false
	}
	for i := binary.LittleEndian.Uint32(n[format.NodeValue:]); ; i++ {
		r := row(c.wilds, i, format.WildSize)
		if r == nil {
			return 0, 0, false
		}
		pre, post := c.wildText(r)
		if len(label) >= len(pre)+len(post) && string(label[:len(pre)]) == pre && string(label[len(label)-len(post):]) == post {
			return i, binary.LittleEndian.Uint32(r), true
		}
		if r[10] != 0 {
			return 0, 0, false
		}
	}
}

// wildText is what stands left and right of the star.
func (c *Catalog) wildText(r []byte) (pre, post string) {
	off, np, ns := uint64(binary.LittleEndian.Uint32(r[4:])), uint64(r[8]), uint64(r[9])
	if off+np+ns > uint64(len(c.text)) {
		return "", ""
	}
	return c.text[off : off+np], c.text[off+np : off+np+ns]
}

// appendName appends the name of a node, joined from the nodes above it.
func (c *Catalog) appendName(dst []byte, slot uint32) []byte {
	for depth := 0; depth < maxName/2+1; depth++ {
		n := row(c.nodes, slot, format.NodeSize)
		if n == nil {
			break
		}
		if n[format.NodeFlags]&format.Special == 0 {
			dst = append(dst, c.nodeText(n)...)
		}
		slot = binary.LittleEndian.Uint32(n)
		if slot == format.NoParent {
			break
		}
		if n[format.NodeFlags]&format.Special == 0 {
			dst = append(dst, '.')
		}
	}
	return dst
}

// appendWild appends a wildcard entry.
func (c *Catalog) appendWild(dst []byte, i uint32) []byte {
	r := row(c.wilds, i, format.WildSize)
	if r == nil {
		return dst
	}
	pre, post := c.wildText(r)
	dst = append(append(append(append(dst, pre...), '*'), post...), '.')
	return c.appendName(dst, binary.LittleEndian.Uint32(r[12:]))
}
