package dissect

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// testHello builds a ClientHello.
type testHello struct {
	name    string
	version uint16 // 0x0303 when 0
	session int    // bytes of session id
	ciphers []uint16
	exts    []uint16 // further extensions, empty ones
	sigAlgs []uint16
	alpn    []string
	share   int // bytes of key share
	dtls    bool
}

func u16s(list []uint16) (b []byte) {
	for _, v := range list {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func vector(size int, b []byte) []byte {
	v := make([]byte, size, size+len(b))
	for i := range size {
		v[size-1-i] = byte(len(b) >> (8 * i))
	}
	return append(v, b...)
}

func extension(typ uint16, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, typ), vector(2, b)...)
}

func (h testHello) body() []byte {
	if h.version == 0 {
		h.version = 0x0303
	}
	if h.ciphers == nil {
		h.ciphers = []uint16{0x1301, 0xc02f}
	}
	b := binary.BigEndian.AppendUint16(nil, h.version)
	for i := range 32 {
		b = append(b, byte(0xa0+i))
	}
	b = append(b, vector(1, bytes.Repeat([]byte{0x5e}, h.session))...)
	if h.dtls {
		b = append(b, 0)
	}
	b = append(b, vector(2, u16s(h.ciphers))...)
	b = append(b, 1, 0)
	var exts []byte
	if h.share > 0 {
		key := append([]byte{0x11, 0xec}, vector(2, bytes.Repeat([]byte{0x77}, h.share))...)
		exts = append(exts, extension(0x33, vector(2, key))...)
	}
	for _, e := range h.exts {
		exts = append(exts, extension(e, nil)...)
	}
	if h.sigAlgs != nil {
		exts = append(exts, extension(extSigAlgs, vector(2, u16s(h.sigAlgs)))...)
	}
	if h.alpn != nil {
		var list []byte
		for _, a := range h.alpn {
			list = append(list, vector(1, []byte(a))...)
		}
		exts = append(exts, extension(extALPN, vector(2, list))...)
	}
	if h.name != "" {
		exts = append(exts, extension(extServerName, vector(2, append([]byte{0}, vector(2, []byte(h.name))...)))...)
	}
	return append(b, vector(2, exts)...)
}

func (h testHello) message() []byte { return append([]byte{msgClientHello}, vector(3, h.body())...) }

func record(typ byte, b []byte) []byte { return append([]byte{typ, 3, 1}, vector(2, b)...) }

// TestTLSAnySplit shows handshakes split at each byte into two segments: nothing
// changes but when it is known, and that is never later than with the hello whole.
func TestTLSAnySplit(t *testing.T) {
	spec, _ := ByName("tls")
	in, out, more := newInput(), new(Result), new(Result)
	for _, file := range []string{"yes-tls13", "yes-tls12", "yes-go-pq", "yes-many-records", "yes-sslv2-hello", "yes-hello-retry"} {
		s, err := loadSample("testdata/tls/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range s.packets[:min(len(s.packets), 3)] {
			for at := 1; at < len(p.data); at++ {
				cut := s
				cut.packets = append([]packet{}, s.packets[:i]...)
				cut.packets = append(cut.packets, packet{p.server, p.data[:at]}, packet{p.server, p.data[at:]})
				cut.packets = append(cut.packets, s.packets[i+1:]...)
				trial := only(spec, TCP, 6)
				v, _ := cut.play(&trial, in, out, more, nil)
				if v < YesMore {
					t.Fatalf("%s, packet %d split at %d: verdict %v", file, i, at, v)
				}
				checkFindings(t, findings(out), s.want)
				if t.Failed() {
					t.Fatalf("%s, packet %d split at %d", file, i, at)
				}
			}
		}
	}
}

