package filter

import (
	"slices"
	"strings"
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherRARP = 0x8035
	etherIPv6 = 0x86dd
)

// numbers of IP protocols that are words by themselves.
var ipProtos = map[string]uint32{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "esp": 50, "ah": 51, "icmp6": 58, "pim": 103, "vrrp": 112, "sctp": 132,
}

// Protocols over only one of the IPs.
var (
	only4 = []string{"icmp", "igmp", "vrrp"}
	only6 = []string{"icmp6"}
)

var etherProtos = map[string]uint32{"ip": etherIPv4, "arp": etherARP, "rarp": etherRARP, "ip6": etherIPv6}

// unknown are words of the language that are refused with their name.
var unknown = []string{
	"gateway", "protochain", "mpls", "pppoed", "pppoes", "geneve", "vxlan", "llc", "iso", "stp", "atalk", "aarp", "decnet",
	"sca", "lat", "moprc", "mopdl", "netbeui", "ipx", "wlan", "fddi", "tr", "radio", "ifname", "on", "rnr", "rulenum", "reason",
	"rset", "ruleset", "srnr", "subrulenum", "action", "type", "subtype", "dir", "igrp", "carp", "ifindex", "hopcount",
}

// primitive reads qualifiers and what they qualify.
func (p *parser) primitive() (*node, error) {
	start := p.peek()
	if start.text == "" || !start.word {
		return nil, p.unexpected("a condition")
	}
	switch start.text {
	case "vlan":
		return p.vlan()
	case "less", "greater":
		return p.length()
	case "inbound", "outbound":
		return p.direction()
	case "broadcast", "multicast":
		p.q = nil
		return p.cast("ether")
	}
	if slices.Contains(unknown, start.text) {
		return nil, p.fail(start, "%q is a word of tcpdump that Weir does not know", start.text)
	}
	q := p.qualifiers()
	switch {
	case q == quals{}: // a value by itself
		if p.q == nil {
			return nil, p.fail(start, "%q means nothing here: expected a protocol, host, net, port or another condition", start.text)
		}
		return p.value(*p.q)
	case q.dir == "" && q.kind == "" && (p.peek().text == "broadcast" || p.peek().text == "multicast"):
		p.q = nil
		return p.cast(q.proto)
	case p.peek().text == "(" && (q.dir != "" || q.kind != ""):
		p.q = &q
		n, err := p.group()
		p.q = nil
		return n, err
	case q.dir == "" && q.kind == "" && !p.valueNext():
		p.q = nil
		return p.protocol(start, q.proto)
	}
	p.q = &q
	return p.value(q)
}

// qualifiers reads protocol, direction and kind, each of which may be missing.
func (p *parser) qualifiers() (q quals) {
	word := p.peek().text
	if word == "link" {
		word = "ether"
	}
	if word == "ether" || etherProtos[word] != 0 || ipProtos[word] != 0 {
		q.proto = word
		p.next()
	}
	if d := p.peek().text; d == "src" || d == "dst" {
		q.dir = d
		p.next()
		if join, other := p.peek().text, p.at(1); (other == "src" || other == "dst") && other != d {
			switch join {
			case "or", "||":
				q.dir = "src or dst"
			case "and", "&&":
				q.dir = "src and dst"
			}
			if q.dir != d {
				p.next()
				p.next()
			}
		}
	}
	if k := p.peek().text; slices.Contains([]string{"host", "net", "port", "portrange", "proto"}, k) {
		q.kind = k
		p.next()
	}
	return q
}

// valueNext reports whether an address comes, which needs no word "host".
func (p *parser) valueNext() bool {
	t := p.peek()
	return t.word && strings.ContainsAny(t.text, ".:") && (isHex(t.text[0]) || t.text[0] == ':')
}

// l3 is where the network header begins.
func (p *parser) l3() uint32 {
	if p.link == LinkRaw {
		return 0
	}
	return 14 + p.shift
}

// etherType is the condition that a frame carries a protocol.
func (p *parser) etherType(typ uint32) *node {
	if p.link == LinkEthernet {
		return test(opEqual, typ, load(sizeHalf, p.l3()-2))
	}
	switch typ {
	case etherIPv4:
		return test(opEqual, 0x40, masked(sizeByte, 0, 0xf0))
	case etherIPv6:
		return test(opEqual, 0x60, masked(sizeByte, 0, 0xf0))
	}
	return always(false)
}

