package build

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"

	"weir/dpid/catalog/internal/format"
)

// buildNets flattens nested prefixes into ranges that do not overlap, so that
// the longest prefix is found by one binary search. A range ends where the
// next begins; gaps are ranges with net row 0.
func (b *Builder) buildNets(secs *[format.NumSections][]byte) {
	secs[format.Nets] = make([]byte, format.NetSize)
	nets := b.mergedNets()
	v4 := slices.IndexFunc(nets, func(n network) bool { return n.prefix.Addr().Is6() })
	if v4 < 0 {
		v4 = len(nets)
	}
	le := binary.LittleEndian
	for _, r := range b.flatten(nets[:v4], secs) {
		a := r.start.As4()
		s := le.AppendUint32(secs[format.V4], binary.BigEndian.Uint32(a[:]))
		secs[format.V4] = le.AppendUint32(s, r.row)
	}
	for _, r := range b.flatten(nets[v4:], secs) {
		a := r.start.As16()
		s := le.AppendUint64(secs[format.V6], binary.BigEndian.Uint64(a[:8]))
		s = le.AppendUint64(s, binary.BigEndian.Uint64(a[8:]))
		s = le.AppendUint32(s, r.row)
		secs[format.V6] = le.AppendUint32(s, 0)
	}
}

// mergedNets sorts by version, address and length, an outer prefix before
// what is in it, and merges equal ones.
func (b *Builder) mergedNets() []network {
	slices.SortStableFunc(b.nets, func(x, y network) int {
		return cmp.Or(
			cmp.Compare(x.prefix.Addr().BitLen(), y.prefix.Addr().BitLen()),
			x.prefix.Addr().Compare(y.prefix.Addr()),
			cmp.Compare(x.prefix.Bits(), y.prefix.Bits()))
	})
	var out []network
	for _, n := range b.nets {
		if k := len(out) - 1; k >= 0 && out[k].prefix == n.prefix {
			out[k].value = out[k].value.merge(n.value)
			continue
		}
		out = append(out, n)
	}
	return out
}

type span struct {
	start netip.Addr
	row   uint32
}

// flatten walks the sorted prefixes of one IP version with the stack of those
// that are open. An inner prefix inherits the user lists of the outer ones,
// and their application when it names none itself.
func (b *Builder) flatten(nets []network, secs *[format.NumSections][]byte) []span {
	var (
		out   []span
		stack []network
		rows  []uint32 // of stack
	)
	from := func(a netip.Addr, row uint32) {
		if k := len(out) - 1; k >= 0 && out[k].start == a {
			out[k].row = row
			return
		}
		out = append(out, span{a, row})
	}
	closeTop := func() {
		k := len(stack) - 1
		next := lastAddr(stack[k].prefix).Next()
		stack, rows = stack[:k], rows[:k]
		if !next.IsValid() {
			return // the end of the address space
		}
		row := uint32(0)
		if k > 0 {
			row = rows[k-1]
		}
		from(next, row)
	}
	for _, n := range nets {
		for len(stack) > 0 && !stack[len(stack)-1].prefix.Contains(n.prefix.Addr()) {
			closeTop()
		}
		if k := len(stack); k > 0 {
			n.value = n.value.merge(stack[k-1].value)
		}
		row := b.net(n, secs)
		stack, rows = append(stack, n), append(rows, row)
		from(n.prefix.Addr(), row)
	}
	for len(stack) > 0 {
		closeTop()
	}
	return out
}

// net appends a row of Nets.
func (b *Builder) net(n network, secs *[format.NumSections][]byte) uint32 {
	row := uint32(len(secs[format.Nets]) / format.NetSize)
	text := n.prefix.String()
	le := binary.LittleEndian
	s := le.AppendUint32(secs[format.Nets], b.value(n.value))
	s = le.AppendUint32(s, b.str(text))
	secs[format.Nets] = le.AppendUint32(s, uint32(len(text)))
	return row
}

// lastAddr is the highest address of p.
func lastAddr(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		v := binary.BigEndian.Uint32(a[:]) | uint32(math.MaxUint32>>uint(p.Bits()))
		binary.BigEndian.PutUint32(a[:], v)
		return netip.AddrFrom4(a)
	}
	a := p.Addr().As16()
	for i := range a {
		if keep := p.Bits() - 8*i; keep < 8 {
			a[i] |= byte(0xff >> uint(max(keep, 0)))
		}
	}
	return netip.AddrFrom16(a)
}
