package mark

import (
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	tests := []struct {
		mask uint32
		want string // of String, or part of the error
	}{
		{0xff000000, "mask 0xff000000: final 0x80000000, drop 0x40000000, reject 0x20000000, classes 1-31 in 0x1f000000"},
		{0x00000003, "mask 0x00000003: final 0x2, drop 0x1, no reject, no classes"},
		{0x00000700, "mask 0x00000700: final 0x400, drop 0x200, reject 0x100, no classes"},
		{0x0000f000, "mask 0x0000f000: final 0x8000, drop 0x4000, reject 0x2000, classes 1-1 in 0x1000"},
		{0xffffffff, "mask 0xffffffff: final 0x80000000, drop 0x40000000, reject 0x20000000, classes 1-536870911 in 0x1fffffff"},
		{0, "at least 2 bits"},
		{0x80000000, "at least 2 bits"},
		{0x00000001, "at least 2 bits"},
		{0xf0f00000, "one run"},
		{0x80000001, "one run"},
	}
	for _, tt := range tests {
		l, err := New(tt.mask)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New(%#x): %v, want %q", tt.mask, err, tt.want)
			}
			continue
		}
		if got := l.String(); got != tt.want {
			t.Errorf("New(%#x) = %q, want %q", tt.mask, got, tt.want)
		}
		if got := l.Final | l.Drop | l.Reject | l.Class; got != tt.mask || l.Final&l.Drop != 0 || (l.Final|l.Drop)&l.Reject != 0 || (l.Final|l.Drop|l.Reject)&l.Class != 0 {
			t.Errorf("New(%#x): the parts %#x overlap or leave bits over", tt.mask, got)
		}
	}
}

// What fits comes back, in every mask there is, with a foreign pattern around it.
func TestEveryMask(t *testing.T) {
	for low := range 31 {
		for width := 2; low+width <= 32; width++ {
			mask := uint32((uint64(1)<<width - 1) << low)
			l, err := New(mask)
			if err != nil {
				t.Fatal(err)
			}
			for _, foreign := range []uint32{0, 0xffffffff, 0x5a5a5a5a, 0x00003f00} {
				for _, v := range []Verdict{Accept, Drop, Reject} {
					for _, class := range []uint32{0, 1, 2, 31, l.MaxClass(), l.MaxClass() + 1} {
						check(t, l, foreign, State{Final: v != Accept || class&1 == 0, Verdict: v, Class: class})
					}
				}
			}
		}
	}
}

func check(t *testing.T, l Layout, foreign uint32, s State) {
	t.Helper()
	b := l.Encode(s)
	if b&^l.Mask != 0 {
		t.Fatalf("%v: Encode(%+v) = %#x has foreign bits", l, s, b)
	}
	m := l.Merge(foreign, b)
	if m&^l.Mask != foreign&^l.Mask {
		t.Fatalf("%v: Merge(%#x, %#x) = %#x changed foreign bits", l, foreign, b, m)
	}
	want := s
	if s.Verdict == Reject && l.Reject == 0 {
		want.Verdict = Drop
	}
	if s.Class > l.MaxClass() {
		want.Class = 0
	}
	if got := l.Decode(m); got != want {
		t.Fatalf("%v: Decode(%#x) = %+v, want %+v", l, m, got, want)
	}
	if err := l.Fits(s); (err == nil) != (want == s) {
		t.Fatalf("%v: Fits(%+v) = %v, though Decode gives %+v", l, s, err, want)
	}
}

func TestDecodeStrict(t *testing.T) {
	l, err := New(DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		mark uint32
		want State
	}{
		{0, State{}},
		{0x00ffffff, State{}},
		{l.Drop, State{Final: true, Verdict: Drop}},
		{l.Reject, State{Final: true, Verdict: Reject}},
		{l.Final | 0x3f00, State{Final: true}},
		{0x05000000, State{Class: 5}},
	}
	for _, tt := range tests {
		if got := l.Decode(tt.mark); got != tt.want {
			t.Errorf("Decode(%#x) = %+v, want %+v", tt.mark, got, tt.want)
		}
	}
}

func TestFitsSaysWhy(t *testing.T) {
	tests := []struct {
		mask uint32
		s    State
		want string
	}{
		{0x3, State{Verdict: Reject}, "no bit for reject"},
		{0x7, State{Class: 1}, "no bits for class 1"},
		{DefaultMask, State{Class: 32}, "the highest is 31"},
	}
	for _, tt := range tests {
		l, err := New(tt.mask)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Fits(tt.s); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("mask %#x: Fits(%+v) = %v, want %q", tt.mask, tt.s, err, tt.want)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	l, err := New(DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	var sink uint32
	if n := testing.AllocsPerRun(100, func() {
		sink = l.Merge(sink, l.Encode(State{Verdict: Reject, Class: 7}))
		if l.Decode(sink).Class != 7 {
			t.Error("class lost")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestVerdictString(t *testing.T) {
	for v, want := range map[Verdict]string{Accept: "accept", Drop: "drop", Reject: "reject", 9: "verdict(9)"} {
		if got := v.String(); got != want {
			t.Errorf("String(%d) = %q, want %q", uint8(v), got, want)
		}
	}
}
