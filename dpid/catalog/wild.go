package catalog

import (
	"bytes"
	"encoding/binary"

	"weir/dpid/catalog/internal/format"
)

// wild takes the first wildcard below name[start:], whose hash is h, that
// covers the label to its left. The rows of a parent are contiguous, the most
// specific first.
func (c *Catalog) wild(w *walk, h format.Hash, name []byte, start int) {
	ref, ok := c.find(h.Wild())
	if !ok {
		return
	}
	from := labelStart(name, start-1)
	label := name[from : start-1]
	for i := ref >> format.FlagBits; ; i++ {
		r := row(c.wilds, i, format.WildSize)
		if r == nil {
			return
		}
		pre, post := c.wildText(r)
		if len(label) >= len(pre)+len(post) && string(label[:len(pre)]) == pre && string(label[len(label)-len(post):]) == post {
			c.take(w, KindWild, i, binary.LittleEndian.Uint32(r), from)
			return
		}
		if r[10] != 0 {
			return
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

// appendWild appends wildcard i with the parent from the name it matched.
func (c *Catalog) appendWild(dst []byte, i uint32, name []byte) []byte {
	r := row(c.wilds, i, format.WildSize)
	dot := bytes.IndexByte(name, '.')
	if r == nil || dot < 0 {
		return dst
	}
	pre, post := c.wildText(r)
	dst = append(append(append(dst, pre...), '*'), post...)
	return appendLower(dst, name[dot:])
}
