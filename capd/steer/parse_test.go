package steer

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"weir/capd/source"
	"weir/proto/pkt"
)

// flow writes what Parse found: endpoints in the packet's direction, protocol,
// then VLAN and tunnel if there are any, then the payload.
func flow(p *Packet) string {
	src := netip.AddrPortFrom(p.Key.AddrA(), p.Key.PortA)
	dst := netip.AddrPortFrom(p.Key.AddrB(), p.Key.PortB)
	if p.Fields.Flags&pkt.FlagReverse != 0 {
		src, dst = dst, src
	}
	s := fmt.Sprintf("%s > %s %d", src, dst, p.Key.Proto)
	if p.Key.VLAN != 0 {
		s += fmt.Sprintf(" vlan %d", p.Key.VLAN)
	}
	if k := p.Fields.Link; k != pkt.LinkPlain {
		s += " " + pkt.LinkName(k)
	}
	b := p.b[p.Prefix.Data:]
	return s + fmt.Sprintf(" %q", b[:min(len(b), int(p.Fields.L4Len))])
}

const (
	in4 = `192.168.1.2:40000 > 192.168.1.3:443 6`
	in6 = `[2001:db8::2]:40000 > [2001:db8::3]:443 6`
)

func TestParseLinkTypes(t *testing.T) {
	t.Parallel()
	sll := func(typ uint16, in []byte) []byte { return cat(u16(4, 1, 6), make([]byte, 8), u16(typ), in) }
	sll2 := func(typ uint16, in []byte) []byte {
		return cat(u16(typ, 0), u32(7), u16(1), []byte{4, 6}, make([]byte, 8), in)
	}
	ppi := func(link byte, in []byte) []byte { return cat([]byte{0, 0, 12, 0, link, 0, 0, 0, 9, 9, 9, 9}, in) }
	snap := []byte{0xaa, 0xaa, 3, 0, 0, 0}
	tests := []struct {
		name string
		link uint32
		b    []byte
		want string
	}{
		{"ethernet", 1, eth(0x0800, inner()), in4 + ` "hello"`},
		{"ethernet, IPv6", 1, eth(0x86dd, inner6()), in6 + ` "hello"`},
		{"ethernet, padded", 1, cat(eth(0x0800, inner()), make([]byte, 20)), in4 + ` "hello"`},
		{"LLC/SNAP", 1, cat(macs, u16(100), snap, u16(0x0800), inner()), in4 + ` "hello"`},
		{"bridged SNAP", 1, cat(macs, u16(100), []byte{0xaa, 0xaa, 3, 0, 0, 0xf8}, u16(0x86dd), inner6()), in6 + ` "hello"`},
		{"LLC, IP", 1, cat(macs, u16(100), []byte{6, 6, 3}, inner()), in4 + ` "hello"`},
		{"raw 101", 101, inner(), in4 + ` "hello"`},
		{"raw 101, IPv6", 101, inner6(), in6 + ` "hello"`},
		{"raw 12", 12, inner(), in4 + ` "hello"`},
		{"raw 14", 14, inner6(), in6 + ` "hello"`},
		{"IPv4 228", 228, inner(), in4 + ` "hello"`},
		{"IPv6 229", 229, inner6(), in6 + ` "hello"`},
		{"SLL", 113, sll(0x0800, inner()), in4 + ` "hello"`},
		{"SLL, VLAN", 113, sll(0x8100, vlan(5, 0x0800, inner())), in4 + ` vlan 5 "hello"`},
		{"SLL, LLC", 113, sll(4, cat(snap, u16(0x0800), inner())), in4 + ` "hello"`},
		{"SLL2", 276, sll2(0x86dd, inner6()), in6 + ` "hello"`},
		{"NULL little", 0, cat([]byte{2, 0, 0, 0}, inner()), in4 + ` "hello"`},
		{"NULL big", 0, cat([]byte{0, 0, 0, 2}, inner()), in4 + ` "hello"`},
		{"NULL, IPv6 of macOS", 0, cat([]byte{30, 0, 0, 0}, inner6()), in6 + ` "hello"`},
		{"LOOP, IPv6 of OpenBSD", 108, cat([]byte{0, 0, 0, 24}, inner6()), in6 + ` "hello"`},
		{"PPP", 9, cat([]byte{0xff, 3, 0, 0x21}, inner()), in4 + ` "hello"`},
		{"PPP without framing", 9, cat([]byte{0, 0x57}, inner6()), in6 + ` "hello"`},
		{"PPP, compressed protocol", 50, cat([]byte{0x21}, inner()), in4 + ` "hello"`},
		{"PPP type, Cisco framing", 50, cat([]byte{0x0f, 0, 8, 0}, inner()), in4 + ` "hello"`},
		{"PPPoE", 51, cat([]byte{0x11, 0, 0, 9}, u16(uint16(len(inner())+2)), []byte{0, 0x21}, inner()), in4 + ` pppoe "hello"`},
		{"C-HDLC", 104, cat([]byte{0x8f, 0, 0x86, 0xdd}, inner6()), in6 + ` "hello"`},
		{"PPI", 192, ppi(1, eth(0x0800, inner())), in4 + ` "hello"`},
	}
	var p Packet
	for _, tt := range tests {
		if out := p.Parse(frame(tt.link, tt.b)); out != Delivered || flow(&p) != tt.want {
			t.Errorf("%s: Parse = %v, %s, want %s", tt.name, out, flow(&p), tt.want)
		}
		outgoing := tt.link == 113 || tt.link == 276
		if got := p.Fields.Flags&pkt.FlagOutgoing != 0; got != outgoing {
			t.Errorf("%s: outgoing = %v, want %v", tt.name, got, outgoing)
		}
	}
}

