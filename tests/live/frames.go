package live

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// shape is one way for a flow to travel: what stands around its packets.
type shape struct {
	name string
	ipv6 bool
	tcp  bool
	size int // bytes of payload; more than a frame holds goes in fragments
	vlan []tag

	// outer, if not nil, gives the headers of the tunnel between two routers that
	// carries flow i, back or forth; the packet itself follows.
	outer func(i int, back bool) []gopacket.SerializableLayer
}

// tag is a VLAN tag, the outermost first.
type tag struct {
	Type layers.EthernetType
	ID   uint16
}

// Types of tags (IEEE 802.1Q, 802.1ad).
const (
	customerTag = layers.EthernetTypeDot1Q
	serviceTag  = layers.EthernetTypeQinQ
)

var shapes = []shape{
	{name: "IPv4 UDP", size: 40},
	{name: "IPv4 TCP", tcp: true, size: 40},
	{name: "IPv6 UDP", ipv6: true, size: 40},
	{name: "IPv6 TCP", ipv6: true, tcp: true, size: 40},
	{name: "VLAN", size: 40, vlan: []tag{{Type: customerTag, ID: 42}}},
	{name: "QinQ", size: 40, vlan: []tag{{Type: serviceTag, ID: 7}, {Type: customerTag, ID: 43}}},
	{name: "IPv4 fragments", size: 3000},
	{name: "IPv6 fragments", ipv6: true, size: 3000},
	{name: "IPIP", size: 40, outer: func(_ int, back bool) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{routers(layers.IPProtocolIPv4, back)}
	}},
	{name: "6in4", ipv6: true, size: 40, outer: func(_ int, back bool) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{routers(layers.IPProtocolIPv6, back)}
	}},
	{name: "GRE", size: 40, outer: func(_ int, back bool) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{routers(layers.IPProtocolGRE, back), &layers.GRE{Protocol: layers.EthernetTypeIPv4}}
	}},
	{name: "VXLAN", size: 40, outer: vxlan},
}

// vxlan: either end makes its own port of what is inside, so the two directions have
// nothing outside in common but the addresses (RFC 7348 section 5).
func vxlan(i int, back bool) []gopacket.SerializableLayer {
	port := 49152 + i*7
	if back {
		port = 60000 - i*3
	}
	return []gopacket.SerializableLayer{
		routers(layers.IPProtocolUDP, back), &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 4789},
		&layers.VXLAN{ValidIDFlag: true, VNI: 77}, ethernet(layers.EthernetTypeIPv4, back),
	}
}

// routers is the header of a tunnel between two of them.
func routers(inside layers.IPProtocol, back bool) *layers.IPv4 {
	a, b := net.IP{198, 51, 100, 1}, net.IP{198, 51, 100, 2}
	if back {
		a, b = b, a
	}
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: inside, SrcIP: a, DstIP: b}
}

// ethernet has addresses that are neither end's: no host answers to what a test made.
func ethernet(typ layers.EthernetType, back bool) *layers.Ethernet {
	a, b := net.HardwareAddr{2, 0, 0, 0, 1, 1}, net.HardwareAddr{2, 0, 0, 0, 1, 2}
	if back {
		a, b = b, a
	}
	return &layers.Ethernet{SrcMAC: a, DstMAC: b, EthernetType: typ}
}

// clientPort and serverPort are those of flow i of a shape; none means a protocol.
func clientPort(i int) int { return 20000 + i }

const serverPort = 7777

// client returns the address of the client of flow i of shape n.
func (s *shape) client(n, i int) netip.Addr {
	if s.ipv6 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, byte(n), 14: byte(i >> 8), 15: byte(i)})
	}
	return netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)})
}

// server returns the address of the server of all flows of shape n.
func (s *shape) server(n int) netip.Addr {
	if s.ipv6 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 2, 0, byte(n), 15: 1})
	}
	return netip.AddrFrom4([4]byte{172, 16, byte(n), 1})
}