// TestTLSAnyRecords cuts the messages of both sides into records of each size.
func TestTLSAnyRecords(t *testing.T) {
	spec, _ := ByName("tls")
	in, out, more := newInput(), new(Result), new(Result)
	s, err := loadSample("testdata/tls/yes-tls12.txt")
	if err != nil {
		t.Fatal(err)
	}
	var flight [2][]byte // handshake messages of client and server in clear
	for _, p := range s.packets[:3] {
		side := 0
		if p.server {
			side = 1
		}
		flight[side] = append(flight[side], p.data...)
	}
	for side, b := range flight {
		var messages []byte
		for len(b) >= recordHeader && b[0] == recordHandshake {
			n := int(binary.BigEndian.Uint16(b[3:]))
			messages = append(messages, b[recordHeader:recordHeader+n]...)
			b = b[recordHeader+n:]
		}
		flight[side] = messages
	}
	for size := 1; size < 300; size++ {
		var cut sample
		for side, b := range flight {
			var records []byte
			for len(b) > 0 && len(records) < MaxBytes {
				n := min(size, len(b))
				records = append(records, record(recordHandshake, b[:n])...)
				b = b[n:]
			}
			cut.packets = append(cut.packets, packet{side == 1, records})
		}
		trial := only(spec, TCP, 6)
		cut.over, cut.ipProto = TCP, 6
		v, at := cut.play(&trial, in, out, more, nil)
		if v != Yes || at != 1 {
			t.Fatalf("records of %d bytes: verdict %v after %d packets, want %v after 1", size, v, at, Yes)
		}
		if checkFindings(t, findings(out), s.want); t.Failed() {
			t.Fatalf("records of %d bytes", size)
		}
	}
}

// TestTLSEarly: the protocol is known with eleven bytes, the name with its extension.
func TestTLSEarly(t *testing.T) {
	spec, _ := ByName("tls")
	h := testHello{share: 1200, name: "a.example.com", alpn: []string{"h2"}, sigAlgs: []uint16{0x0403}}
	b := record(recordHandshake, h.message())
	name := bytes.Index(b, []byte(h.name)) + len(h.name)
	in, out := newInput(), new(Result)
	in.ClientCount, in.IPProto = 1, 6
	for n := 1; n <= len(b); n++ {
		in.Client, in.Packet = b[:n], b[:n]
		out.Reset()
		v := spec.Detect(in, out)
		want := YesMore
		if n < 11 {
			want = More
		}
		if v != want {
			t.Fatalf("%d bytes: verdict %v, want %v", n, v, want)
		}
		if got := string(out.Host()) == h.name; got != (n >= name) {
			t.Fatalf("%d bytes: host %q; the name ends at %d", n, out.Host(), name)
		}
	}
}

// TestTLSMidstream begins in the middle of a record: the first that begins and ends
// with a segment tells.
func TestTLSMidstream(t *testing.T) {
	spec, _ := ByName("tls")
	in, out := newInput(), new(Result)
	in.Midstream, in.IPProto, in.ServerCount = true, 6, 1
	noise := bytes.Repeat([]byte{0xc3, 0x51, 0x2a}, 200)
	in.Server, in.Packet, in.FromServer = noise, noise, true
	if v := spec.Detect(in, out); v != More {
		t.Errorf("noise: verdict %v, want More", v)
	}
	next := []byte("\x17\x03\x03\x00\x20" + strings.Repeat("\x99", 32))
	in.Server, in.Packet, in.ServerCount = append(noise, next...), next, 2
	if v := spec.Detect(in, out); v != Yes {
		t.Errorf("a record that fills a segment: verdict %v, want Yes", v)
	}
	in.Packet, in.ServerCount = next[:20], midstreamTries
	if v := spec.Detect(in, out); v != No {
		t.Errorf("no record in %d segments: verdict %v, want No", midstreamTries, v)
	}
}

// TestJA4 holds the fingerprints against the examples of the specification, and its
// rules for what is missing.
func TestJA4(t *testing.T) {
	chrome := testHello{
		name: "a.example", alpn: []string{"h2", "http/1.1"},
		ciphers: []uint16{0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
		exts:    []uint16{0x3a3a, 0x001b, 0x0033, 0x4469, 0x0017, 0x002d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0xfafa},
		sigAlgs: []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601},
	}
	tests := []struct {
		name  string
		hello testHello
		kind  byte
		want  string
	}{
		{"the specification's example but for the version", chrome, 't', "t12d1516h2_8daaf6152771_e5627efa2ab1"},
		{"nothing offered", testHello{ciphers: []uint16{}}, 't', "t12i000000_000000000000_000000000000"},
		{"only GREASE", testHello{ciphers: []uint16{0xbaba}, exts: []uint16{0x0a0a}}, 'q', "q12i000000_000000000000_000000000000"},
		{"ALPN of one letter", testHello{ciphers: []uint16{}, alpn: []string{"x"}}, 't', "t12i0001xx_000000000000_000000000000"},
		{"ALPN not alphanumeric", testHello{ciphers: []uint16{}, alpn: []string{"0-"}}, 't', "t12i00013d_000000000000_000000000000"},
		{"ALPN that is GREASE", testHello{ciphers: []uint16{}, alpn: []string{"\x0a\x0a", "h2"}}, 't', "t12i00010a_000000000000_000000000000"},
		{"ALPN beyond ASCII", testHello{ciphers: []uint16{}, alpn: []string{"\xba\xad"}}, 't', "t12i000199_000000000000_000000000000"},
		{"DTLS 1.2", testHello{version: 0xfefd, ciphers: []uint16{}, dtls: true}, 'd', "dd2i000000_000000000000_000000000000"},
		{"SSL 3.0", testHello{version: 0x0300, ciphers: []uint16{}}, 't', "ts3i000000_000000000000_000000000000"},
		{"more ciphers than two digits", testHello{ciphers: make([]uint16, 120)}, 't', "t12i990000_"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.hello.body()
			h := parseClientHello(b, len(b), tt.hello.dtls)
			var s helloShape
			if !h.sound || !s.fill(&h, tt.kind) {
				t.Fatalf("sound %v: no fingerprint", h.sound)
			}
			if got := s.ja4(nil, nil); !strings.HasPrefix(string(got[:]), tt.want) {
				t.Errorf("JA4 = %s, want %s", got, tt.want)
			}
		})
	}
}

