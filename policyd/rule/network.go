package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// networks is a set of networks. A look-up costs one map access for each prefix
// length that occurs, of which real lists have a handful.
type networks struct {
	bits4, bits6 []int
	set          map[netip.Prefix]struct{}
}

func newNetworks(list ...netip.Prefix) *networks {
	n := &networks{set: make(map[netip.Prefix]struct{}, len(list))}
	for _, p := range list {
		p = p.Masked()
		n.set[p] = struct{}{}
		bits := &n.bits6
		if p.Addr().Is4() {
			bits = &n.bits4
		}
		if !slices.Contains(*bits, p.Bits()) {
			*bits = append(*bits, p.Bits())
		}
	}
	return n
}

func (n *networks) contains(a netip.Addr) bool {
	bits := n.bits6
	if a.Is4() {
		bits = n.bits4
	}
	for _, b := range bits {
		p, err := a.Prefix(b)
		if err != nil {
			continue
		}
		if _, ok := n.set[p]; ok {
			return true
		}
	}
	return false
}

// parseNetwork reads an address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not an address or network such as \"192.168.0.0/16\"", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%q has bits set beyond /%d: write %q", s, p.Bits(), p.Masked())
	}
	return p, nil
}

// inNetworks is what address comparisons become; both arguments were checked when
// the rule was compiled.
func inNetworks(addr, list any) bool { return list.(*networks).contains(addr.(netip.Addr)) }

// cleanDomain brings the argument of suffix into the form that suffix compares with.
func cleanDomain(s string) string {
	return strings.ToLower(strings.Trim(strings.TrimPrefix(s, "*."), "."))
}

// suffix reports whether host is domain or below it. domain is clean; upper case
// in host counts as lower case, as in all of DNS.
func suffix(host, domain string) bool {
	n := len(host) - len(domain)
	if n < 0 || domain == "" || !strings.EqualFold(host[n:], domain) {
		return false
	}
	return n == 0 || host[n-1] == '.'
}

// private reports whether an address is of a private, loopback or link-local network.
func private(addr any) bool {
	a := addr.(netip.Addr)
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

// sorted returns the networks in a fixed order.
func (n *networks) sorted() []netip.Prefix {
	list := make([]netip.Prefix, 0, len(n.set))
	for p := range n.set {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return list
}