func TestParseLayers(t *testing.T) {
	t.Parallel()
	pppoe := func(in []byte) []byte { return cat([]byte{0x11, 0, 0, 9}, u16(uint16(len(in))), in) }
	gre := func(flags, typ uint16, in []byte) []byte { return outer(47, cat(u16(flags, typ), in)) }
	over := func(port uint16, in ...[]byte) []byte { return outer(17, udp(5555, port, cat(in...))) }
	gtp := func(flags byte, n int, in []byte) []byte {
		return over(2152, []byte{flags, 0xff}, u16(uint16(n)), u32(0xabcd), in)
	}
	teredo := ip6(6, "2001:0:1::2", "2001:db8::3", tcp(40000, 443, "hello"))
	inT := `[2001:0:1::2]:40000 > [2001:db8::3]:443 6`
	wifi := func(fc uint16, extra int, in []byte) []byte {
		return cat(u16(fc), make([]byte, 22+extra), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, in)
	}
	capwap := func(word uint32, in []byte) []byte { return over(5247, u32(word, 0), in) }
	n := len(inner())
	ether := eth(0x0800, inner())
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"VLAN", eth(0x8100, vlan(0xe064, 0x0800, inner())), in4 + ` vlan 100 "hello"`},
		{"priority tag", eth(0x8100, vlan(0xe000, 0x0800, inner())), in4 + ` "hello"`},
		{"QinQ", eth(0x88a8, vlan(7, 0x8100, vlan(8, 0x86dd, inner6()))), in6 + ` vlan 8 "hello"`},
		{"old QinQ", eth(0x9100, vlan(7, 0x9200, vlan(8, 0x8100, vlan(9, 0x0800, inner())))), in4 + ` vlan 9 "hello"`},
		{"PPPoE", eth(0x8864, pppoe(cat([]byte{0, 0x21}, inner()))), in4 + ` pppoe "hello"`},
		{"VLAN, PPPoE, IPv6", eth(0x8100, vlan(7, 0x8864, pppoe(cat([]byte{0, 0x57}, inner6())))), in6 + ` vlan 7 pppoe "hello"`},
		{"MPLS", eth(0x8847, cat(u32(0x00010140), inner())), in4 + ` mpls "hello"`},
		{"MPLS, three labels, IPv6", eth(0x8848, cat(u32(0x00010040, 0x00020040, 0x00030140), inner6())), in6 + ` mpls "hello"`},
		{"MPLS, pseudowire", eth(0x8847, cat(u32(0x00010140, 0), ether)), in4 + ` mpls "hello"`},
		{"MPLS, pseudowire without control word", eth(0x8847, cat(u32(0x00010140), []byte{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 6, 8, 0}, inner())), in4 + ` mpls "hello"`},
		{"MPLS in IP", outer(137, cat(u32(0x00010140), inner())), in4 + ` mpls "hello"`},
		{"IP in IP", outer(4, inner()), in4 + ` ipip "hello"`},
		{"6in4", outer(41, inner6()), in6 + ` ipip "hello"`},
		{"4in6", eth(0x86dd, ip6(4, "fd00::1", "fd00::2", inner())), in4 + ` ipip "hello"`},
		{"6in6", eth(0x86dd, ip6(41, "fd00::1", "fd00::2", inner6())), in6 + ` ipip "hello"`},
		{"GRE", gre(0, 0x0800, inner()), in4 + ` gre "hello"`},
		{"GRE, all options, IPv6", gre(0xb000, 0x86dd, cat(u32(1, 2, 3), inner6())), in6 + ` gre "hello"`},
		{"GRE, Ethernet", gre(0, 0x6558, ether), in4 + ` gre "hello"`},
		{"GRE, PPTP", gre(0x3081, 0x880b, cat(u32(0x00200001, 1, 2), []byte{0xff, 3, 0, 0x21}, inner())), in4 + ` gre "hello"`},
		{"ERSPAN I", gre(0, 0x88be, ether), in4 + ` gre "hello"`},
		{"ERSPAN II", gre(0x1000, 0x88be, cat(u32(1), make([]byte, 8), ether)), in4 + ` gre "hello"`},
		{"ERSPAN III", gre(0x1000, 0x22eb, cat(u32(1), make([]byte, 12), ether)), in4 + ` gre "hello"`},
		{"ERSPAN III, subheader", gre(0x1000, 0x22eb, cat(u32(1), make([]byte, 11), []byte{1}, make([]byte, 8), ether)), in4 + ` gre "hello"`},
		{"EtherIP", outer(97, cat(u16(0x3000), ether)), in4 + ` gre "hello"`},
		{"VXLAN, VLAN inside", over(4789, []byte{8, 0, 0, 0, 0, 0, 5, 0}, eth(0x8100, vlan(3, 0x0800, inner()))), in4 + ` vlan 3 vxlan "hello"`},
		{"Geneve", over(6081, []byte{1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 4}, ether), in4 + ` geneve "hello"`},
		{"GTP-U", gtp(0x30, n, inner()), in4 + ` gtpu "hello"`},
		{"GTP-U, sequence", gtp(0x32, len(inner6())+4, cat([]byte{0, 1, 0, 0}, inner6())), in6 + ` gtpu "hello"`},
		{"GTP-U, extensions", gtp(0x34, n+16, cat([]byte{0, 0, 0, 0x85, 1, 0, 0, 0x40, 2, 0, 0, 0, 0, 0, 0, 0}, inner())), in4 + ` gtpu "hello"`},
		{"Teredo", over(3544, teredo), inT + ` teredo "hello"`},
		{"Teredo, authentication and origin", over(3544, []byte{0, 1, 1, 2, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0}, []byte{0, 0, 1, 2, 3, 4, 5, 6}, teredo), inT + ` teredo "hello"`},
		{"CAPWAP, 802.3", capwap(2<<19, ether), in4 + ` capwap "hello"`},
		{"CAPWAP, 802.11", capwap(2<<19|1<<9|1<<8, wifi(0x0801, 0, inner())), in4 + ` capwap "hello"`},
		{"CAPWAP, 802.11 QoS, four addresses", capwap(2<<19|1<<8, wifi(0x8803, 8, inner())), in4 + ` capwap "hello"`},
		{"CAPWAP, 802.11 swapped", capwap(2<<19|1<<8, wifi(0x0288, 2, inner())), in4 + ` capwap "hello"`},
		{"L2TP", over(1701, u16(0x4002, 0, 1, 2), []byte{0xff, 3, 0, 0x21}, inner()), in4 + ` l2tp "hello"`},
		{"L2TP, sequence and offset", over(1701, u16(0x0a02, 1, 2, 0, 0, 2, 0xeeee), []byte{0, 0x21}, inner()), in4 + ` l2tp "hello"`},
		{"AH", outer(51, cat([]byte{6, 4, 0, 0}, u32(1, 2, 3, 4, 5), tcp(1, 2, "hello"))), `10.0.0.1:1 > 10.0.0.2:2 6 "hello"`},
		{"ESP", outer(50, []byte("secret")), `10.0.0.1:0 > 10.0.0.2:0 50 "secret"`},
		{"ICMP", outer(1, []byte("\x08\x00ping")), `10.0.0.1:0 > 10.0.0.2:0 1 "\b\x00ping"`},
		{"no next header", eth(0x86dd, ip6(59, "fd00::1", "fd00::2", nil)), `[fd00::1]:0 > [fd00::2]:0 59 ""`},
		{"extension headers", eth(0x86dd, ip6(0, "fd00::1", "fd00::2", ext(43, 1, ext(60, 0, ext(6, 2, tcp(1, 2, "hello")))))), `[fd00::1]:1 > [fd00::2]:2 6 "hello"`},
		{"AH in IPv6", eth(0x86dd, ip6(51, "fd00::1", "fd00::2", cat([]byte{17, 4, 0, 0}, u32(1, 2, 3, 4, 5), udp(1, 2, []byte("hello"))))), `[fd00::1]:1 > [fd00::2]:2 17 "hello"`},
		{"atomic fragment", eth(0x86dd, ip6(44, "fd00::1", "fd00::2", frag6(60, 7, 0, false, ext(17, 0, udp(1, 2, []byte("hello")))))), `[fd00::1]:1 > [fd00::2]:2 17 "hello"`},
		{"IPv4 options", eth(0x0800, ip4opt(17, "10.0.0.1", "10.0.0.2", make([]byte, 8), udp(1, 2, []byte("hello")))), `10.0.0.1:1 > 10.0.0.2:2 17 "hello"`},
		{"UDP length less than the packet", outer(17, cat(u16(1, 2, 13, 0), []byte("helloTRAIL"))), `10.0.0.1:1 > 10.0.0.2:2 17 "hello"`},
		{"UDP length impossible", outer(17, cat(u16(1, 2, 3, 0), []byte("hello"))), `10.0.0.1:1 > 10.0.0.2:2 17 "hello"`},
		{"UDP length impossible, longer", outer(17, cat(u16(1, 2, 3, 0), []byte("hello, hello, hello"))), `10.0.0.1:1 > 10.0.0.2:2 17 "hello, hello, hello"`},
		{"three tunnels", outer(4, ip4(41, "172.16.0.1", "172.16.0.2", ip6(47, "fd00::1", "fd00::2", cat(u16(0, 0x0800), inner())))), in4 + ` gre "hello"`},
	}
	var p Packet
	for _, tt := range tests {
		if out := p.Parse(frame(1, tt.b)); out != Delivered || flow(&p) != tt.want {
			t.Errorf("%s: Parse = %v, %s, want %s", tt.name, out, flow(&p), tt.want)
		}
		if six := p.Fields.Flags&pkt.FlagIPv6 != 0; six != (p.Key.Version == 6) {
			t.Errorf("%s: IPv6 flag %v, version %d", tt.name, six, p.Key.Version)
		}
		if n := len(tt.b) - int(p.Prefix.Data); int(p.Fields.L4Len) > n {
			t.Errorf("%s: payload of %d bytes, the frame has %d", tt.name, p.Fields.L4Len, n)
		}
	}
}

