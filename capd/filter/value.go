package filter

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// value reads what the qualifiers qualify.
func (p *parser) value(q quals) (*node, error) {
	t := p.peek()
	if t.text == "" || !t.word {
		return nil, p.unexpected("a value")
	}
	switch q.kind {
	case "port", "portrange":
		return p.ports(q)
	case "proto":
		return p.proto(q)
	case "net":
		return p.net(q)
	}
	if q.proto == "ether" || q.proto == "" && strings.Count(t.text, ":") == 5 && !strings.Contains(t.text, "::") {
		return p.station(q)
	}
	if strings.Contains(t.text, "/") {
		return nil, p.fail(t, "%q is a network: write net before it", t.text)
	}
	addr, err := netip.ParseAddr(t.text)
	if err != nil || addr.Zone() != "" {
		return nil, p.fail(t, "%q is no address; names are not looked up", t.text)
	}
	p.next()
	return p.within(t, q, netip.PrefixFrom(addr, addr.BitLen()))
}

// either combines the conditions for source and destination.
func either(dir string, src, dst func() *node) *node {
	switch dir {
	case "src":
		return src()
	case "dst":
		return dst()
	case "src and dst":
		return and(src(), dst())
	}
	return or(src(), dst())
}

// station reads an Ethernet address.
func (p *parser) station(q quals) (*node, error) {
	t := p.next()
	mac, err := net.ParseMAC(t.text)
	if err != nil || len(mac) != 6 {
		return nil, p.fail(t, "%q is no Ethernet address", t.text)
	}
	if p.link != LinkEthernet {
		return nil, p.fail(t, "there are no Ethernet addresses on raw IP")
	}
	a := [6]byte(mac)
	return either(q.dir, func() *node { return p.mac(a, 6) }, func() *node { return p.mac(a, 0) }), nil
}

func (p *parser) mac(a [6]byte, off uint32) *node {
	return and(test(opEqual, binary.BigEndian.Uint32(a[2:]), load(sizeWord, off+2)),
		test(opEqual, uint32(binary.BigEndian.Uint16(a[:])), load(sizeHalf, off)))
}

// net reads "10", "10.1", "10.0.0.0/8", "10.0.0.0 mask 255.0.0.0" and the like of IPv6.
func (p *parser) net(q quals) (*node, error) {
	t := p.next()
	text, length, hasLength := strings.Cut(t.text, "/")
	bits := -1
	if hasLength {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil {
			return nil, p.fail(t, "%q is no prefix length", length)
		}
		bits = int(n)
	}
	if strings.Contains(text, ":") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, p.fail(t, "%q is no network; names are not looked up", t.text)
		}
		if bits < 0 {
			bits = a.BitLen()
		}
		return p.within(t, q, netip.PrefixFrom(a, bits))
	}
	parts := strings.Split(text, ".")
	full := slices.Concat(parts, []string{"0", "0", "0"})
	a, err := netip.ParseAddr(strings.Join(full[:4], "."))
	if err != nil || len(parts) > 4 {
		return nil, p.fail(t, "%q is no network; names are not looked up", t.text)
	}
	if p.peek().text == "mask" && !hasLength {
		p.next()
		m := p.next()
		mask, err := netip.ParseAddr(m.text)
		if err != nil || !mask.Is4() {
			return nil, p.fail(m, "%q is no mask", m.text)
		}
		ones, all := net.IPMask(mask.AsSlice()).Size()
		if all == 0 {
			return nil, p.fail(m, "mask %s has ones behind zeros", m.text)
		}
		bits = ones
	} else if bits < 0 {
		bits = 8 * len(parts)
	}
	return p.within(t, q, netip.PrefixFrom(a, bits))
}

