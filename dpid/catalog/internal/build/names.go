package build

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// name is one entry, 24 bytes so that millions of them stay affordable. Its
// text lies in Builder.blob reversed, with 0x01 for every dot where the trie
// may branch, that is all but the right-most: in byte order of such texts a
// name comes before all that is below it, and those come next.
type name struct {
	key   uint64 // first eight bytes of the text, big-endian
	off   uint32
	app   uint32
	list  uint8
	len   uint8
	exact bool
	order uint32 // first added wins
}

const dot = 0x01

// errSpace names the limit of the offsets in the file.
var errSpace = errors.New("more than 4 GiB of names")

func (b *Builder) addName(text string, exact bool, o Owner) error {
	if len(text) > 253 {
		return fmt.Errorf("name of %d bytes, longest is 253", len(text))
	}
	if uint64(len(b.blob)+len(text)) > math.MaxUint32 {
		return errSpace
	}
	n := name{
		off: uint32(len(b.blob)), len: uint8(len(text)), exact: exact,
		app: uint32(o.App), list: uint8(o.List), order: uint32(len(b.names)),
	}
	b.blob = appendSortable(b.blob, text)
	b.single = b.single || strings.IndexByte(text, '.') < 0
	var k [8]byte
	copy(k[:], b.text(n))
	n.key = binary.BigEndian.Uint64(k[:])
	b.names = append(b.names, n)
	return nil
}

func (b *Builder) text(n name) []byte {
	return b.blob[n.off : n.off+uint32(n.len)]
}

// entry is a distinct name with what is said about it.
type entry struct {
	name
	suffix, exact value
}

