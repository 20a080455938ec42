package rules

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// addresses is an interval set of one address family.
type addresses struct {
	name     string
	typ      nftables.SetDatatype
	networks []netip.Prefix // in order, none inside of another
}

// split makes the sets of both families, without networks that lie in others: the
// kernel refuses intervals that overlap.
func split(list []netip.Prefix) (v4, v6 addresses) {
	v4 = addresses{name: "exempt4", typ: nftables.TypeIPAddr}
	v6 = addresses{name: "exempt6", typ: nftables.TypeIP6Addr}
	sorted := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		sorted = append(sorted, p.Masked())
	}
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	for _, p := range sorted {
		s := &v6
		if p.Addr().Is4() {
			s = &v4
		}
		if n := len(s.networks); n == 0 || !s.networks[n-1].Contains(p.Addr()) {
			s.networks = append(s.networks, p)
		}
	}
	return v4, v6
}

// elements returns the borders of the intervals: where each begins, and the address
// behind it. One that reaches to the last address has no border behind it. Networks
// that touch are one interval: between two elements with one key, the kernel sees an
// overlap.
func (s *addresses) elements() []nftables.SetElement {
	list := make([]nftables.SetElement, 0, 2*len(s.networks))
	var end netip.Addr // of the interval that is open
	for i, p := range s.networks {
		if i == 0 || p.Addr() != end {
			list = append(list, nftables.SetElement{Key: p.Addr().AsSlice()})
		}
		end = last(p).Next()
		if !end.IsValid() || i+1 < len(s.networks) && s.networks[i+1].Addr() == end {
			continue
		}
		list = append(list, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
	}
	return list
}

// last returns the highest address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// from and to match packets whose source or destination is in the set. The caller
// matches the network protocol before.
func (s *addresses) from() clause { return s.lookup(" saddr @", 12, 8) }
func (s *addresses) to() clause   { return s.lookup(" daddr @", 16, 24) }

func (s *addresses) lookup(text string, offset4, offset6 uint32) clause {
	proto, offset := "ip", offset4
	if s.typ.Bytes == 16 {
		proto, offset = "ip6", offset6
	}
	return clause{proto + text + s.name, []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: s.typ.Bytes},
		&expr.Lookup{SourceRegister: reg, SetName: s.name}}}
}
