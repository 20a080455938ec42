// Package traffic makes captures for tests: whole conversations of several
// protocols, interleaved, with times that make sense, from a seed. What it makes is
// synthetic; that dissectors are right is shown elsewhere, on real captures.
package traffic

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Options say how much and what.
type Options struct {
	Seed    uint64
	Flows   int
	Packets int           // data packets of a TCP flow after its first exchange
	Span    time.Duration // in which flows begin; 0 = one minute
}

// packet is one frame that waits for its turn.
type packet struct {
	at   time.Time
	data []byte
}

// start is when a capture begins.
var start = time.Unix(1_700_000_000, 0).UTC()

// Write makes a classic pcap file at path and returns how many packets it has.
func Write(path string, o Options) (int, error) {
	if o.Span == 0 {
		o.Span = time.Minute
	}
	g := newGenerator(o.Seed)
	for i := range o.Flows {
		g.at = start.Add(time.Duration(g.r.Int64N(int64(o.Span))))
		g.flow(i, o.Packets)
	}
	return g.write(path)
}

// write puts all frames into the file, in the order of their times.
func (g *generator) write(path string) (int, error) {
	slices.SortStableFunc(g.packets, func(a, b packet) int { return a.at.Compare(b.at) })
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	b := bufio.NewWriterSize(f, 1<<20)
	w := pcapgo.NewWriterNanos(b)
	err = w.WriteFileHeader(65535, layers.LinkTypeEthernet)
	for _, p := range g.packets {
		if err != nil {
			break
		}
		err = w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: len(p.data)}, p.data)
	}
	if err == nil {
		err = b.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return len(g.packets), err
}

type generator struct {
	r       *rand.Rand
	at      time.Time
	packets []packet
}

func newGenerator(seed uint64) *generator {
	return &generator{r: rand.New(rand.NewPCG(seed, 0x77656972))}
}

// flow makes conversation i: names are asked for, some of them are then used by a
// flow that only the answer can name.
func (g *generator) flow(i, packets int) {
	c := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	s := netip.AddrFrom4([4]byte{198, 18, byte(g.r.IntN(256)), byte(g.r.IntN(256))})
	port := uint16(20000 + i%40000)
	client, other := netip.AddrPortFrom(c, port), netip.AddrPortFrom(c, port+1)
	name := fmt.Sprintf("host%d.example.org", g.r.IntN(5000))
	switch i % 5 {
	case 0, 1:
		g.tcp(client, netip.AddrPortFrom(s, 443), ClientHello(name), packets, Any)
	case 2:
		g.tcp(client, netip.AddrPortFrom(s, 80), httpRequest(name), packets, Any)
	case 3:
		g.dns(client, resolver, name, s)
	case 4: // named by its DNS answer only
		g.dns(client, resolver, name, s)
		g.tcp(other, netip.AddrPortFrom(s, 40001), []byte{0xfe, 0xed, 0xfa, 0xce, byte(i), byte(i >> 8), 1, 2, 3, 4, 5, 6, 7, 8}, packets, Any)
	}
}

var resolver = netip.MustParseAddrPort("192.0.2.53:53")

func httpRequest(name string) []byte {
	return []byte("GET /" + name + " HTTP/1.1\r\nHost: " + name + "\r\nUser-Agent: test/1\r\n\r\n")
}

func (g *generator) wait() {
	g.at = g.at.Add(time.Duration(200_000 + g.r.IntN(30_000_000)))
}

// tcp makes handshake, request, a response in several segments, and the end.
func (g *generator) tcp(client, server netip.AddrPort, request []byte, packets int, end End) {
	cseq, sseq := g.r.Uint32(), g.r.Uint32()
	send := func(fromServer bool, flags string, data []byte) {
		g.wait()
		t := &layers.TCP{SrcPort: layers.TCPPort(client.Port()), DstPort: layers.TCPPort(server.Port()), Seq: cseq, Ack: sseq, Window: 64000}
		src, dst, seq := client.Addr(), server.Addr(), &cseq
		if fromServer {
			t.SrcPort, t.DstPort, t.Seq, t.Ack = t.DstPort, t.SrcPort, sseq, cseq
			src, dst, seq = dst, src, &sseq
		}
		for _, f := range flags {
			switch f {
			case 'S':
				t.SYN = true
				*seq++
			case 'F':
				t.FIN = true
				*seq++
			case 'R':
				t.RST = true
			case 'A':
				t.ACK = true
			}
		}
		*seq += uint32(len(data))
		g.frame(src, dst, layers.IPProtocolTCP, t, data)
	}
	send(false, "S", nil)
	send(true, "SA", nil)
	send(false, "A", nil)
	send(false, "A", request)
	for range packets {
		send(true, "A", g.noise(100+g.r.IntN(1200)))
		if g.r.IntN(3) == 0 {
			send(false, "A", nil)
		}
	}
	if end == Any {
		end = [...]End{Reset, Never, Close, Close}[g.r.IntN(4)]
	}
	switch end {
	case Reset:
		send(true, "R", nil)
	case Close:
		send(false, "FA", nil)
		send(true, "FA", nil)
		send(false, "A", nil)
	}
}

