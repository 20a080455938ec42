package build

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"weir/dpid/catalog/internal/format"
)

// perGroup is how many of a group's eight slots are used on average. Tags
// keep long probes cheap, so the table may be this full; see the benchmark.
const perGroup = 6

// buildNames lays the trie out in the table. A name set that makes one probe
// too long gets another seed, and at last more room.
func (b *Builder) buildNames(secs *[format.NumSections][]byte) (format.Header, error) {
	nodes, wilds, err := b.trie()
	if err != nil {
		return format.Header{}, err
	}
	special := len(wilds)
	for _, p := range nodes {
		if p.exact != 0 && p.suffix != 0 {
			special++
		}
	}
	groups := max(1, (len(nodes)-1+special+perGroup-1)/perGroup)
	for try := uint64(0); try < 8; try++ {
		if groups > math.MaxUint32/format.GroupSlots-1 { // the last slot number is NoParent
			return format.Header{}, errSpace
		}
		t := table{b: b, plain: nodes, wildsOf: wilds, groups: uint32(groups), seed: try}
		if t.fill() {
			secs[format.Tags], secs[format.Nodes] = t.tags, t.nodes
			secs[format.Long], secs[format.Wilds] = t.long, t.wilds
			return format.Header{Seed: t.seed, MaxProbe: t.maxProbe, Single: b.single}, nil
		}
		if try >= 2 {
			groups += groups/4 + 1
		}
	}
	return format.Header{}, errors.New("name table: no seed keeps the probes short")
}

// table is the open-addressing table while it is filled.
type table struct {
	b        *Builder
	plain    []plain
	wildsOf  map[int32][]wild
	groups   uint32
	seed     uint64
	maxProbe uint32

	tags, nodes, long, wilds []byte

	text []byte // of the node in hand
}

// fill places every node below its parent; parents come first because a child
// carries its parent's slot. It reports false when a probe gets too long.
func (t *table) fill() bool {
	t.tags = make([]byte, int(t.groups)*format.GroupSlots)
	t.nodes = make([]byte, len(t.tags)*format.NodeSize)
	type todo struct {
		node   int32
		parent uint32
	}
	stack := []todo{{t.plain[0].first, format.NoParent}}
	for len(stack) > 0 {
		d := &stack[len(stack)-1]
		if d.node == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		i, p := d.node, &t.plain[d.node]
		d.node = p.next
		slot, ok := t.place(i, d.parent)
		if !ok {
			return false
		}
		if p.first != 0 {
			stack = append(stack, todo{p.first, slot})
		}
	}
	return true
}

// place puts node i and its special nodes into slots.
func (t *table) place(i int32, parent uint32) (uint32, bool) {
	p := &t.plain[i]
	flags, row := byte(0), p.suffix
	both := p.exact != 0 && p.suffix != 0
	switch {
	case both:
		flags = format.Suffix | format.ExactNode
	case p.exact != 0:
		flags, row = format.Exact, p.exact
	case p.suffix != 0:
		flags = format.Suffix
	}
	if p.first != 0 {
		flags |= format.Deeper
	}
	if p.wild {
		flags |= format.WildChild
	}
	text := t.b.blob[p.off : p.off+uint32(p.len)]
	step := firstStep(text)
	t.text = appendReadable(t.text[:0], text)
	slot, ok := t.put(parent, t.text[len(text)-len(step):], t.text, flags, row)
	if ok && both {
		_, ok = t.put(slot, []byte(format.ExactText), []byte(format.ExactText), format.Special, p.exact)
	}
	if ok && p.wild {
		_, ok = t.put(slot, []byte(format.WildText), []byte(format.WildText), format.Special, t.addWilds(slot, t.wildsOf[i]))
	}
	return slot, ok
}

// put writes one node into the first free slot from its group on.
func (t *table) put(parent uint32, step, text []byte, flags byte, row uint32) (uint32, bool) {
	h := format.Hash(t.seed, parent, step)
	g := format.Group(h, t.groups)
	for probe := uint32(1); probe <= format.MaxProbe; probe++ {
		tags := t.tags[g*format.GroupSlots:][:format.GroupSlots]
		if i := bytes.IndexByte(tags, 0); i >= 0 {
			tags[i] = format.Tag(h)
			slot := g*format.GroupSlots + uint32(i)
			t.write(t.nodes[int(slot)*format.NodeSize:][:format.NodeSize], parent, text, flags, row)
			t.maxProbe = max(t.maxProbe, probe)
			return slot, true
		}
		if g++; g == t.groups {
			g = 0
		}
	}
	return 0, false
}

func (t *table) write(n []byte, parent uint32, text []byte, flags byte, row uint32) {
	le := binary.LittleEndian
	le.PutUint32(n[format.NodeParent:], parent)
	le.PutUint32(n[format.NodeValue:], row)
	n[format.NodeLen], n[format.NodeFlags] = byte(len(text)), flags
	if len(text) <= format.InlineText {
		copy(n[format.NodeText:], text)
		return
	}
	le.PutUint32(n[format.NodeText:], uint32(len(t.long)))
	t.long = append(t.long, text...)
}

// addWilds appends the rows of one parent and returns the first.
func (t *table) addWilds(parent uint32, ws []wild) uint32 {
	first := uint32(len(t.wilds) / format.WildSize)
	for i, w := range ws {
		var r [format.WildSize]byte
		binary.LittleEndian.PutUint32(r[0:], t.b.value(w.value))
		binary.LittleEndian.PutUint32(r[4:], t.b.str(w.prefix+w.suffix))
		r[8], r[9] = byte(len(w.prefix)), byte(len(w.suffix))
		if i == len(ws)-1 {
			r[10] = 1
		}
		binary.LittleEndian.PutUint32(r[12:], parent)
		t.wilds = append(t.wilds, r[:]...)
	}
	return first
}