// TestOuterStands holds that a tunnel's own flow counts where its inside is no
// packet, and that nothing of the try is left behind.
func TestOuterStands(t *testing.T) {
	t.Parallel()
	const a = "10.0.0.1:0 > 10.0.0.2:0 "
	badTCP := ip4(6, "192.168.1.2", "192.168.1.3", make([]byte, 20)) // data offset 0
	gre := func(flags, typ uint16, in []byte) []byte { return outer(47, cat(u16(flags, typ), in)) }
	over := func(port uint16, in ...[]byte) []byte { return outer(17, udp(5555, port, cat(in...))) }
	onPort := func(port int) string { return fmt.Sprintf("10.0.0.1:5555 > 10.0.0.2:%d 17", port) }
	deep := inner()
	for range maxDepth {
		deep = ip4(4, "172.16.0.1", "172.16.0.2", deep)
	}
	tests := []struct {
		name string
		b    []byte
		want string
	}{
		{"IP in IP, broken inside", outer(4, badTCP), a + "4"},
		{"IP in IP, cut", outer(4, inner()[:30]), a + "4"},
		{"6in4, other version", outer(41, inner()), a + "41"},
		{"GRE keep-alive", gre(0, 0, nil), a + "47"},
		{"GRE, no header", outer(47, []byte{0, 0}), a + "47"},
		{"GRE, routing", gre(0x4000, 0x0800, cat(u32(0), inner())), a + "47"},
		{"GRE, version 7", gre(7, 0x0800, inner()), a + "47"},
		{"GRE, PPTP without payload", gre(0x2081, 0x880b, u32(1, 2)), a + "47"},
		{"GRE, PPP encrypted", gre(0x2001, 0x880b, cat(u32(1), []byte{0, 0xfd, 1, 2, 3})), a + "47"},
		{"GRE, ARP", gre(0, 0x6558, eth(0x0806, make([]byte, 28))), a + "47"},
		{"EtherIP version", outer(97, cat(u16(0x4000), eth(0x0800, inner()))), a + "97"},
		{"VXLAN, ARP inside a VLAN", over(4789, []byte{8, 0, 0, 0, 0, 0, 5, 0}, eth(0x8100, vlan(3, 0x0806, make([]byte, 28)))), onPort(4789)},
		{"VXLAN flags", over(4789, make([]byte, 8), eth(0x0800, inner())), onPort(4789)},
		{"Geneve version", over(6081, []byte{0x40, 0, 0x65, 0x58, 0, 0, 5, 0}, eth(0x0800, inner())), onPort(6081)},
		{"GTP-U echo", over(2152, []byte{0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0}), onPort(2152)},
		{"GTP-U, length too small", over(2152, []byte{0x30, 0xff, 0, 10, 0, 0, 0, 1}, inner()), onPort(2152)},
		{"GTP-U, extension of length 0", over(2152, []byte{0x34, 0xff, 0, 60, 0, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 0}, inner()), onPort(2152)},
		{"Teredo bubble", over(3544, ip6(59, "2001:0:1::2", "2001:0:1::3", nil)), onPort(3544)},
		{"Teredo, router solicitation", over(3544, ip6(58, "fe80::1", "ff02::2", make([]byte, 8))), onPort(3544)},
		{"CAPWAP, DTLS", over(5247, []byte{1, 0, 0, 0, 0, 0, 0, 0}, inner()), onPort(5247)},
		{"CAPWAP, fragment", over(5247, u32(2<<19|1<<7, 0), eth(0x0800, inner())), onPort(5247)},
		{"CAPWAP, protected 802.11", over(5247, u32(2<<19|1<<8, 0), u16(0x0841), make([]byte, 60)), onPort(5247)},
		{"CAPWAP, 802.11 without data", over(5247, u32(2<<19|1<<8, 0), u16(0x4801), make([]byte, 22), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner()), onPort(5247)},
		{"L2TP control", over(1701, u16(0xc802, 20, 1, 2, 3, 4), make([]byte, 8)), onPort(1701)},
		{"AH too long", outer(51, cat([]byte{6, 99, 0, 0}, make([]byte, 40))), a + "51"},
		{"AH too short", outer(51, cat([]byte{6, 0, 0, 0}, make([]byte, 40))), a + "51"},
		{"too deep", outer(4, deep), "172.16.0.1:0 > 172.16.0.2:0 4 ipip"},
	}
	var p Packet
	for _, tt := range tests {
		out := p.Parse(frame(1, tt.b))
		got := flow(&p)
		if i := bytes.IndexByte([]byte(got), '"'); i > 0 {
			got = got[:i-1]
		}
		if out != Delivered || got != tt.want {
			t.Errorf("%s: Parse = %v, %s, want %s", tt.name, out, got, tt.want)
		}
		if p.Fields.Flags&(pkt.FlagVLAN|pkt.FlagIPv6) != 0 || p.Fields.Seq != 0 {
			t.Errorf("%s: flags %#x, seq %d left from the inside", tt.name, p.Fields.Flags, p.Fields.Seq)
		}
	}
}

