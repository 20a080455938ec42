package event

import (
	"bytes"
	"encoding/hex"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", os.Getenv("UPDATE_GOLDEN") != "", "rewrite golden files")

// sampleFlow is a flow payload in which every field has a value of its own.
func sampleFlow() []byte {
	c := Counters{
		ID: 0x0102030405060708, Rev: 9, Worker: 10, Flags: FlagFinal | FlagMidstream, First: 11, Last: 12,
		Client: netip.MustParseAddr("::ffff:192.0.2.1").As16(), Server: netip.MustParseAddr("::ffff:198.51.100.2").As16(),
		ClientPort: 13, ServerPort: 14, IPProto: 6, IPVersion: 4, VLAN: 15, In: 16, Out: 17, Mark: 18,
		ClientPackets: 19, ServerPackets: 20, ClientBytes: 21, ServerBytes: 22,
	}
	attrs := make([]byte, 0, MaxAttrs)
	attrs = AppendAttr(attrs, AttrString, "tls.sni", []byte("www.example.org"))
	attrs = AppendAttr(attrs, AttrUint, "tls.n", []byte{1, 2, 0, 0, 0, 0, 0, 0})
	attrs = AppendAttr(attrs, AttrAddr|AttrList, "dns.answers", []byte{192, 0, 2, 7})
	d := Description{
		ClientMAC: [6]byte{2, 0, 0, 0, 0, 1}, ServerMAC: [6]byte{2, 0, 0, 0, 0, 2}, ProtocolID: 23, CategoryID: 24,
		ApplicationID: 25, Confidence: 99, End: EndFIN, Source: SourceName, Link: 3, Protocol: "tls", Application: "example",
		Category: "web", Host: []byte("www.example.org"), Evidence: []byte("tls: ClientHello"), Attrs: attrs,
	}
	b := make([]byte, DescriptionAt, MaxFlow)
	c.Encode(b)
	return d.Append(b)
}

// TestGoldenLayout holds the bytes of every payload against a file: the layout is for
// ever, whatever happens to the code.
func TestGoldenLayout(t *testing.T) {
	var b strings.Builder
	dump := func(name string, p []byte) { b.WriteString(name + "\n" + hex.Dump(p)) }
	dump("flow", sampleFlow())
	snap := make([]byte, SnapshotSize)
	(&Snapshot{Generation: 1, Request: 2, Count: 3, Consumer: "policyd"}).Encode(snap)
	dump("snapshot", snap)
	loss := make([]byte, LossSize)
	(&Loss{Packets: 1, Bytes: 2}).Encode(loss)
	dump("loss", loss)
	att := make([]byte, AttachedSize)
	(&Attached{Slab: 1, Adopted: 2, Reinspected: 3}).Encode(att)
	dump("attached", att)
	const file = "testdata/layout.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the layout of payloads changed:\n%s", b.String())
	}
}

