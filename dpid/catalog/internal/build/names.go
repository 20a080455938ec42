package build

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"weir/dpid/catalog/internal/format"
)

// perLine is how many of a line's five slots are used on average: few names
// spill over into the next line, and there is room for the rest of 64 bytes a
// name that limits.md allows.
const perLine = 4

// seed of the hash. It need not be secret: whoever can choose the names of a
// list owns the catalogue, and whoever looks names up adds none.
const seed = 0

// errSpace names the limit of the numbers in the file.
var errSpace = errors.New("too many names")

// names is the set of slots while it grows: open addressing in a power of two.
type names struct {
	slots []slot
	used  int
}

// slot is 24 bytes so that millions of them stay affordable.
type slot struct {
	fingerprint uint64 // 0 for empty
	place       format.Place
	ref         uint32 // flags and row, as in the file
}

// at returns the slot of a hash, a new one if need be. It is valid until the
// next call.
func (n *names) at(h format.Hash) *slot {
	if n.used >= len(n.slots)/4*3 {
		n.grow()
	}
	s := n.find(h.Fingerprint(), h.Place())
	if s.fingerprint == 0 {
		n.used++
		s.fingerprint, s.place = h.Fingerprint(), h.Place()
	}
	return s
}

func (n *names) find(fingerprint uint64, place format.Place) *slot {
	mask := len(n.slots) - 1
	for i := int(fingerprint) & mask; ; i = (i + 1) & mask {
		s := &n.slots[i]
		if s.fingerprint == 0 || s.fingerprint == fingerprint && s.place == place {
			return s
		}
	}
}

func (n *names) grow() {
	old := n.slots
	n.slots = make([]slot, max(1024, 2*len(old)))
	for _, s := range old {
		if s.fingerprint != 0 {
			*n.find(s.fingerprint, s.place) = s
		}
	}
}

func (s *slot) row() uint32 { return s.ref >> format.FlagBits }

func (s *slot) setRow(row uint32) {
	s.ref = s.ref&(1<<format.FlagBits-1) | row<<format.FlagBits
}

// walk makes the slots of a name and of those above it, and returns its hash.
func (b *Builder) walk(name string) format.Hash {
	h := format.Root(seed)
	end, first := len(name), true
	for {
		start := strings.LastIndexByte(name[:end], '.')
		if first && start >= 0 {
			start = strings.LastIndexByte(name[:start], '.')
		}
		first = false
		h = h.Down([]byte(name[start+1 : end]))
		s := b.names.at(h)
		if start < 0 {
			return h
		}
		s.ref |= format.Deeper
		end = start
	}
}

// addName adds a suffix or an exact entry.
func (b *Builder) addName(name string, exact bool, v value) error {
	if len(name) > 253 {
		return fmt.Errorf("name of %d bytes, longest is 253", len(name))
	}
	if b.names.used > math.MaxInt32 {
		return errSpace
	}
	b.single = b.single || strings.IndexByte(name, '.') < 0
	h := b.walk(name)
	if exact {
		b.names.at(h).ref |= format.ExactHere
		h = h.Exact()
	}
	s := b.names.at(h)
	row := b.value(b.values[s.row()].merge(v))
	if row > format.MaxRow {
		return errSpace
	}
	s.setRow(row)
	return nil
}

// buildWilds writes the wildcards, those of one parent together and the most
// specific first, and makes the wild slots that point to them.
func (b *Builder) buildWilds(secs *[format.NumSections][]byte) {
	slices.SortStableFunc(b.wilds, func(x, y wild) int {
		return cmp.Or(
			strings.Compare(x.parent, y.parent),
			cmp.Compare(len(y.prefix)+len(y.suffix), len(x.prefix)+len(x.suffix)),
			strings.Compare(x.prefix, y.prefix), strings.Compare(x.suffix, y.suffix))
	})
	merged := b.wilds[:0]
	for _, w := range b.wilds {
		if k := len(merged) - 1; k >= 0 && merged[k].same(w) {
			merged[k].value = merged[k].value.merge(w.value)
			continue
		}
		merged = append(merged, w)
	}
	for i, w := range merged {
		if i == 0 || merged[i-1].parent != w.parent {
			h := b.walk(w.parent)
			b.names.at(h).ref |= format.WildBelow
			b.names.at(h.Wild()).setRow(uint32(i))
			b.single = b.single || strings.IndexByte(w.parent, '.') < 0
		}
		var r [format.WildSize]byte
		binary.LittleEndian.PutUint32(r[0:], b.value(w.value))
		binary.LittleEndian.PutUint32(r[4:], b.str(w.prefix+w.suffix))
		r[8], r[9] = byte(len(w.prefix)), byte(len(w.suffix))
		if i == len(merged)-1 || merged[i+1].parent != w.parent {
			r[10] = 1
		}
		secs[format.Wilds] = append(secs[format.Wilds], r[:]...)
	}
}

func (w wild) same(o wild) bool {
	return w.parent == o.parent && w.prefix == o.prefix && w.suffix == o.suffix
}

// buildNames lays the slots out in lines. They come in order of their places,
// so the order in which names were added leaves no trace.
func (b *Builder) buildNames(secs *[format.NumSections][]byte) (format.Header, error) {
	all := slices.DeleteFunc(b.names.slots, func(s slot) bool { return s.fingerprint == 0 })
	b.names = names{}
	slices.SortFunc(all, func(x, y slot) int {
		return cmp.Or(cmp.Compare(x.place, y.place), cmp.Compare(x.fingerprint, y.fingerprint))
	})
	for lines := uint32(len(all)/perLine + 1); ; lines += lines/4 + 1 {
		table, probe := layOut(all, lines)
		if probe <= format.MaxProbe {
			secs[format.Names], secs[format.Filter] = table, filter(all)
			return format.Header{Seed: seed, MaxProbe: probe, Single: b.single}, nil
		}
		if lines > math.MaxUint32/2/format.LineSize {
			return format.Header{}, errSpace
		}
	}
}

// filter sets the bit of every slot.
func filter(all []slot) []byte {
	bits := make([]byte, len(all)*format.FilterBits/8+1)
	for _, s := range all {
		i := s.place.Bit(uint32(len(bits) * 8))
		bits[i/8] |= 1 << (i % 8)
	}
	return bits
}

// layOut fills the lines and returns the most lines that a look-up visits.
func layOut(all []slot, lines uint32) ([]byte, uint32) {
	table := make([]byte, int(lines)*format.LineSize)
	fill := make([]uint8, lines)
	longest := uint32(1)
	for _, s := range all {
		line, probe := s.place.Line(lines), uint32(1)
		for fill[line] == format.LineSlots {
			if probe++; probe > format.MaxProbe {
				return nil, probe
			}
			if line++; line == lines {
				line = 0
			}
		}
		b := table[int(line)*format.LineSize+int(fill[line])*format.SlotSize:][:format.SlotSize]
		binary.LittleEndian.PutUint64(b, s.fingerprint)
		binary.LittleEndian.PutUint32(b[format.SlotRef:], s.ref)
		fill[line]++
		longest = max(longest, probe)
	}
	return table, longest
}