func TestParseOutcomes(t *testing.T) {
	t.Parallel()
	patch := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	e4, e6 := eth(0x0800, inner()), eth(0x86dd, inner6())
	manyExt := tcp(1, 2, "")
	for range maxExtensions + 1 {
		manyExt = ext(60, 0, manyExt)
	}
	stack := eth(0x0800, inner())
	for range 2 * maxTags {
		stack = eth(0x6558, stack)
	}
	labels := make([]byte, 4*(maxLabels+1)+20)
	tests := []struct {
		name string
		link uint32
		b    []byte
		want Outcome
	}{
		{"unknown link type", 147, e4, UnknownLink},
		{"PPI in PPI", 192, []byte{0, 0, 8, 0, 192, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0, 0}, UnknownLink},
		{"ARP", 1, eth(0x0806, make([]byte, 28)), NonIP},
		{"STP", 1, cat(macs, u16(38), []byte{0x42, 0x42, 3}, make([]byte, 35)), NonIP},
		{"SNAP, CDP", 1, cat(macs, u16(38), []byte{0xaa, 0xaa, 3, 0, 0, 0xc, 0x20, 0}, make([]byte, 30)), NonIP},
		{"PPPoE discovery", 1, eth(0x8863, make([]byte, 20)), NonIP},
		{"PPPoE code", 1, eth(0x8864, []byte{0x11, 9, 0, 0, 0, 0, 0, 0x21}), NonIP},
		{"LCP", 9, []byte{0xff, 3, 0xc0, 0x21, 1, 1, 0, 4}, NonIP},
		{"NULL, other family", 0, []byte{7, 0, 0, 0, 1, 2}, NonIP},
		{"SLL, novell", 113, cat(make([]byte, 14), u16(1), make([]byte, 20)), NonIP},
		{"VLAN stack", 1, eth(0x8100, bytes.Repeat([]byte{0, 1, 0x81, 0}, maxTags+1)), NonIP},
		{"Ethernet stack", 1, stack, NonIP},
		{"MPLS without bottom", 1, eth(0x8847, labels), NonIP},
		{"MPLS, unknown inside", 1, eth(0x8847, cat(u32(0x00010140), []byte{0xff, 0, 0, 0})), NonIP},

		{"nothing", 1, nil, Short},
		{"half an Ethernet header", 1, e4[:13], Short},
		{"half a tag", 1, eth(0x8100, []byte{0, 1}), Short},
		{"raw, nothing", 101, nil, Short},
		{"no IPv4 addresses", 1, e4[:14+19], Short},
		{"no IPv6 addresses", 1, e6[:14+39], Short},
		{"NULL, nothing", 0, []byte{2}, Short},
		{"SLL, half", 113, make([]byte, 15), Short},
		{"SLL2, half", 276, make([]byte, 19), Short},
		{"PPI, half", 192, []byte{0, 0, 40, 0, 1, 0, 0, 0}, Short},
		{"C-HDLC, half", 104, []byte{0x0f, 0, 8}, Short},
		{"LLC, half", 1, cat(macs, u16(3), []byte{0xaa, 0xaa}), Short},
		{"MPLS, half", 1, eth(0x8847, []byte{0, 0, 1}), Short},
		{"PPPoE, half", 1, eth(0x8864, []byte{0x11, 0, 0}), Short},

		{"raw, version 5", 101, patch(inner(), 0, 0x55), IPHeader},
		{"IPv4 type, version 6", 1, patch(e4, 14, 0x65), IPHeader},
		{"IPv6 type, version 4", 1, patch(e6, 14, 0x45), IPHeader},
		{"IHL 4", 1, patch(e4, 14, 0x44), IPHeader},
		{"total less than header", 1, patch(e4, 16, 0, 19), IPLength},
		{"total more than frame", 1, patch(e4, 16, 0xff, 0xff), IPLength},
		{"IHL more than total", 1, patch(e4, 14, 0x4f, 0, 0, 40), IPLength},
		{"IPv6 length more than frame", 1, patch(e6, 18, 0xff, 0xff), IPLength},
		{"TCP offset 4", 1, patch(e4, 14+20+12, 0x40), L4Header},
		{"TCP offset 15", 1, patch(e4, 14+20+12, 0xf0), L4Header},
		{"TCP of 19 bytes", 1, outer(6, make([]byte, 19)), L4Header},
		{"UDP of 7 bytes", 1, outer(17, make([]byte, 7)), L4Header},
		{"extension beyond packet", 1, eth(0x86dd, ip6(0, "fd00::1", "fd00::2", ext(6, 0, nil)[:8])), L4Header},
		{"extension too long", 1, eth(0x86dd, ip6(0, "fd00::1", "fd00::2", patch(ext(6, 0, tcp(1, 2, "")), 1, 200))), ExtHeader},
		{"extension of 7 bytes", 1, eth(0x86dd, ip6(0, "fd00::1", "fd00::2", make([]byte, 7))), ExtHeader},
		{"fragment header of 7 bytes", 1, eth(0x86dd, ip6(44, "fd00::1", "fd00::2", make([]byte, 7))), ExtHeader},
		{"too many extensions", 1, eth(0x86dd, ip6(60, "fd00::1", "fd00::2", manyExt)), ExtHeader},

		{"fragment", 1, eth(0x0800, ip4frag(1, 0, true, 17, make([]byte, 16))), Held},
		{"last fragment", 1, eth(0x0800, ip4frag(1, 16, false, 17, make([]byte, 3))), Held},
		{"IPv6 fragment", 1, eth(0x86dd, ip6(44, "fd00::1", "fd00::2", frag6(17, 1, 0, true, make([]byte, 16)))), Held},
		{"fragment in a tunnel", 1, outer(4, ip4frag(1, 0, true, 17, make([]byte, 16))), Held},
		{"last byte of the largest datagram", 1, eth(0x0800, ip4frag(1, 65512, false, 17, make([]byte, 3))), Held},
		{"last byte of the largest IPv6 datagram", 1, eth(0x86dd, ip6(44, "fd00::1", "fd00::2", frag6(17, 1, 65528, false, make([]byte, 7)))), Held},
		{"one byte more", 1, eth(0x0800, ip4frag(1, 65512, false, 17, make([]byte, 4))), BadFragment},
		{"fragment behind headers too long to keep", 1, eth(0x86dd, ip6(60, "fd00::1", "fd00::2", ext(44, 130, frag6(17, 1, 0, true, make([]byte, 16))))), ExtHeader},
		{"fragment not of eights", 1, eth(0x0800, ip4frag(1, 0, true, 17, make([]byte, 15))), BadFragment},
		{"fragment of nothing", 1, eth(0x0800, ip4frag(1, 8, true, 17, nil)), BadFragment},
		{"ping of death", 1, eth(0x0800, ip4frag(1, 65528, false, 1, make([]byte, 100))), BadFragment},
		{"IPv6 ping of death", 1, eth(0x86dd, ip6(44, "fd00::1", "fd00::2", frag6(58, 1, 65528, false, make([]byte, 100)))), BadFragment},
	}
	var p Packet
	for _, tt := range tests {
		if out := p.Parse(frame(tt.link, tt.b)); out != tt.want {
			t.Errorf("%s: Parse = %v, want %v", tt.name, out, tt.want)
		}
	}
}

