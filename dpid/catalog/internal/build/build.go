// Package build turns names, networks, fingerprints and applications into the
// sections of a compiled catalogue.
//
// It does not read files and does not judge: what reaches it has been checked
// (package source). The same things in the same order give the same bytes, so
// that compiled files can be compared.
package build

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"weir/dpid/catalog/internal/format"
)

// Kind says how a domain entry applies.
type Kind uint8

// Kinds of domain entries.
const (
	Suffix Kind = iota // the name and everything below it
	Exact              // the name alone
	Wild               // left-most label holds one *, the rest is a name
)

// Owner is what an entry points to: an application, a user list or both.
type Owner struct {
	App  int // row + 1 as AddApp counted, 0 for none
	List int // row + 1 as AddList counted, 0 for none
}

func (o Owner) value() value {
	v := value{app: uint32(o.App)}
	if o.List > 0 {
		v.lists = 1 << (o.List - 1)
	}
	return v
}

// value is a row of the Values section.
type value struct {
	app   uint32
	lists uint64
}

// merge adds w to v; v's application stays when it has one.
func (v value) merge(w value) value {
	if v.app == 0 {
		v.app = w.app
	}
	v.lists |= w.lists
	return v
}

// Builder collects entries; New makes one.
type Builder struct {
	categories []category
	apps       []app
	lists      []list
	names      names
	single     bool // a name has one label
	wilds      []wild
	wildsOf    map[string]int // by parent
	nets       []network
	ja4s       []fingerprint
	patterns   []pattern

	values  []value
	valueOf map[value]uint32
	strs    []byte
	strOf   map[string]uint32
}

type (
	category struct {
		id   uint16
		name string
	}
	app struct {
		id       uint32
		name     string
		category uint16
	}
	list struct {
		name     string
		category uint16
	}
	wild struct {
		parent, prefix, suffix string
		value                  value
	}
	network struct {
		prefix netip.Prefix
		value  value
	}
	fingerprint struct {
		text  string
		value value
	}
	pattern struct {
		regexp bool
		text   string
		value  value
	}
)

// New returns an empty Builder.
func New() *Builder {
	return &Builder{
		values: make([]value, 1), valueOf: map[value]uint32{{}: 0}, // row 0 is nothing
		strOf: map[string]uint32{}, wildsOf: map[string]int{},
	}
}

// maxWilds bounds the wildcards under one name: a look-up tries them all.
const maxWilds = 64

// AddCategory adds a category.
func (b *Builder) AddCategory(id uint16, name string) {
	b.categories = append(b.categories, category{id, name})
}

// AddApp adds an application; applications come in order of their ids. The
// result is for Owner.App.
func (b *Builder) AddApp(id uint32, name string, category uint16) int {
	b.apps = append(b.apps, app{id, name, category})
	return len(b.apps)
}

// AddList adds a user list whose names belong to a category. The result is
// for Owner.List. At most format.MaxLists.
func (b *Builder) AddList(name string, category uint16) int {
	b.lists = append(b.lists, list{name, category})
	return len(b.lists)
}

// AddDomain adds a name in lower case without a final dot. Of two
// applications with the same entry the first one added has it.
func (b *Builder) AddDomain(text string, kind Kind, o Owner) error {
	if kind != Wild {
		return b.addName(text, kind == Exact, o.value())
	}
	label, parent, _ := strings.Cut(text, ".")
	if b.wildsOf[parent]++; b.wildsOf[parent] > maxWilds {
		return fmt.Errorf("more than %d wildcards under %s", maxWilds, parent)
	}
	prefix, suffix, _ := strings.Cut(label, "*")
	b.wilds = append(b.wilds, wild{parent, prefix, suffix, o.value()})
	return nil
}

// AddNetwork adds a masked prefix.
func (b *Builder) AddNetwork(p netip.Prefix, o Owner) {
	b.nets = append(b.nets, network{p, o.value()})
}

// AddJA4 adds a fingerprint of format.JA4Len characters.
func (b *Builder) AddJA4(text string, o Owner) {
	b.ja4s = append(b.ja4s, fingerprint{text, o.value()})
}