// syn makes the only packet of a scan.
func (g *generator) syn(client, server netip.AddrPort) {
	g.wait()
	t := &layers.TCP{SrcPort: layers.TCPPort(client.Port()), DstPort: layers.TCPPort(server.Port()), Seq: g.r.Uint32(), SYN: true, Window: 1024}
	g.frame(client.Addr(), server.Addr(), layers.IPProtocolTCP, t, nil)
}

func (g *generator) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return b
}

// dns makes a question and its answer.
func (g *generator) dns(client, server netip.AddrPort, name string, addr netip.Addr) {
	typ := layers.DNSTypeA
	if addr.Is6() {
		typ = layers.DNSTypeAAAA
	}
	q := layers.DNSQuestion{Name: []byte(name), Type: typ, Class: layers.DNSClassIN}
	m := &layers.DNS{ID: uint16(g.r.Uint32()), RD: true, Questions: []layers.DNSQuestion{q}}
	g.wait()
	g.udp(client, server, m)
	a := *m
	a.QR, a.RA, a.ANCount = true, true, 1
	a.Answers = []layers.DNSResourceRecord{{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60, IP: addr.AsSlice()}}
	g.wait()
	g.udp(server, client, &a)
}

func (g *generator) udp(src, dst netip.AddrPort, payload gopacket.SerializableLayer) {
	b := gopacket.NewSerializeBuffer()
	if err := payload.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		panic(fmt.Sprintf("BUG: traffic: %v", err))
	}
	u := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	g.frame(src.Addr(), dst.Addr(), layers.IPProtocolUDP, u, b.Bytes())
}

// checksummed is a transport header whose checksum covers the addresses.
type checksummed interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

// frame puts one packet down.
func (g *generator) frame(src, dst netip.Addr, proto layers.IPProtocol, l4 checksummed, data []byte) {
	eth := &layers.Ethernet{SrcMAC: mac(src), DstMAC: mac(dst), EthernetType: layers.EthernetTypeIPv4}
	ip4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	var err error
	headers := []gopacket.SerializableLayer{eth, ip4, l4, gopacket.Payload(data)}
	if src.Is4() {
		err = l4.SetNetworkLayerForChecksum(ip4)
	} else {
		ip6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		eth.EthernetType, headers[1] = layers.EthernetTypeIPv6, ip6
		err = l4.SetNetworkLayerForChecksum(ip6)
	}
	b := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err == nil {
		err = gopacket.SerializeLayers(b, opt, headers...)
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: traffic: %v", err))
	}
	g.packets = append(g.packets, packet{at: g.at, data: b.Bytes()})
}

// mac makes a locally administered address of the last bytes of an IP address.
func mac(a netip.Addr) []byte {
	b := a.AsSlice()
	return append([]byte{2, 0}, b[len(b)-4:]...)
}

// ClientHello is a TLS 1.2 ClientHello record with a server name, RFC 5246 section
// 7.4.1.2 and RFC 6066 section 3.
func ClientHello(name string) []byte {
	u16 := func(b []byte, v int) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
	sni := u16(nil, len(name)+3)
	sni = append(sni, 0)
	sni = append(u16(sni, len(name)), name...)
	ext := u16(u16(nil, 0), len(sni))
	ext = append(ext, sni...)
	ext = append(ext, 0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0)
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30, 1, 0)
	body = append(u16(body, len(ext)), ext...)
	hs := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append(append([]byte{22, 3, 1}, u16(nil, len(hs))...), hs...)
}
