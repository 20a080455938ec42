package dissect

import (
	"bytes"
	"strings"
	"testing"
)

// dnsTestMessage is a header and names: "a.example" at 12, ".B" before it at 23, and
// what the test adds.
var dnsTestMessage = append(make([]byte, dnsHeaderLen), "\x01a\x07eXample\x00\x01B\xc0\x0e"...)

func TestDNSText(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("\x3f"+strings.Repeat("x", 63)), 4) // 256 bytes of labels
	tests := []struct {
		name string
		add  string
		at   int
		want string
		ok   bool
	}{
		{name: "plain", at: 12, want: "a.example", ok: true},
		{name: "pointer", at: 23, want: "b.example", ok: true},
		{name: "root", add: "\x00", at: 27, want: "", ok: true},
		{name: "control bytes", add: "\x03a\x00\x7f\x00", at: 27, want: "a??", ok: true},
		{name: "utf-8", add: "\x03\xc3\xbcb\x00", at: 27, want: "üb", ok: true},
		{name: "not utf-8", add: "\x02\xfcb\x00", at: 27, want: "?b", ok: true},
		{name: "to itself", add: "\xc0\x1b", at: 27},
		{name: "round in circles", add: "\x01x\xc0\x1b", at: 27},
		{name: "forward", add: "\xc0\x1d\x00", at: 27},
		{name: "into the header", add: "\xc0\x02", at: 27},
		{name: "too many jumps", add: "\xc0\x0c\xc0\x1b\xc0\x1d\xc0\x1f\xc0\x21\xc0\x23", at: 37},
		{name: "reserved label", add: "\x80a\x00", at: 27},
		{name: "label cut", add: "\x05ab", at: 27},
		{name: "end missing", add: "\x01a", at: 27},
		{name: "pointer cut", add: "\xc0", at: 27},
		{name: "too long", add: string(long) + "\x00", at: 27},
		{name: "behind the end", at: 99},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := append(bytes.Clone(dnsTestMessage), tt.add...)
			var buf [dnsMaxName]byte
			got, ok := dnsText(&buf, m, tt.at)
			if string(got) != tt.want || ok != tt.ok {
				t.Errorf("dnsText(%q, %d) = %q, %v, want %q, %v", m[27:], tt.at, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestDNSSameName(t *testing.T) {
	t.Parallel()
	m := append(bytes.Clone(dnsTestMessage), "\x01A\x07exAMPLE\x00\x01b\x07example\x00\x01a\xc0\x31"...)
	tests := []struct {
		a, b int
		want bool
	}{
		{12, 12, true}, {12, 27, true}, {23, 38, true}, {12, 23, false}, {12, 49, false}, {12, 99, false},
	}
	for _, tt := range tests {
		if got := dnsSameName(m, tt.a, tt.b); got != tt.want {
			t.Errorf("dnsSameName(%d, %d) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestDNSSkipName(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		m    string
		want int
	}{
		{name: "labels", m: "\x01a\x02bc\x00", want: dnsHeaderLen + 6},
		{name: "pointer", m: "\x01a\xc0\x0c", want: dnsHeaderLen + 4},
		{name: "cut", m: "\x01a\x02", want: dnsCut},
		{name: "pointer cut", m: "\x01a\xc0", want: dnsCut},
		{name: "reserved", m: "\x41a\x00", want: dnsBad},
		{name: "forward", m: "\xc0\x0c", want: dnsBad},
		{name: "too long", m: strings.Repeat("\x01a", 127) + "\x01a\x00", want: dnsBad},
		{name: "longest", m: strings.Repeat("\x01a", 127) + "\x00", want: dnsHeaderLen + 255},
	}
	for _, tt := range tests {
		m := append(make([]byte, dnsHeaderLen), tt.m...)
		if got := dnsSkipName(m, dnsHeaderLen); got != tt.want {
			t.Errorf("%s: dnsSkipName(%q) = %d, want %d", tt.name, tt.m, got, tt.want)
		}
	}
}

func TestDNSNames(t *testing.T) {
	t.Parallel()
	for typ, want := range map[uint16]string{1: "A", 65: "HTTPS", 255: "ANY", 65280: "TYPE65280", 0: "TYPE0"} {
		if got := string(dnsAppendType(nil, typ)); got != want {
			t.Errorf("dnsAppendType(%d) = %q, want %q", typ, got, want)
		}
	}
	for code, want := range map[int]string{0: "NOERROR", 3: "NXDOMAIN", 12: "RCODE12", 16: "BADVERS", 4095: "RCODE4095"} {
		if got := string(dnsAppendRcode(nil, code)); got != want {
			t.Errorf("dnsAppendRcode(%d) = %q, want %q", code, got, want)
		}
	}
}

// BenchmarkDNSHostile is the dearest message: a long name twice, and records that
// make the walk compare both again and again.
func BenchmarkDNSHostile(b *testing.B) {
	name := strings.Repeat("\x01a", 127) + "\x00"
	m := []byte{0, 1, 0x81, 0x80, 0, 1, 0, 60, 0, 0, 0, 0}
	m = append(append(m, name...), 0, 1, 0, 1)
	second := len(m) + 10
	m = append(append(m, "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x00\x00\xff"...), name...)
	second += 2
	for range 59 {
		m = append(m, 0xc0|byte(second>>8), byte(second), 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12)
	}
	out := new(Result)
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		out.Reset()
		dnsTell(m, dnsReadHeader(m), &dnsKeys, out)
	}
}