// TestParseCut holds that a frame which the capture cut is delivered with what
// there is, as soon as the key is there, and with the lengths of the wire.
func TestParseCut(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("x"), 1000)
	whole := map[string][]byte{
		"tcp":  outer(6, tcp(40000, 443, string(payload))),
		"udp":  outer(17, udp(40000, 53, payload)),
		"icmp": outer(1, payload),
	}
	l4len := map[string]uint16{"tcp": 1000, "udp": 1000, "icmp": 1000}
	var p Packet
	for name, b := range whole {
		for n := range b {
			f := frame(1, b[:n:n])
			f.WireLen = uint32(len(b))
			out := p.Parse(f)
			need := 14 + 20
			if name != "icmp" {
				need += 4
			}
			if n < need {
				if out != Short {
					t.Errorf("%s cut at %d: Parse = %v, want short", name, n, out)
				}
				continue
			}
			if out != Delivered || p.Fields.L4Len != l4len[name] || p.Fields.Flags&pkt.FlagTruncated == 0 ||
				int(p.Prefix.Data) > n || p.Fields.WireLen != uint32(len(b)) || int(p.Fields.CapLen) != n {
				t.Errorf("%s cut at %d: Parse = %v, %+v, %+v", name, n, out, p.Fields, p.Prefix)
			}
		}
	}
	if p.Parse(frame(1, whole["tcp"])); p.Fields.Flags&pkt.FlagTruncated != 0 {
		t.Error("a whole frame is flagged as truncated")
	}
}