// over4 is the condition that an IPv4 packet carries a protocol.
func (p *parser) over4(proto uint32) *node {
	return and(p.etherType(etherIPv4), test(opEqual, proto, load(sizeByte, p.l3()+9)))
}

// over6 is the same for IPv6, also in a fragment without other extension headers.
func (p *parser) over6(proto uint32) *node {
	const fragment = 44
	fragmented := and(test(opEqual, fragment, load(sizeByte, p.l3()+6)), test(opEqual, proto, load(sizeByte, p.l3()+40)))
	return and(p.etherType(etherIPv6), or(test(opEqual, proto, load(sizeByte, p.l3()+6)), fragmented))
}

// first is the condition that an IPv4 packet is no later fragment: it has the
// transport header.
func (p *parser) first() *node {
	return not(test(opSet, 0x1fff, load(sizeHalf, p.l3()+6)))
}

// protocol is the condition of a protocol's name by itself.
func (p *parser) protocol(at token, name string) (*node, error) {
	if typ, ok := etherProtos[name]; ok {
		return p.etherType(typ), nil
	}
	n, ok := ipProtos[name]
	switch {
	case !ok:
		return nil, p.unexpected("host, proto, broadcast or multicast after " + at.text)
	case slices.Contains(only4, name):
		return p.over4(n), nil
	case slices.Contains(only6, name):
		return p.over6(n), nil
	}
	return or(p.over4(n), p.over6(n)), nil
}

// vlan reads "vlan [id]". What stands behind it looks behind the tag.
func (p *parser) vlan() (*node, error) {
	at := p.next()
	p.q = nil
	if p.link != LinkEthernet {
		return nil, p.fail(at, "there are no VLAN tags on raw IP")
	}
	beside := p.beside && !p.vlans
	p.vlans = true
	there := always(true) // tested for the whole program
	tci := load(sizeHalf, adVLAN)
	if !beside {
		there = or(or(p.etherType(0x8100), p.etherType(0x88a8)), p.etherType(0x9100))
		tci = load(sizeHalf, p.l3())
		p.shift += 4
	}
	id, ok := p.constant(p.peek())
	if !ok || strings.Contains(p.peek().text, "-") {
		return there, nil
	}
	if id > 0xfff {
		return nil, p.fail(p.peek(), "VLAN %d: must be 0 to 4095", id)
	}
	p.next()
	return and(there, test(opEqual, id, append(slices.Clone(tci), masked(sizeHalf, 0, 0xfff)[1]))), nil
}

// length reads "less n" and "greater n".
func (p *parser) length() (*node, error) {
	word := p.next().text
	p.q = nil
	n, ok := p.constant(p.peek())
	if !ok {
		return nil, p.unexpected("a length in bytes after " + word)
	}
	p.next()
	size := code{{Op: opLoadLen}}
	if word == "less" {
		return not(test(opGreater, n, size)), nil
	}
	return test(opGreaterEq, n, size), nil
}

// direction reads "inbound" and "outbound", which only the kernel knows.
func (p *parser) direction() (*node, error) {
	const outgoing = 4 // PACKET_OUTGOING
	at := p.next()
	p.q = nil
	if !p.live {
		return nil, p.fail(at, "only what is captured live has a direction")
	}
	n := test(opEqual, outgoing, load(sizeHalf, adPacketType))
	if at.text == "inbound" {
		n = not(n)
	}
	return n, nil
}

// cast reads "broadcast" and "multicast".
func (p *parser) cast(proto string) (*node, error) {
	at := p.next()
	switch {
	case p.link == LinkEthernet && (proto == "ether") && at.text == "broadcast":
		return p.mac([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0), nil
	case p.link == LinkEthernet && proto == "ether":
		return test(opSet, 1, load(sizeByte, 0)), nil
	case proto == "ip" && at.text == "multicast":
		return and(p.etherType(etherIPv4), test(opGreaterEq, 224, load(sizeByte, p.l3()+16))), nil
	case proto == "ip6" && at.text == "multicast":
		return and(p.etherType(etherIPv6), test(opEqual, 255, load(sizeByte, p.l3()+24))), nil
	case proto == "ip":
		return nil, p.fail(at, "ip broadcast needs the mask of the network: name the address by dst host")
	}
	return nil, p.fail(at, "%s has no %s here", proto, at.text)
}
