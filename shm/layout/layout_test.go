package layout

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// testSpec is a ring-like file with a fixed id.
func testSpec() Spec {
	return Spec{
		Magic: MagicPacketRing, ABIMajor: ABIMajor, ABIMinor: ABIMinor, Size: 3 * HeaderSize,
		RingID: 0x1122334455667788, Tag: 0xa1b2c3d4, Name: "c00-w01", Mode: 0o600,
		Params: Ring{
			Capacity: 1 << 20, MaxRecord: 65616, RecordAlign: 16, BlockSize: 65536, Policy: PolicyWait,
			Producer: 0, Consumer: 1, DescriptorCount: 4096,
		}.Params(),
	}
}

func TestMagicSpellsItsName(t *testing.T) {
	for want, magic := range map[string]uint64{
		"DPIRPKT1": MagicPacketRing, "DPIREVT1": MagicEventRing, "DPICURS1": MagicCursor,
	} {
		var b [8]byte
		host.PutUint64(b[:], magic)
		if got := string(b[:]); got != want {
			t.Errorf("magic %#x spells %q in memory, want %q", magic, got, want)
		}
	}
}

// TestStaticHeaderOffsets writes one field at a time and looks where it lands.
func TestStaticHeaderOffsets(t *testing.T) {
	tests := []struct {
		name     string
		off, len int
		set      func(*Spec)
	}{
		{"abi major", 8, 2, func(s *Spec) { s.ABIMajor = 0xffff }},
		{"abi minor", 10, 2, func(s *Spec) { s.ABIMinor = 0xffff }},
		{"ring id", 16, 8, func(s *Spec) { s.RingID = 1<<64 - 1 }},
		{"capacity", 24, 8, func(s *Spec) { s.Params = Ring{Capacity: 1<<64 - 1}.Params() }},
		{"max record", 32, 4, func(s *Spec) { s.Params = Ring{MaxRecord: 1<<32 - 1}.Params() }},
		{"record align", 36, 4, func(s *Spec) { s.Params = Ring{RecordAlign: 1<<32 - 1}.Params() }},
		{"block size", 40, 4, func(s *Spec) { s.Params = Ring{BlockSize: 1<<32 - 1}.Params() }},
		{"policy", 44, 4, func(s *Spec) { s.Params = Ring{Policy: 1<<32 - 1}.Params() }},
		{"producer", 48, 2, func(s *Spec) { s.Params = Ring{Producer: 0xffff}.Params() }},
		{"consumer", 50, 2, func(s *Spec) { s.Params = Ring{Consumer: 0xffff}.Params() }},
		{"descriptor count", 52, 4, func(s *Spec) { s.Params = Ring{DescriptorCount: 1<<32 - 1}.Params() }},
		{"tag", 120, 4, func(s *Spec) { s.Tag = 1<<32 - 1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var zero, one [StaticSize]byte
			(&Spec{}).encode(zero[:], 0)
			s := Spec{}
			tt.set(&s)
			s.encode(one[:], 0)
			for i := range 124 { // the rest is the checksum
				want := byte(0)
				if i >= tt.off && i < tt.off+tt.len {
					want = 0xff
				}
				if got := one[i] ^ zero[i]; got != want {
					t.Fatalf("byte %d differs by %#x, want %#x", i, got, want)
				}
			}
		})
	}
}

func TestRingParamsRoundTrip(t *testing.T) {
	s := testSpec()
	h := Header{Params: s.Params}
	want := Ring{
		Capacity: 1 << 20, MaxRecord: 65616, RecordAlign: 16, BlockSize: 65536, Policy: PolicyWait,
		Producer: 0, Consumer: 1, DescriptorCount: 4096,
	}
	if got := h.Ring(); got != want {
		t.Errorf("Ring() = %+v, want %+v", got, want)
	}
}

func TestGoldenHeader(t *testing.T) {
	m := NewHeap(testSpec())
	golden(t, "header.hex", m.Bytes()[:StaticSize])
}

// golden compares b with a hex dump under testdata.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	got := hex.Dump(b)
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("bytes of %s:\n%swant\n%s", name, got, want)
	}
}

func TestWordsOutsideAreBugs(t *testing.T) {
	m := NewHeap(testSpec())
	for _, off := range []int{4, -8, 3 * HeaderSize, 3*HeaderSize - 4} {
		if !panics(func() { m.U64(off) }) {
			t.Errorf("U64(%d) did not panic", off)
		}
	}
	for _, off := range []int{2, -4, 3 * HeaderSize} {
		if !panics(func() { m.U32(off) }) {
			t.Errorf("U32(%d) did not panic", off)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestLowHalf(t *testing.T) {
	m := NewHeap(testSpec())
	w := m.U64(OffHot)
	w.Store(0x1111111122222222)
	if got := LowHalf(w).Load(); got != 0x22222222 {
		t.Errorf("LowHalf() = %#x, want 0x22222222", got)
	}
}