// TestParseFields looks at all that a descriptor and a prefix say.
func TestParseFields(t *testing.T) {
	t.Parallel()
	b := eth(0x8100, vlan(0x2005, 0x86dd, ip6(6, "fd00::9", "fd00::1", tcp(443, 40000, "answer"))))
	var p Packet
	if out := p.Parse(frame(1, b)); out != Delivered {
		t.Fatalf("Parse = %v", out)
	}
	fields := pkt.Fields{
		TS: 1e18, WireLen: uint32(len(b)), CapLen: uint32(len(b)), Seq: 0x01020304, Ack: 0x05060708, L4Len: 6,
		Flags: pkt.FlagReverse | pkt.FlagIPv6 | pkt.FlagVLAN | pkt.FlagEthernet, TCPFlags: 0x18, Kind: pkt.KindPacket, IPProto: 6,
	}
	if p.Fields != fields {
		t.Errorf("fields = %+v, want %+v", p.Fields, fields)
	}
	prefix := pkt.PrefixFields{In: 3, Out: 3, VLAN: 0x2005, L3: 18, L4: 58, Data: 78}
	if p.Prefix != prefix {
		t.Errorf("prefix = %+v, want %+v", p.Prefix, prefix)
	}
	if k := p.Key; k.IfA != 3 || k.IfB != 3 || k.Version != 6 || k.VLAN != 5 || k.PortA != 40000 {
		t.Errorf("key = %+v", k)
	}
	// Nothing of it may be left in the next one.
	p.Parse(frame(101, ip4(1, "10.0.0.1", "10.0.0.2", nil)))
	var q Packet
	q.Parse(frame(101, ip4(1, "10.0.0.1", "10.0.0.2", nil)))
	if p.Fields != q.Fields || p.Prefix != q.Prefix || p.Key != q.Key {
		t.Errorf("after another frame: %+v, fresh: %+v", p, q)
	}
}