// entries calls f with each distinct name in order.
func (b *Builder) entries(f func(entry) error) error {
	slices.SortFunc(b.names, func(x, y name) int {
		if x.key != y.key {
			return cmp.Compare(x.key, y.key)
		}
		if c := bytes.Compare(b.text(x), b.text(y)); c != 0 {
			return c
		}
		return cmp.Compare(x.order, y.order)
	})
	for i := 0; i < len(b.names); {
		e := entry{name: b.names[i]}
		for ; i < len(b.names) && bytes.Equal(b.text(b.names[i]), b.text(e.name)); i++ {
			n := b.names[i]
			v := Owner{int(n.app), int(n.list)}.value()
			if n.exact {
				e.exact = e.exact.merge(v)
			} else {
				e.suffix = e.suffix.merge(v)
			}
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// plain is a node of the trie before it has a slot, 24 bytes like name. Its
// text is labels from the right, as in name.
type plain struct {
	off           uint32 // of the text in Builder.blob
	suffix, exact uint32 // value rows
	first, next   int32  // child, sibling; 0 for none
	len           uint8
	wild          bool // wildcards hang on this node
}

// trie builds the nodes from the sorted entries: nodes[0] is the root. The
// map has the wildcards of the nodes that are marked wild.
func (b *Builder) trie() ([]plain, map[int32][]wild, error) {
	byParent := b.wildsByParent()
	t := tree{
		nodes: make([]plain, 1, len(b.names)+len(b.names)/8+1),
		wilds: make(map[int32][]wild, len(byParent)),
		path:  []open{{}},
	}
	var prev []byte
	err := b.entries(func(e entry) error {
		if len(t.nodes) >= math.MaxInt32-1 {
			return errSpace
		}
		text := b.text(e.name)
		t.climb(commonLabels(prev, text))
		skip := uint32(t.path[len(t.path)-1].depth)
		if skip > 0 {
			skip++ // the dot
		}
		p := plain{
			off: e.off + skip, len: e.len - uint8(skip),
			suffix: b.value(e.suffix), exact: b.value(e.exact),
		}
		ws, wild := byParent[string(text)]
		p.wild = wild
		i := t.add(p)
		if wild {
			t.wilds[i] = ws
		}
		t.path = append(t.path, open{node: i, depth: len(text)})
		prev = text
		return nil
	})
	b.names = nil // the nodes have it all: give the memory to the table
	return t.nodes, t.wilds, err
}

// tree is the trie under construction. Names come in order, so only the path
// to the last one can still change.
type tree struct {
	nodes []plain
	wilds map[int32][]wild
	path  []open // from the root to the last name
}

type open struct {
	node  int32
	depth int   // bytes of the whole name up to the node's end
	last  int32 // its last child so far
}

// add makes p the next child of the path's end.
func (t *tree) add(p plain) int32 {
	t.nodes = append(t.nodes, p)
	i, top := int32(len(t.nodes)-1), &t.path[len(t.path)-1]
	if top.last == 0 {
		t.nodes[top.node].first = i
	} else {
		t.nodes[top.last].next = i
	}
	top.last = i
	return i
}

// climb shortens the path to depth bytes. Where that is inside the text of a
// node, the node is split there.
func (t *tree) climb(depth int) {
	for t.path[len(t.path)-1].depth > depth {
		top, up := t.path[len(t.path)-1], t.path[len(t.path)-2]
		t.path = t.path[:len(t.path)-1]
		if up.depth >= depth {
			continue
		}
		low := t.nodes[top.node]
		cut := uint8(depth - up.depth)
		if up.depth > 0 {
			cut-- // the dot
		}
		head := plain{off: low.off, len: cut, next: low.next}
		low.off, low.len, low.next = low.off+uint32(cut)+1, low.len-cut-1, 0
		t.nodes = append(t.nodes, low)
		head.first = int32(len(t.nodes) - 1)
		if low.wild {
			t.wilds[head.first] = t.wilds[top.node]
			delete(t.wilds, top.node)
		}
		t.nodes[top.node] = head
		t.path = append(t.path, open{node: top.node, depth: depth, last: head.first})
	}
}

// commonLabels is the length of the longest run of whole labels with which
// both texts begin.
func commonLabels(a, b []byte) int {
	n, whole := min(len(a), len(b)), 0
	i := 0
	for ; i < n && a[i] == b[i]; i++ {
		if a[i] == dot {
			whole = i
		}
	}
	if i == n && (len(a) == n || a[n] == dot) && (len(b) == n || b[n] == dot) {
		whole = n
	}
	return whole
}

// wildsByParent groups the wildcards under the reversed parent, the most
// specific first, equal ones merged.
func (b *Builder) wildsByParent() map[string][]wild {
	m := map[string][]wild{}
	for _, w := range b.wilds {
		key := string(appendSortable(nil, w.parent))
		i := slices.IndexFunc(m[key], func(o wild) bool { return o.prefix == w.prefix && o.suffix == w.suffix })
		if i >= 0 {
			m[key][i].value = m[key][i].value.merge(w.value)
			continue
		}
		m[key] = append(m[key], w)
	}
	for _, ws := range m {
		slices.SortFunc(ws, func(x, y wild) int {
			if c := cmp.Compare(len(y.prefix)+len(y.suffix), len(x.prefix)+len(x.suffix)); c != 0 {
				return c
			}
			return cmp.Or(strings.Compare(x.prefix, y.prefix), strings.Compare(x.suffix, y.suffix))
		})
	}
	return m
}

// appendSortable appends the text of a name as in the blob.
func appendSortable(dst []byte, text string) []byte {
	top := strings.LastIndexByte(text, '.')
	for i := len(text) - 1; i >= 0; i-- {
		c := text[i]
		if c == '.' && i != top {
			c = dot
		}
		dst = append(dst, c)
	}
	return dst
}

// appendReadable turns a text of the blob, or labels of one, back.
func appendReadable(dst, text []byte) []byte {
	for i := len(text) - 1; i >= 0; i-- {
		c := text[i]
		if c == dot {
			c = '.'
		}
		dst = append(dst, c)
	}
	return dst
}

// firstStep is the part of a sortable text, or of labels of one, that the
// table finds it by.
func firstStep(text []byte) []byte {
	if i := bytes.IndexByte(text, dot); i >= 0 {
		return text[:i]
	}
	return text
}
