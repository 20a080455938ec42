package pcapng

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

// TestBytes fixes the file byte by byte; the blocks are those of the draft, section 4.
func TestBytes(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := NewWriter(&b, "x")
	must(t, err)
	id, err := w.Interface(RawIP, "eth0")
	must(t, err)
	must(t, w.Packet(&Packet{Interface: id, TS: 0x0102030405060708, Wire: 1500, Data: []byte{1, 2, 3, 4, 5}, Direction: Outbound, Comment: "why"}))
	must(t, w.Packet(&Packet{Interface: id, TS: 1, Wire: 2, Data: []byte{9, 9, 9, 9}}))
	must(t, w.Flush())
	want := strings.Join([]string{
		"0a0d0d0a 28000000 4d3c2b1a 0100 0000 ffffffffffffffff", // section header
		"0400 0100 78000000  0000 0000  28000000",               // its writer
		"01000000 28000000 6500 0000 00000000",                  // interface: raw IP, no limit
		"0200 0400 65746830  0900 0100 09000000  0000 0000  28000000",
		"06000000 3c000000 00000000 04030201 08070605 05000000 dc050000",
		"0102030405000000  0200 0400 02000000  0100 0300 77687900  0000 0000  3c000000",
		"06000000 24000000 00000000 00000000 01000000 04000000 04000000 09090909 24000000",
	}, "")
	if got := hex.EncodeToString(b.Bytes()); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("wrote\n%s, want\n%s", got, strings.ReplaceAll(want, " ", ""))
	}
}

func TestUnknownInterface(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, "")
	must(t, err)
	for _, id := range []int{-1, 0, 1} {
		if w.Packet(&Packet{Interface: id}) == nil {
			t.Errorf("Packet() of interface %d = nil, want an error", id)
		}
	}
}

// TestLongStrings: an option's length has 16 bits.
func TestLongStrings(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := NewWriter(&b, strings.Repeat("a", 70000))
	must(t, err)
	_, err = w.Interface(Ethernet, strings.Repeat("n", 70001))
	must(t, err)
	must(t, w.Flush())
	if _, err := pcapgo.NewNgReader(&b, pcapgo.DefaultNgReaderOptions); err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("read back: %v", err)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(uint64(1), uint32(3), []byte("abc"), "comment")
	f.Fuzz(func(t *testing.T, ts uint64, wire uint32, data []byte, comment string) {
		var b bytes.Buffer
		w, err := NewWriter(&b, "")
		must(t, err)
		id, err := w.Interface(Ethernet, "")
		must(t, err)
		must(t, w.Packet(&Packet{Interface: id, TS: ts, Wire: wire, Data: data, Comment: comment}))
		must(t, w.Flush())
		r, err := pcapgo.NewNgReader(&b, pcapgo.DefaultNgReaderOptions)
		must(t, err)
		got, ci, err := r.ReadPacketData()
		must(t, err)
		if !bytes.Equal(got, data) || ci.CaptureLength != len(data) || ci.Length < len(data) {
			t.Errorf("read %x %+v, want %x", got, ci, data)
		}
		if ts < 1<<62 && uint64(ci.Timestamp.UnixNano()) != ts {
			t.Errorf("time %d, want %d", ci.Timestamp.UnixNano(), ts)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