// TestOffloaded reads packets whose lengths were left to the network interface.
func TestOffloaded(t *testing.T) {
	t.Parallel()
	big := string(make([]byte, 40000))
	b4 := outer(6, tcp(1, 2, big))
	b4[16], b4[17] = 0, 0
	b6 := eth(0x86dd, ip6(6, "fd00::1", "fd00::2", tcp(1, 2, big)))
	b6[18], b6[19] = 0, 0
	huge := outer(6, tcp(1, 2, string(make([]byte, 200000))))
	huge[16], huge[17] = 0, 0
	var p Packet
	for name, tt := range map[string]struct {
		b    []byte
		want uint16
	}{"IPv4": {b4, 40000}, "IPv6": {b6, 40000}, "BIG TCP": {huge, 65535}} {
		if out := p.Parse(frame(1, tt.b)); out != Delivered || p.Fields.L4Len != tt.want {
			t.Errorf("%s: Parse = %v with %d bytes of payload, want %d", name, out, p.Fields.L4Len, tt.want)
		}
	}
}

// TestParseWireLength survives a wire length that no wire has.
func TestParseWireLength(t *testing.T) {
	t.Parallel()
	b := outer(6, tcp(1, 2, "x"))
	b[16], b[17] = 0, 0
	var p Packet
	if out := p.Parse(&source.Frame{WireLen: 1<<32 - 1, Link: 1, Data: b}); out != Delivered || p.Fields.L4Len != 65535 {
		t.Errorf("Parse = %v with %d bytes of payload, want 65535", out, p.Fields.L4Len)
	}
}

func TestParseAllocs(t *testing.T) {
	var p Packet
	for name, b := range map[string][]byte{
		"plain": outer(6, tcp(1, 2, "hello")),
		"vxlan": outer(17, udp(1, 4789, cat([]byte{8, 0, 0, 0, 0, 0, 5, 0}, eth(0x0800, inner())))),
		"fails": outer(47, cat(u16(0, 0x6558), eth(0x0806, make([]byte, 28)))),
	} {
		f := frame(1, b)
		if n := testing.AllocsPerRun(100, func() { p.Parse(f) }); n != 0 {
			t.Errorf("%s: Parse allocates %v times, want 0", name, n)
		}
	}
}