// AddPattern adds a keyword, or a regular expression that compiles.
func (b *Builder) AddPattern(text string, isRegexp bool, o Owner) {
	b.patterns = append(b.patterns, pattern{isRegexp, text, o.value()})
}

// value returns the row of v.
func (b *Builder) value(v value) uint32 {
	row, ok := b.valueOf[v]
	if !ok {
		row = uint32(len(b.values))
		b.values, b.valueOf[v] = append(b.values, v), row
	}
	return row
}

// str returns the offset of s in the Strings section.
func (b *Builder) str(s string) uint32 {
	off, ok := b.strOf[s]
	if !ok {
		off = uint32(len(b.strs))
		b.strs, b.strOf[s] = append(b.strs, s...), off
	}
	return off
}

// WriteTo writes the compiled catalogue. The Builder is spent afterwards.
func (b *Builder) WriteTo(w io.Writer) (int64, error) {
	var secs [format.NumSections][]byte
	b.buildWilds(&secs)
	hd, err := b.buildNames(&secs)
	if err != nil {
		return 0, err
	}
	b.buildNets(&secs)
	b.buildRest(&secs)
	header, pad := format.Layout(hd, &secs)
	n, err := w.Write(header)
	total := int64(n)
	var zero [format.Align]byte
	for i, s := range secs {
		for _, part := range [...][]byte{s, zero[:pad[i]]} {
			if err != nil {
				return total, fmt.Errorf("write catalogue: %w", err)
			}
			n, err = w.Write(part)
			total += int64(n)
		}
	}
	if err != nil {
		return total, fmt.Errorf("write catalogue: %w", err)
	}
	return total, nil
}

// buildRest encodes the small tables. It comes last: the others add values
// and strings.
func (b *Builder) buildRest(secs *[format.NumSections][]byte) {
	le := binary.LittleEndian
	slices.SortFunc(b.categories, func(x, y category) int { return cmp.Compare(x.id, y.id) })
	for _, c := range b.categories {
		s := le.AppendUint16(secs[format.Categories], c.id)
		s = le.AppendUint16(s, uint16(len(c.name)))
		secs[format.Categories] = le.AppendUint32(s, b.str(c.name))
	}
	for _, a := range b.apps {
		s := le.AppendUint32(secs[format.Apps], a.id)
		s = le.AppendUint32(s, b.str(a.name))
		s = le.AppendUint16(s, uint16(len(a.name)))
		secs[format.Apps] = le.AppendUint16(s, a.category)
	}
	for _, l := range b.lists {
		s := le.AppendUint16(secs[format.Lists], l.category)
		s = le.AppendUint16(s, uint16(len(l.name)))
		secs[format.Lists] = le.AppendUint32(s, b.str(l.name))
	}
	b.buildJA4(secs)
	for _, p := range b.patterns {
		s := le.AppendUint32(secs[format.Patterns], b.value(p.value))
		s = le.AppendUint32(s, b.str(p.text))
		s = le.AppendUint32(s, uint32(len(p.text)))
		kind := uint32(0)
		if p.regexp {
			kind = 1
		}
		secs[format.Patterns] = le.AppendUint32(s, kind)
	}
	for _, v := range b.values {
		s := le.AppendUint32(secs[format.Values], v.app)
		s = le.AppendUint32(s, 0)
		secs[format.Values] = le.AppendUint64(s, v.lists)
	}
	secs[format.Strings] = b.strs
}

// buildJA4 sorts the fingerprints and merges equal ones.
func (b *Builder) buildJA4(secs *[format.NumSections][]byte) {
	slices.SortStableFunc(b.ja4s, func(x, y fingerprint) int { return strings.Compare(x.text, y.text) })
	for i := 0; i < len(b.ja4s); {
		f := b.ja4s[i]
		for i++; i < len(b.ja4s) && b.ja4s[i].text == f.text; i++ {
			f.value = f.value.merge(b.ja4s[i].value)
		}
		s := append(secs[format.JA4], f.text...)
		secs[format.JA4] = binary.LittleEndian.AppendUint32(s, b.value(f.value))
	}
}
