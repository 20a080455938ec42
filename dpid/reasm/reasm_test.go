package reasm

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestAnyOrder feeds the same bytes cut, shuffled, repeated and overlapping; what
// comes out in order must be the original, whatever the sequence numbers wrap to.
func TestAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPool(4)
	for range 2000 {
		want := make([]byte, 1+r.IntN(5000))
		for i := range want {
			want[i] = byte(r.Uint32())
		}
		base := r.Uint32()
		if r.IntN(3) == 0 {
			base = ^uint32(0) - uint32(r.IntN(3000))
		}
		var s Stream
		s.Start(base)
		grown := 0
		for tries := 0; s.have < len(want) && tries < 10000; tries++ {
			from := r.IntN(len(want))
			if r.IntN(2) == 0 {
				from = max(0, s.have-r.IntN(20))
			}
			to := min(len(want), from+1+r.IntN(700))
			grown += s.Add(p, base+uint32(from), want[from:to])
			if !bytes.Equal(s.Bytes(), want[:s.have]) {
				t.Fatalf("Bytes() differs from what was sent, after %d bytes", s.have)
			}
		}
		if grown != len(want) {
			t.Fatalf("Add added %d bytes in all, want %d", grown, len(want))
		}
		s.Reset(p)
	}
	if p.made[0] > 2 || p.made[1] > 2 {
		t.Errorf("pool made %v buffers for one stream at a time", p.made)
	}
}

func TestFirstCopyWins(t *testing.T) {
	p := NewPool(4)
	var s Stream
	s.Start(100)
	s.Add(p, 104, []byte("efgh"))
	s.Add(p, 102, []byte("CDXXXXIJ"))
	if n := s.Add(p, 100, []byte("ABXXXXXXXXXX")); n != 12 {
		t.Errorf("Add() = %d, want 12", n)
	}
	if got := string(s.Bytes()); got != "ABCDefghIJXX" {
		t.Errorf("Bytes() = %q, want %q", got, "ABCDefghIJXX")
	}
}

// TestOneHole: however many segments come before a late one, all are kept.
func TestOneHole(t *testing.T) {
	want := []byte("abcdefghijklmnopqrstuvwxyz")
	for _, tt := range []struct {
		name string
		at   func(i int) int
	}{
		{"upwards", func(i int) int { return i }},
		{"downwards", func(i int) int { return len(want) - i }},
	} {
		p := NewPool(4)
		var s Stream
		s.Start(7)
		for i := 1; i < len(want); i++ {
			at := tt.at(i)
			s.Add(p, 7+uint32(at), want[at:at+1])
		}
		if n := s.Add(p, 7, want[:1]); n != len(want) || !bytes.Equal(s.Bytes(), want) {
			t.Errorf("%s: the first byte last: Add() = %d, Bytes() = %q, want %q", tt.name, n, s.Bytes(), want)
		}
	}
}

func TestBounds(t *testing.T) {
	p := NewPool(1)
	var s Stream
	s.Start(0)
	seg := make([]byte, 1400)
	for i := 0; i < 2*Window; i += len(seg) {
		s.Add(p, uint32(i), seg)
	}
	if !s.Done() || len(s.Bytes()) != Window {
		t.Errorf("after two windows: Done() = %v with %d bytes, want true with %d", s.Done(), len(s.Bytes()), Window)
	}
	var streams [64]Stream
	failed := 0
	for i := range streams {
		streams[i].Add(p, 5, seg)
		if streams[i].Done() {
			failed++
		}
	}
	if failed != 62 { // one small buffer was given back by s, one more cannot be made
		t.Logf("pool of one small buffer served %d streams", 64-failed)
	}
	if failed < 60 {
		t.Errorf("a pool of 1 served %d streams", 64-failed)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add([]byte{0, 0, 4, 'a', 'b', 'c', 'd', 2, 0, 4, 'x', 'y', 'z', '0'})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := NewPool(2)
		var s Stream
		for len(b) >= 3 {
			seq := uint32(int32(int16(uint16(b[0])|uint16(b[1])<<8))) * 3
			n := min(int(b[2]), len(b)-3)
			had := append([]byte(nil), s.Bytes()...)
			s.Add(p, seq, b[3:3+n])
			if !bytes.HasPrefix(s.Bytes(), had) {
				t.Fatal("bytes that were in order changed")
			}
			b = b[3+n:]
		}
	})
}