// TestJA3 holds JA3 against the example in the description of its makers.
func TestJA3(t *testing.T) {
	// 769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0
	b := testHello{version: 0x0301, name: "x.example",
		ciphers: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}}.body()
	exts := b[len(b)-int(binary.BigEndian.Uint16(b[len(b)-20:]))-2:]
	b = b[:len(b)-len(exts)]
	list := append(exts[2:], extension(extGroups, vector(2, u16s([]uint16{23, 24, 25})))...)
	list = append(list, extension(extPointFormat, []byte{1, 0})...)
	b = append(b, vector(2, list)...)
	h := parseClientHello(b, len(b), false)
	var s helloShape
	if !s.fill(&h, 't') {
		t.Fatal("no fingerprint")
	}
	if got := s.ja3(nil); hex.EncodeToString(got[:]) != "ada70206e40642a3e4461f35503241d5" {
		t.Errorf("JA3 = %x, want ada70206e40642a3e4461f35503241d5", got)
	}
}

// TestHostileHello: lists that no client sends have no fingerprint, and cost none.
func TestHostileHello(t *testing.T) {
	for _, h := range []testHello{
		{ciphers: make([]uint16, 7000)},
		{exts: make([]uint16, 3000)},
		{sigAlgs: make([]uint16, 6000)},
	} {
		b := h.body()
		hello := parseClientHello(b, len(b), false)
		if !hello.sound {
			t.Error("a long hello is not sound")
		}
		var s helloShape
		if s.fill(&hello, 't') {
			t.Error("a hello with thousands of values has a fingerprint")
		}
	}
}

// TestPrintMemo: what the memo gives is what would be computed, also after other
// shapes took its places.
func TestPrintMemo(t *testing.T) {
	var m printMemo
	for round := range 3 {
		for n := range 500 {
			ciphers := make([]uint16, 1+n%250)
			for i := range ciphers {
				ciphers[i] = uint16(n*7 + i)
			}
			b := testHello{ciphers: ciphers, name: "a.example"}.body()
			h := parseClientHello(b, len(b), false)
			got, ok := m.of(&h, 't')
			var s helloShape
			if !ok || !s.fill(&h, 't') {
				t.Fatal("no fingerprint")
			}
			if want := (fingerprints{s.ja3(nil), s.ja4(nil, nil)}); *got != want {
				t.Fatalf("round %d, hello %d: %s, want %s", round, n, got.ja4, want.ja4)
			}
		}
	}
}