// TestAccessors reads every field back.
func TestAccessors(t *testing.T) {
	f, err := ParseFlow(append(sampleFlow(), "of a later version"...))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		got, want any
	}{
		{"ID", f.ID(), uint64(0x0102030405060708)}, {"Rev", f.Rev(), uint32(9)}, {"Worker", f.Worker(), uint16(10)},
		{"Flags", f.Flags(), uint16(FlagFinal | FlagMidstream)}, {"First", f.First(), uint64(11)}, {"Last", f.Last(), uint64(12)},
		{"ClientAddr", f.ClientAddr().String(), "192.0.2.1"}, {"ServerAddr", f.ServerAddr().String(), "198.51.100.2"},
		{"ClientPort", f.ClientPort(), uint16(13)}, {"ServerPort", f.ServerPort(), uint16(14)}, {"IPProto", f.IPProto(), uint8(6)},
		{"IPVersion", f.IPVersion(), uint8(4)}, {"VLAN", f.VLAN(), uint16(15)}, {"In", f.In(), uint16(16)}, {"Out", f.Out(), uint16(17)},
		{"Mark", f.Mark(), uint32(18)}, {"ClientPackets", f.ClientPackets(), uint64(19)}, {"ServerPackets", f.ServerPackets(), uint64(20)},
		{"ClientBytes", f.ClientBytes(), uint64(21)}, {"ServerBytes", f.ServerBytes(), uint64(22)},
		{"ClientMAC", f.ClientMAC(), [6]byte{2, 0, 0, 0, 0, 1}}, {"ServerMAC", f.ServerMAC(), [6]byte{2, 0, 0, 0, 0, 2}},
		{"ProtocolID", f.ProtocolID(), uint16(23)}, {"CategoryID", f.CategoryID(), uint16(24)}, {"ApplicationID", f.ApplicationID(), uint32(25)},
		{"Confidence", f.Confidence(), uint8(99)}, {"EndReason", f.EndReason(), EndFIN}, {"Source", f.Source(), SourceName}, {"Link", f.Link(), uint8(3)},
		{"Protocol", string(f.Protocol()), "tls"}, {"Application", string(f.Application()), "example"}, {"Category", string(f.Category()), "web"},
		{"Host", string(f.Host()), "www.example.org"}, {"Evidence", string(f.Evidence()), "tls: ClientHello"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s() = %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	a, rest, ok := NextAttr(f.Attrs())
	if !ok || string(a.Key) != "tls.sni" || string(a.Value) != "www.example.org" || a.Kind != AttrString || a.List {
		t.Errorf("first attribute = %+v, %v", a, ok)
	}
	if a, rest, ok = NextAttr(rest); !ok || a.Uint() != 0x201 {
		t.Errorf("second attribute = %+v, %v", a, ok)
	}
	if a, rest, ok = NextAttr(rest); !ok || !a.List || a.Kind != AttrAddr {
		t.Errorf("third attribute = %+v, %v", a, ok)
	}
	if _, _, ok = NextAttr(rest); ok {
		t.Error("there is a fourth attribute")
	}
}

// TestCut: what is too long is cut or left out, never written over something else.
func TestCut(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, 300)
	d := Description{Protocol: string(long), Host: long, Attrs: make([]byte, MaxAttrs+1)}
	b := d.Append(make([]byte, DescriptionAt))
	f, err := ParseFlow(b)
	if err != nil || len(f) != len(b) {
		t.Fatalf("ParseFlow: %d of %d bytes, %v", len(f), len(b), err)
	}
	if len(f.Protocol()) != 255 || len(f.Host()) != 255 || len(f.Attrs()) != 0 {
		t.Errorf("lengths %d, %d, %d, want 255, 255, 0", len(f.Protocol()), len(f.Host()), len(f.Attrs()))
	}
	full := make([]byte, MaxAttrs-3, MaxAttrs)
	if got := AppendAttr(full, AttrBool, "k", []byte{1}); len(got) != len(full) {
		t.Error("an attribute was added to a list without room")
	}
}

// FuzzFlow reads arbitrary bytes with every accessor.
func FuzzFlow(f *testing.F) {
	f.Add(sampleFlow())
	f.Add(make([]byte, FixedSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseFlow(b)
		if err != nil {
			return
		}
		n := len(v.Protocol()) + len(v.Application()) + len(v.Category()) + len(v.Host()) + len(v.Evidence()) + len(v.Attrs())
		if n != len(v)-FixedSize {
			t.Fatalf("parts have %d bytes, the payload %d", n, len(v)-FixedSize)
		}
		for a, rest, ok := NextAttr(v.Attrs()); ok; a, rest, ok = NextAttr(rest) {
			_ = a.Uint()
		}
		_, _ = ParseSnapshot(b)
		_, _ = ParseLoss(b)
		_, _ = ParseAttached(b)
	})
}

func BenchmarkEncode(b *testing.B) {
	buf := make([]byte, MaxFlow)
	desc := sampleFlow()[DescriptionAt:]
	c := Counters{ID: 1, First: 2, Last: 3, IPVersion: 4}
	b.ReportAllocs()
	for b.Loop() {
		c.Encode(buf)
		copy(buf[DescriptionAt:], desc)
	}
}
