package steer

import (
	"context"
	"testing"
	"time"

	"weir/capd/source"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// benchFrames is a mix like that of a network: TCP and UDP over both IP
// versions, some VLAN tags, all in memory one behind the other.
func benchFrames(n int) []source.Frame {
	payload := string(make([]byte, 400))
	// As nearly all TCP segments have: two no-operations and a time stamp.
	stamped := func(sport, dport uint16, in string) []byte {
		b := tcp(sport, dport, "\x01\x01\x08\x0a12345678"+in)
		b[12] = 0x80
		return b
	}
	kinds := [][]byte{
		outer(6, stamped(40000, 443, payload)),
		eth(0x0800, ip4(6, "10.0.0.2", "10.0.0.1", stamped(443, 40000, ""))),
		outer(17, udp(40000, 443, []byte(payload))),
		eth(0x86dd, ip6(6, "2001:db8::2", "2001:db8::3", stamped(40000, 443, payload))),
		eth(0x8100, vlan(7, 0x0800, ip4(6, "10.0.0.1", "10.0.0.2", stamped(40001, 443, payload)))),
		outer(6, stamped(40001, 443, "")),
		eth(0x0800, ip4(17, "10.0.0.9", "10.0.0.1", udp(53, 5353, make([]byte, 100)))),
		eth(0x86dd, ip6(17, "2001:db8::2", "2001:db8::3", udp(40000, 443, []byte(payload)))),
	}
	var all []byte
	var list []source.Frame
	for i := range n {
		k := kinds[i%len(kinds)]
		at := len(all)
		all = append(all, k...)
		list = append(list, source.Frame{TS: uint64(i) * 1000, WireLen: uint32(len(k)), Link: 1, Data: all[at:]})
	}
	at := 0
	for i := range list { // all has moved while it grew
		end := at + int(list[i].WireLen)
		list[i].Data, at = all[at:end:end], end
	}
	return list
}

var sink uint64

// BenchmarkParse measures parse and hash against gopacket's DecodingLayerParser,
// without its hash and with it, on the same frames in turn, so that the ratios
// hold on a noisy machine.
func BenchmarkParse(b *testing.B) { benchParse(b, benchFrames(2_000)) }

func benchParse(b *testing.B, list []source.Frame) {
	seed := testSeed()
	var p Packet
	var ether layers.Ethernet
	var tag layers.Dot1Q
	var v4 layers.IPv4
	var v6 layers.IPv6
	var t layers.TCP
	var u layers.UDP
	var rest gopacket.Payload
	theirs := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ether, &tag, &v4, &v6, &t, &u, &rest)
	theirs.IgnoreUnsupported = true
	var decoded []gopacket.LayerType
	ways := [...]func(f *source.Frame){
		func(f *source.Frame) {
			if p.Parse(f) == Delivered {
				lo, _ := p.Key.Hash(seed)
				sink += lo
			}
		},
		func(f *source.Frame) {
			_ = theirs.DecodeLayers(f.Data, &decoded) // real frames have all sorts of errors
			sink += uint64(len(decoded))
		},
		func(f *source.Frame) {
			_ = theirs.DecodeLayers(f.Data, &decoded)
			for _, l := range decoded {
				switch l {
				case layers.LayerTypeIPv4:
					sink += v4.NetworkFlow().FastHash()
				case layers.LayerTypeIPv6:
					sink += v6.NetworkFlow().FastHash()
				case layers.LayerTypeTCP:
					sink += t.TransportFlow().FastHash()
				case layers.LayerTypeUDP:
					sink += u.TransportFlow().FastHash()
				}
			}
		},
	}
	var took [len(ways)]time.Duration
	for n := 0; b.Loop(); n++ {
		// In pieces of some 300 KiB, where a reader leaves its frames: in the
		// second-level cache. Who comes first changes from piece to piece.
		for at := 0; at < len(list); at += 1000 {
			piece := list[at:min(at+1000, len(list))]
			for i := range piece {
				for k := 0; k < len(piece[i].Data); k += 64 {
					sink += uint64(piece[i].Data[k])
				}
			}
			for i := range ways {
				way := (i + n + at/1000) % len(ways)
				start := time.Now()
				for j := range piece {
					ways[way](&piece[j])
				}
				took[way] += time.Since(start)
			}
		}
	}
	all := float64(b.N * len(list))
	b.ReportMetric(float64(took[0])/all, "ns/packet")
	b.ReportMetric(float64(took[1])/all, "gopacket-ns/packet")
	b.ReportMetric(float64(took[1])/float64(took[0]), "x-faster")
	b.ReportMetric(float64(took[2])/float64(took[0]), "x-faster-than-with-hash")
}

// BenchmarkSteer is the whole way from frame to record, into rings that take
// all and keep nothing.
func BenchmarkSteer(b *testing.B) {
	list := benchFrames(20_000)
	s, err := New(Config{Seed: testSeed(), Outputs: []Output{&nullRing{}, &nullRing{}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	for b.Loop() {
		for i := range list {
			if err := s.Steer(ctx, &list[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N*len(list)), "ns/packet")
	b.ReportAllocs()
}

func BenchmarkFragments(b *testing.B) {
	frames := split4(1, 17, udp(1, 2, make([]byte, 4000)), 1480)
	s, err := New(Config{Seed: testSeed(), Outputs: []Output{&nullRing{}}})
	if err != nil {
		b.Fatal(err)
	}
	f := frame(1, nil)
	id := uint16(0)
	for b.Loop() {
		id++
		for _, fr := range frames {
			fr[18], fr[19] = byte(id>>8), byte(id)
			f.Data, f.WireLen = fr, uint32(len(fr))
			f.TS += uint64(time.Millisecond)
			if err := s.Steer(context.Background(), f); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
}