// TestCertificateTimes covers both forms of RFC 5280 section 4.1.2.5.
func TestCertificateTimes(t *testing.T) {
	tests := []struct {
		kind     byte
		in, want string
	}{
		{derUTCTime, "260131235959Z", "2026-01-31T23:59:59Z"},
		{derUTCTime, "991231000000Z", "1999-12-31T00:00:00Z"},
		{derTime, "20510203040506Z", "2051-02-03T04:05:06Z"},
		{derUTCTime, "2601312359Z", ""},
		{derUTCTime, "260131235959+", ""},
		{derTime, "2051o203040506Z", ""},
	}
	for _, tt := range tests {
		if got := string(appendTime(nil, tt.kind, []byte(tt.in))); got != tt.want {
			t.Errorf("appendTime(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestCertificateCut: a certificate cut or changed anywhere makes nothing worse.
func TestCertificateCut(t *testing.T) {
	s, err := loadSample("testdata/tls/yes-tls12-no-sni.txt")
	if err != nil {
		t.Fatal(err)
	}
	side := walkTLS(s.packets[1].data, false)
	der, ok := firstCertificate(side.cert)
	if !ok {
		t.Fatal("no certificate in the sample")
	}
	out := new(Result)
	for n := range der {
		out.Reset()
		reportCertificate(der[:n], true, out)
		bad := bytes.Clone(der)
		bad[n] ^= 0xff
		out.Reset()
		reportCertificate(bad, true, out)
	}
	out.Reset()
	reportCertificate(der, true, out)
	if string(out.Host()) != "www.example.com" {
		t.Errorf("host = %q, want www.example.com", out.Host())
	}
}

// TestTLSStream is how a protocol with STARTTLS asks.
func TestTLSStream(t *testing.T) {
	out := new(Result)
	client := record(recordHandshake, testHello{name: "mail.example.com"}.message())
	if v := tlsStream(nil, nil, out); v != More {
		t.Errorf("nothing yet: %v, want More", v)
	}
	if v := tlsStream(client[:8], nil, out); v != More {
		t.Errorf("eight bytes: %v, want More", v)
	}
	if v := tlsStream(client, nil, out); v != YesMore || string(out.Host()) != "mail.example.com" {
		t.Errorf("hello: %v, host %q", v, out.Host())
	}
	if v := tlsStream([]byte("NOOP\r\n"), nil, out); v != No {
		t.Errorf("clear text: %v, want No", v)
	}
}

func BenchmarkTLSHello(b *testing.B) {
	s, err := loadSample("testdata/tls/yes-grease.txt")
	if err != nil {
		b.Fatal(err)
	}
	hello := append(bytes.Clone(s.packets[0].data), s.packets[1].data...)
	for _, known := range []bool{true, false} {
		name := "known"
		if !known {
			name = "new"
		}
		b.Run(name, func(b *testing.B) {
			in, out := newInput(), new(Result)
			in.Client, in.Packet, in.ClientCount, in.IPProto = hello, hello, 1, 6
			for b.Loop() {
				out.Reset()
				if !known {
					for i := range out.prints.entry {
						out.prints.entry[i].size = 0
					}
				}
				if v := detectTLS(in, out); v != YesMore || len(out.JA4()) == 0 {
					b.Fatalf("verdict %v", v)
				}
			}
		})
	}
}

// TestCertificateText covers the kinds of strings that names are written in.
func TestCertificateText(t *testing.T) {
	tests := []struct {
		kind     byte
		in, want string
	}{
		{derUTF8, "Zürich AG", "Zürich AG"},
		{derPrintable, "www.example.com", "www.example.com"},
		{derBMP, "\x00W\x00e\x00\xef\x20\xac", "Weï€"},
		{derInteger, "\x01", ""},
	}
	for _, tt := range tests {
		if got := string(appendText(make([]byte, 0, 64), tt.kind, []byte(tt.in))); got != tt.want {
			t.Errorf("appendText(%#x, %q) = %q, want %q", tt.kind, tt.in, got, tt.want)
		}
	}
	if got := appendText(make([]byte, 0, 4), derUTF8, []byte("abcdef")); string(got) != "abcd" {
		t.Errorf("appendText to 4 bytes of room = %q, want %q", got, "abcd")
	}
}

// TestServerNames: which names of a certificate may stand for the server.
func TestServerNames(t *testing.T) {
	for name, want := range map[string]bool{
		"www.example.com": true, "a.xn--p1ai": true, "*.example.com": false, "192.0.2.7": false,
		"localhost": false, "Example Ltd": false, "": false,
	} {
		if got := isServerName([]byte(name)); got != want {
			t.Errorf("isServerName(%q) = %v, want %v", name, got, want)
		}
	}
}

// TestTLSVersionNames covers drafts and numbers that are no version.
func TestTLSVersionNames(t *testing.T) {
	for v, want := range map[uint16]string{
		0x0002: "SSLv2", 0x0300: "SSLv3", 0x0301: "TLSv1.0", 0x0304: "TLSv1.3", 0x7f1c: "TLSv1.3-draft28",
		0xfb1a: "TLSv1.3-fizz", 0xfeff: "DTLSv1.0", 0xfefc: "DTLSv1.3", 0x0505: "0x0505",
	} {
		if got := string(tlsVersionName(nil, v)); got != want {
			t.Errorf("tlsVersionName(%#x) = %q, want %q", v, got, want)
		}
	}
}