// ends names flow i of shape n as flow.ends does.
func (s *shape) ends(n, i int) string {
	f := flow{Client: s.client(n, i).String(), ClientPort: clientPort(i), Server: s.server(n).String(), ServerPort: serverPort}
	return f.ends()
}

// frames returns what one packet of flow i of shape n is on the wire: several frames
// when it is too long for one. The id tells the datagrams of a shape apart.
func (s *shape) frames(n, i int, id uint16, back bool) [][]byte {
	l3, l4 := s.packet(n, i, id, back)
	bodies := [][]byte{l4}
	if s.size > fragment {
		bodies = s.fragments(l3, l4, id)
	}
	var out [][]byte
	for k, body := range bodies {
		if v4, ok := l3.(*layers.IPv4); ok {
			v4.FragOffset = uint16(k * fragment / 8)
			v4.Flags = 0
			if k < len(bodies)-1 {
				v4.Flags = layers.IPv4MoreFragments
			}
		}
		out = append(out, s.frame(i, back, l3, gopacket.Payload(body)))
	}
	return out
}

// fragment is how many bytes of a datagram go into one frame, a multiple of 8.
const fragment = 1200

// packet returns the network header, and the transport header with what it carries.
func (s *shape) packet(n, i int, id uint16, back bool) (l3 gopacket.SerializableLayer, l4 []byte) {
	src, dst := s.client(n, i), s.server(n)
	sport, dport := clientPort(i), serverPort
	if back {
		src, dst, sport, dport = dst, src, dport, sport
	}
	proto := layers.IPProtocolUDP
	var transport gopacket.SerializableLayer = &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	if s.tcp {
		proto = layers.IPProtocolTCP
		transport = &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: uint32(id) * 1000, ACK: true, PSH: true, Window: 1000}
	}
	payload := make([]byte, s.size)
	copy(payload, fmt.Sprintf("%s %d %d", s.name, i, id))
	l4 = serialize(transport, gopacket.Payload(payload))
	if s.ipv6 {
		return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}, l4
	}
	return &layers.IPv4{Version: 4, TTL: 64, Id: id, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}, l4
}

// fragments cuts what follows l3. In IPv6 each piece has a header of its own (RFC 8200
// section 4.5).
func (s *shape) fragments(l3 gopacket.SerializableLayer, l4 []byte, id uint16) (pieces [][]byte) {
	v6, _ := l3.(*layers.IPv6)
	for off := 0; off < len(l4); off += fragment {
		piece, more := l4[off:min(off+fragment, len(l4))], off+fragment < len(l4)
		if v6 != nil {
			word := uint16(off)
			if more {
				word |= 1
			}
			h := binary.BigEndian.AppendUint16([]byte{byte(layers.IPProtocolUDP), 0}, word)
			piece = append(binary.BigEndian.AppendUint32(h, uint32(id)), piece...)
		}
		pieces = append(pieces, piece)
	}
	if v6 != nil {
		v6.NextHeader = layers.IPProtocolIPv6Fragment
	}
	return pieces
}

// frame puts the headers around.
func (s *shape) frame(i int, back bool, inner ...gopacket.SerializableLayer) []byte {
	typ := layers.EthernetTypeIPv4
	if s.ipv6 && s.outer == nil {
		typ = layers.EthernetTypeIPv6
	}
	var headers []gopacket.SerializableLayer
	for k := range s.vlan {
		h := &layers.Dot1Q{VLANIdentifier: s.vlan[k].ID, Type: typ}
		if k+1 < len(s.vlan) {
			h.Type = s.vlan[k+1].Type
		}
		headers = append(headers, h)
	}
	if len(s.vlan) > 0 {
		typ = s.vlan[0].Type
	}
	headers = append([]gopacket.SerializableLayer{ethernet(typ, back)}, headers...)
	if s.outer != nil {
		headers = append(headers, s.outer(i, back)...)
	}
	return serialize(append(headers, inner...)...)
}

func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, l...); err != nil {
		panic(fmt.Sprintf("BUG: frames of a test: %v", err))
	}
	return b.Bytes()
}
