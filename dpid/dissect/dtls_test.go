package dissect

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// dtlsRecord is one fragment of a handshake message in a record of its own.
func dtlsFragment(typ byte, seq uint16, msg []byte, from, to int) []byte {
	b := append([]byte{typ}, byte(len(msg)>>16), byte(len(msg)>>8), byte(len(msg)))
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, byte(from>>16), byte(from>>8), byte(from), byte((to-from)>>16), byte((to-from)>>8), byte(to-from))
	b = append(b, msg[from:to]...)
	head := []byte{recordHandshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(seq)}
	return append(head, vector(2, b)...)
}

// TestDTLSAnyOrder cuts a hello into fragments that come in any order, some twice or
// overlapping, alone or several in a datagram.
func TestDTLSAnyOrder(t *testing.T) {
	spec, _ := ByName("dtls")
	r := rand.New(rand.NewPCG(2, 3))
	in, out, more := newInput(), new(Result), new(Result)
	msg := testHello{version: 0xfefd, name: "call.example.com", share: 1300, sigAlgs: []uint16{0x0403}, dtls: true}.body()
	for round := range 300 {
		var frags [][]byte
		for from := 0; from < len(msg); {
			to := min(from+1+r.IntN(400), len(msg))
			frags = append(frags, dtlsFragment(msgClientHello, 0, msg, max(0, from-r.IntN(9)), to))
			from = to
		}
		r.Shuffle(len(frags), func(i, j int) { frags[i], frags[j] = frags[j], frags[i] })
		s := sample{over: UDP, ipProto: 17}
		for i := 0; i < len(frags); {
			n := min(1+r.IntN(3), len(frags)-i)
			var b []byte
			for _, f := range frags[i : i+n] {
				b = append(b, f...)
			}
			s.packets = append(s.packets, packet{data: b})
			i += n
		}
		if len(s.packets) > dtlsPatience {
			continue
		}
		trial := only(spec, UDP, 17)
		v, at := s.play(&trial, in, out, more, nil)
		if v != YesMore || at != 1 || string(out.Host()) != "call.example.com" || len(out.JA4()) != ja4Size {
			t.Fatalf("round %d, %d fragments: verdict %v at %d, host %q", round, len(frags), v, at, out.Host())
		}
	}
}

// TestDTLSSecondHello: with the cookie the client says hello again, under another
// number; a first one that never became whole gives way to it.
func TestDTLSSecondHello(t *testing.T) {
	spec, _ := ByName("dtls")
	in, out, more := newInput(), new(Result), new(Result)
	first := testHello{version: 0xfefd, name: "first.example.com", share: 300, dtls: true}.body()
	second := testHello{version: 0xfefd, name: "second.example.com", share: 310, dtls: true}.body()
	for _, tt := range []struct {
		name    string
		packets [][]byte
		want    string
	}{
		{"whole, then another", [][]byte{dtlsFragment(1, 0, first, 0, len(first)), dtlsFragment(1, 1, second, 0, len(second))}, "first.example.com"},
		{"half, then another", [][]byte{dtlsFragment(1, 0, first, 0, 100), dtlsFragment(1, 1, second, 0, len(second))}, "second.example.com"},
	} {
		s := sample{over: UDP, ipProto: 17}
		for _, b := range tt.packets {
			s.packets = append(s.packets, packet{data: b})
		}
		trial := only(spec, UDP, 17)
		if v, _ := s.play(&trial, in, out, more, nil); v != YesMore || string(out.Host()) != tt.want {
			t.Errorf("%s: verdict %v, host %q, want %s", tt.name, v, out.Host(), tt.want)
		}
	}
}

// TestDTLSAfterSTUN: connectivity checks come first on the ports of a call.
func TestDTLSAfterSTUN(t *testing.T) {
	spec, _ := ByName("dtls")
	in, out, more := newInput(), new(Result), new(Result)
	msg := testHello{version: 0xfefd, dtls: true}.body()
	check := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
	s := sample{over: UDP, ipProto: 17, packets: []packet{
		{data: check}, {server: true, data: check}, {data: dtlsFragment(1, 0, msg, 0, len(msg))},
	}}
	trial := only(spec, UDP, 17)
	if v, at := s.play(&trial, in, out, more, nil); v != YesMore || at != 3 {
		t.Errorf("verdict %v at packet %d, want %v at 3", v, at, YesMore)
	}
}
