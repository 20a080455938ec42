// Package traffic makes captures for tests: whole conversations of several
// protocols, interleaved, with times that make sense, from a seed. What it makes is
// synthetic; that dissectors are right is shown elsewhere, on real captures.
package traffic

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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

// Write makes a classic pcap file at path and returns how many packets it has.
func Write(path string, o Options) (int, error) {
	if o.Span == 0 {
		o.Span = time.Minute
	}
	g := &generator{r: rand.New(rand.NewPCG(o.Seed, 0x77656972)), o: o}
	start := time.Unix(1_700_000_000, 0).UTC()
	for i := range o.Flows {
		g.at = start.Add(time.Duration(g.r.Int64N(int64(o.Span))))
		g.flow(i)
	}
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
	o       Options
	at      time.Time
	packets []packet
}

// flow makes conversation i: names are asked for, some of them are then used by a
// flow that only the answer can name.
func (g *generator) flow(i int) {
	client := [4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}
	server := [4]byte{198, 18, byte(g.r.IntN(256)), byte(g.r.IntN(256))}
	port := uint16(20000 + i%40000)
	name := fmt.Sprintf("host%d.example.org", g.r.IntN(5000))
	switch i % 5 {
	case 0, 1:
		g.tcp(client, server, port, 443, ClientHello(name))
	case 2:
		g.tcp(client, server, port, 80, []byte("GET /"+name+" HTTP/1.1\r\nHost: "+name+"\r\nUser-Agent: test/1\r\n\r\n"))
	case 3:
		g.dns(client, port, name, server)
	case 4: // named by its DNS answer only
		g.dns(client, port, name, server)
		g.tcp(client, server, port+1, 40001, []byte{0xfe, 0xed, 0xfa, 0xce, byte(i), byte(i >> 8), 1, 2, 3, 4, 5, 6, 7, 8})
	}
}

func (g *generator) wait() {
	g.at = g.at.Add(time.Duration(200_000 + g.r.IntN(30_000_000)))
}

// tcp makes handshake, request, a response in several segments, and the end.
func (g *generator) tcp(client, server [4]byte, cport, sport uint16, request []byte) {
	cseq, sseq := g.r.Uint32(), g.r.Uint32()
	send := func(fromServer bool, flags string, data []byte) {
		g.wait()
		t := &layers.TCP{SrcPort: layers.TCPPort(cport), DstPort: layers.TCPPort(sport), Seq: cseq, Ack: sseq, Window: 64000}
		src, dst, seq := client, server, &cseq
		if fromServer {
			t.SrcPort, t.DstPort, t.Seq, t.Ack = t.DstPort, t.SrcPort, sseq, cseq
			src, dst, seq = server, client, &sseq
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
	for range g.o.Packets {
		send(true, "A", g.noise(100+g.r.IntN(1200)))
		if g.r.IntN(3) == 0 {
			send(false, "A", nil)
		}
	}
	switch g.r.IntN(4) {
	case 0:
		send(true, "R", nil)
	case 1: // never ends
	default:
		send(false, "FA", nil)
		send(true, "FA", nil)
		send(false, "A", nil)
	}
}

func (g *generator) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return b
}

// dns makes a question and its answer.
func (g *generator) dns(client [4]byte, cport uint16, name string, addr [4]byte) {
	resolver := [4]byte{192, 0, 2, 53}
	q := layers.DNSQuestion{Name: []byte(name), Type: layers.DNSTypeA, Class: layers.DNSClassIN}
	m := &layers.DNS{ID: uint16(g.r.Uint32()), RD: true, Questions: []layers.DNSQuestion{q}}
	g.wait()
	g.udp(client, resolver, cport, 53, m)
	a := *m
	a.QR, a.RA, a.ANCount = true, true, 1
	a.Answers = []layers.DNSResourceRecord{{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60, IP: addr[:]}}
	g.wait()
	g.udp(resolver, client, 53, cport, &a)
}

func (g *generator) udp(src, dst [4]byte, sport, dport uint16, payload gopacket.SerializableLayer) {
	b := gopacket.NewSerializeBuffer()
	if err := payload.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}); err != nil {
		panic(fmt.Sprintf("BUG: traffic: %v", err))
	}
	u := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	g.frame(src, dst, layers.IPProtocolUDP, u, b.Bytes())
}

// frame puts one packet down.
func (g *generator) frame(src, dst [4]byte, proto layers.IPProtocol, l4 gopacket.SerializableLayer, data []byte) {
	eth := &layers.Ethernet{SrcMAC: mac(src), DstMAC: mac(dst), EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src[:], DstIP: dst[:]}
	switch l := l4.(type) {
	case *layers.TCP:
		_ = l.SetNetworkLayerForChecksum(ip) // fails only without a network layer
	case *layers.UDP:
		_ = l.SetNetworkLayerForChecksum(ip)
	}
	b := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, opt, eth, ip, l4, gopacket.Payload(data)); err != nil {
		panic(fmt.Sprintf("BUG: traffic: %v", err))
	}
	g.packets = append(g.packets, packet{at: g.at, data: b.Bytes()})
}

func mac(a [4]byte) []byte { return []byte{2, 0, a[0], a[1], a[2], a[3]} }

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