// within is the condition that an address is in a network.
func (p *parser) within(t token, q quals, net netip.Prefix) (*node, error) {
	switch {
	case !net.IsValid():
		return nil, p.fail(t, "%q has a wrong prefix length", t.text)
	case net.Masked() != net:
		return nil, p.fail(t, "%q has bits set behind its prefix", t.text)
	case net.Addr().Is4In6():
		return nil, p.fail(t, "write %q as an IPv4 address", t.text)
	}
	at := func(off uint32) func() *node {
		return func() *node { return prefix(net, off) }
	}
	if net.Addr().Is6() {
		if q.proto != "" && q.proto != "ip6" {
			return nil, p.fail(t, "%q is of IPv6, %s has none such", t.text, q.proto)
		}
		return and(p.etherType(etherIPv6), either(q.dir, at(p.l3()+8), at(p.l3()+24))), nil
	}
	ip := and(p.etherType(etherIPv4), either(q.dir, at(p.l3()+12), at(p.l3()+16)))
	arp := either(q.dir, at(p.l3()+14), at(p.l3()+24))
	switch q.proto {
	case "":
		return or(ip, and(or(p.etherType(etherARP), p.etherType(etherRARP)), arp)), nil
	case "ip":
		return ip, nil
	case "arp", "rarp":
		return and(p.etherType(etherProtos[q.proto]), arp), nil
	}
	return nil, p.fail(t, "%s has no IPv4 addresses: write %s and host %s", q.proto, q.proto, t.text)
}

// prefix compares the bits of a network with those at off.
func prefix(net netip.Prefix, off uint32) *node {
	n := always(true)
	b := net.Addr().AsSlice()
	for i := len(b) - 4; i >= 0; i -= 4 {
		bits := min(max(net.Bits()-i*8, 0), 32)
		if bits == 0 {
			continue
		}
		mask := ^uint32(0) << (32 - bits)
		n = and(test(opEqual, binary.BigEndian.Uint32(b[i:]), masked(sizeWord, off+uint32(i), mask)), n)
	}
	return n
}

// ports reads a port or a range of them.
func (p *parser) ports(q quals) (*node, error) {
	t := p.next()
	low, high, ranged := strings.Cut(t.text, "-")
	if !ranged {
		high = low
	} else if q.kind == "port" {
		return nil, p.fail(t, "a range of ports is a portrange")
	}
	a, err := strconv.ParseUint(low, 10, 16)
	b, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil {
		return nil, p.fail(t, "%q is no port from 0 to 65535; names are not looked up", t.text)
	}
	if a > b {
		a, b = b, a
	}
	protos := []string{"tcp", "udp", "sctp"}
	if q.proto != "" {
		if !slices.Contains(protos, q.proto) {
			return nil, p.fail(t, "%s has no ports: write %s and %s %s", q.proto, q.proto, q.kind, t.text)
		}
		protos = []string{q.proto}
	}
	proto := func(off uint32) *node {
		n := always(false)
		for _, name := range protos {
			n = or(n, test(opEqual, ipProtos[name], load(sizeByte, off)))
		}
		return n
	}
	between := func(load code) func() *node {
		return func() *node {
			if a == b {
				return test(opEqual, uint32(a), load)
			}
			return and(test(opGreaterEq, uint32(a), load), not(test(opGreater, uint32(b), load)))
		}
	}
	l3 := p.l3()
	v4 := func(off uint32) code { return code{{Op: opHeaderX, K: l3}, {Op: opLoadX | sizeHalf, K: l3 + off}} }
	v6 := func(off uint32) code { return load(sizeHalf, l3+40+off) }
	return or(
		and(and(p.etherType(etherIPv6), proto(l3+6)), either(q.dir, between(v6(0)), between(v6(2)))),
		and(and(and(p.etherType(etherIPv4), proto(l3+9)), p.first()), either(q.dir, between(v4(0)), between(v4(2)))),
	), nil
}

// proto reads the number or name of a protocol.
func (p *parser) proto(q quals) (*node, error) {
	t := p.next()
	name := strings.TrimPrefix(t.text, `\`)
	if q.dir != "" {
		return nil, p.fail(t, "a protocol has no %s", q.dir)
	}
	known := ipProtos
	if q.proto == "ether" {
		known = etherProtos
	}
	n, ok := known[name]
	if !ok {
		v, err := strconv.ParseUint(name, 0, 16)
		if err != nil || q.proto == "ether" && (v < 0x600 || p.link != LinkEthernet) || q.proto != "ether" && v > 255 {
			return nil, p.fail(t, "%q is no protocol that can be told here", t.text)
		}
		n = uint32(v)
	}
	switch q.proto {
	case "ether":
		return p.etherType(n), nil
	case "ip":
		return p.over4(n), nil
	case "ip6":
		return p.over6(n), nil
	case "":
		return or(p.over4(n), p.over6(n)), nil
	}
	return nil, p.fail(t, "%s carries no protocol by number", q.proto)
}
