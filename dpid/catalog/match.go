package catalog

import (
	"encoding/binary"
	"math/bits"

	"weir/dpid/catalog/internal/format"
)

// Kind says what sort of catalogue entry decided.
type Kind uint8

// Kinds of entries. The numbers go into events: do not change them.
const (
	KindNone    Kind = iota
	KindSuffix       // a name and all below it
	KindExact        // one name alone
	KindWild         // one label with a wildcard
	KindKeyword      // a keyword of a user list
	KindRegexp       // a regular expression of a user list
	KindNetwork      // an address range
	KindJA4          // a TLS fingerprint
)

// String is the word for the kind in evidence.
func (k Kind) String() string {
	switch k {
	case KindSuffix:
		return "suffix"
	case KindExact:
		return "exact"
	case KindWild:
		return "wildcard"
	case KindKeyword:
		return "keyword"
	case KindRegexp:
		return "regexp"
	case KindNetwork:
		return "network"
	case KindJA4:
		return "ja4"
	}
	return "none"
}

// Match is the answer to a look-up.
type Match struct {
	App      AppID      // 0 when only user lists have it
	Category CategoryID // that of the first user list in Lists, else the application's
	Lists    ListSet    // user lists that have it
	Kind     Kind       // of the entry that decided
	entry    uint32     // row of that entry, where the kind has rows
	text     []byte     // the part of the name that the entry covers
}

// match makes the answer from a value row. The second result is false for
// rows that say nothing, which only a broken file has.
func (c *Catalog) match(appRow uint32, lists ListSet, kind Kind, entry uint32) (Match, bool) {
	m := Match{Lists: lists, Kind: kind, entry: entry}
	if appRow > 0 && uint64(appRow) <= uint64(len(c.apps)) {
		a := &c.apps[appRow-1]
		m.App, m.Category = a.id, a.category
	}
	if i := bits.TrailingZeros64(uint64(lists)); i < len(c.lists) {
		m.Category = c.lists[i].category
	}
	return m, m.App != 0 || m.Category != 0
}

// value reads a row of the values: an application row + 1 and lists.
func (c *Catalog) value(row uint32) (uint32, ListSet) {
	if uint64(row) >= uint64(len(c.values)/format.ValueSize) {
		return 0, 0
	}
	v := c.values[int(row)*format.ValueSize:][:format.ValueSize]
	return binary.LittleEndian.Uint32(v), ListSet(binary.LittleEndian.Uint64(v[8:]))
}

// AppendEntry appends the text of the entry that decided, as evidence:
// "nflxvideo.net", "=time.example.com", "igcdn-photos-*.example.net",
// "45.57.0.0/17", a fingerprint, "keyword:..." or "regexp:...". m must come
// from this Catalog, and the name that was looked up must still be there.
func (c *Catalog) AppendEntry(dst []byte, m Match) []byte {
	switch m.Kind {
	case KindSuffix:
		return appendLower(dst, m.text)
	case KindExact:
		return appendLower(append(dst, '='), m.text)
	case KindWild:
		return c.appendWild(dst, m.entry, m.text)
	case KindKeyword, KindRegexp:
		if uint64(m.entry) < uint64(len(c.patterns)) {
			dst = append(append(dst, m.Kind.String()...), ':')
			dst = append(dst, c.patterns[m.entry].text...)
		}
	case KindNetwork:
		dst = c.appendNet(dst, m.entry)
	case KindJA4:
		if b := row(c.ja4, m.entry, format.JA4Size); b != nil {
			dst = append(dst, b[:format.JA4Len]...)
		}
	}
	return dst
}

// row is record i of a section, nil when there is none.
func row(sec []byte, i uint32, size int) []byte {
	if uint64(i) >= uint64(len(sec)/size) {
		return nil
	}
	return sec[int(i)*size:][:size:size]
}
