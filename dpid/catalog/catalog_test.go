package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"weir/dpid/catalog/internal/format"
)

// curated is the catalogue of the curated data, compiled once for all tests.
func curated(tb testing.TB) *Catalog {
	tb.Helper()
	c, err := compileCurated()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

var compileCurated = sync.OnceValues(func() (*Catalog, error) { return compileInMemory(Input{}) })

// small is a catalogue in which every kind of entry occurs.
const small = `
app 1 example streaming
	example.com =exact.example.net ads.a.b.example.org
	net 192.0.2.0/24 2001:db8::/32
	ja4 t13d1516h2_8daaf6152771_02713d6af862
app 2 sub streaming
	sub.example.com img*.cdn.example.net img-a*.cdn.example.net
	net 192.0.2.128/25 2001:db8:1::/48
app 3 long streaming
	a-label-longer-than-what-fits-in-a-node.example.edu xn--bcher-kva.example
`

func smallData() fstest.MapFS {
	return fstest.MapFS{
		"categories.txt": {Data: []byte("1 streaming Streaming\n2 advertising Ads\n")},
		"streaming.txt":  {Data: []byte(small)},
	}
}

func smallFile(tb testing.TB, in Input) []byte {
	tb.Helper()
	in.Data = smallData()
	// What the curated data may not do: the exact name beside another's suffix.
	in.Applications = append(in.Applications, Application{Name: "sub", Domains: []string{"=example.com"}})
	var b bytes.Buffer
	if err := Compile(in, &b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func mustParse(tb testing.TB, b []byte) *Catalog {
	tb.Helper()
	c, err := Parse(b)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestHost(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("x", 63)
	name253 := strings.Repeat(label63+".", 3) + strings.Repeat("y", 49) + ".example.com"
	tests := []struct {
		host, app string
		kind      Kind
		entry     string
	}{
		{"www.example.com", "example", KindSuffix, "example.com"},
		{"example.com", "sub", KindExact, "=example.com"},
		{"example.com.", "sub", KindExact, "=example.com"},
		{"ExAmPlE.CoM", "sub", KindExact, "=example.com"},
		{"WWW.EXAMPLE.COM.", "example", KindSuffix, "example.com"},
		{"example.com..", "", KindNone, ""},
		{".example.com", "example", KindSuffix, "example.com"},
		{"a.b.sub.example.com", "sub", KindSuffix, "sub.example.com"},
		{"notsub.example.com", "example", KindSuffix, "example.com"},
		{"exact.example.net", "example", KindExact, "=exact.example.net"},
		{"www.exact.example.net", "", KindNone, ""},
		{"example.net", "", KindNone, ""},
		{"ads.a.b.example.org", "example", KindSuffix, "ads.a.b.example.org"},
		{"a.b.example.org", "", KindNone, ""},
		{"xads.a.b.example.org", "", KindNone, ""},
		{"img1.cdn.example.net", "sub", KindWild, "img*.cdn.example.net"},
		{"img-a1.cdn.example.net", "sub", KindWild, "img-a*.cdn.example.net"},
		{"www.img1.cdn.example.net", "sub", KindWild, "img*.cdn.example.net"},
		{"im.cdn.example.net", "", KindNone, ""},
		{"cdn.example.net", "", KindNone, ""},
		{"*.cdn.example.net", "", KindNone, ""},
		{"=.example.com", "example", KindSuffix, "example.com"},
		{"www.a-label-longer-than-what-fits-in-a-node.example.edu", "long", KindSuffix, "a-label-longer-than-what-fits-in-a-node.example.edu"},
		{"b-label-longer-than-what-fits-in-a-node.example.edu", "", KindNone, ""},
		{"www.XN--BCHER-KVA.example", "long", KindSuffix, "xn--bcher-kva.example"},
		{"bücher.example", "", KindNone, ""},
		{name253, "example", KindSuffix, "example.com"},
		{name253 + ".", "example", KindSuffix, "example.com"},
		{"z" + name253, "", KindNone, ""},
		{"", "", KindNone, ""},
		{".", "", KindNone, ""},
		{"com", "", KindNone, ""},
		{"\x00.example.com", "example", KindSuffix, "example.com"},
		{"example\x00.com", "", KindNone, ""},
		{"example\x01com", "", KindNone, ""},
	}
	c := mustParse(t, smallFile(t, Input{}))
	for _, tt := range tests {
		m, ok := c.Host([]byte(tt.host))
		app, _ := c.App(m.App)
		entry := string(c.AppendEntry(nil, m))
		if app != tt.app || m.Kind != tt.kind || entry != tt.entry || ok != (tt.kind != KindNone) {
			t.Errorf("Host(%q) = %q by %v %q, %v; want %q by %v %q", tt.host, app, m.Kind, entry, ok, tt.app, tt.kind, tt.entry)
		}
	}
}

// TestCase wants the same answer whatever the case of the letters, and no
// other byte to be folded.
func TestCase(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for n := 1; n <= 9; n++ { // at every place of an eight-byte word, and after it
			b := append(bytes.Repeat([]byte{'-'}, n-1), byte(c))
			want := c >= 'A' && c <= 'Z'
			if got := hasUpper(b); got != want {
				t.Errorf("hasUpper(%q) = %v, want %v", b, got, want)
			}
			fold := byte(c)
			if want {
				fold += 'a' - 'A'
			}
			if got := lower(make([]byte, n), b)[n-1]; got != fold {
				t.Errorf("lower(%q) ends in %q, want %q", b, got, fold)
			}
		}
	}
}

func TestNested(t *testing.T) {
	t.Parallel()
	c := mustParse(t, smallFile(t, Input{}))
	for addr, want := range map[string]string{
		"192.0.2.127": "example", "192.0.2.128": "sub", "192.0.2.255": "sub", "192.0.3.0": "", "192.0.1.255": "",
		"2001:db8::1": "example", "2001:db8:1:ffff::": "sub", "2001:db8:2::": "example", "2001:db9::": "",
	} {
		m, _ := c.Addr(netip.MustParseAddr(addr).As16())
		if got, _ := c.App(m.App); got != want {
			t.Errorf("Addr(%s) = %q, want %q", addr, got, want)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	in := Input{Lists: []List{{Category: "advertising", Path: writeFile(t, "regexp:^ad[0-9]+\\.\nkeyword:banner\n")}}}
	c := mustParse(t, smallFile(t, in))
	hosts := [][]byte{
		[]byte("www.example.com"), []byte("WWW.Example.COM."), []byte("img1.cdn.example.net"),
		[]byte("BANNER.example.edu"), []byte("nobody.example.edu"),
	}
	if !raceEnabled {
		hosts = append(hosts, []byte("ad1.example.net"), []byte("AD1.example.net"))
	}
	v4, v6 := netip.MustParseAddr("192.0.2.129").As16(), netip.MustParseAddr("2001:db8:1::1").As16()
	ja4 := []byte("t13d1516h2_8daaf6152771_02713d6af862")
	buf := make([]byte, 0, 512)
	allocs := testing.AllocsPerRun(200, func() {
		for _, h := range hosts {
			m, _ := c.Host(h)
			c.App(m.App)
			buf = c.AppendEntry(buf[:0], m)
		}
		c.Addr(v4)
		c.Addr(v6)
		c.JA4(ja4)
	})
	if allocs != 0 {
		t.Errorf("look-ups allocate %v times, want 0", allocs)
	}
}

// TestConcurrent runs look-ups from many goroutines; the race detector and the
// answers are the judges.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := curated(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				m, _ := c.Host([]byte("a.NFLXVIDEO.net"))
				if name, _ := c.App(m.App); name != "netflix" {
					t.Errorf("Host(a.NFLXVIDEO.net) = %q, want netflix", name)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "catalog.weir")
	if err := CompileFile(Input{Data: smallData()}, path); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := c.Host([]byte("www.example.com"))
	name, category := c.App(m.App)
	if !ok || name != "example" || category != "streaming" {
		t.Errorf("Host = %q, %q, want example, streaming", name, category)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if name != "example" {
		t.Errorf("name after Close = %q", name)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	good := smallFile(t, Input{})
	edit := func(off int, v byte, seal bool) []byte {
		b := bytes.Clone(good)
		b[off] ^= v
		if seal {
			format.Seal(b[:format.HeaderSize])
		}
		return b
	}
	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"empty", nil, ErrNotCatalog},
		{"text", bytes.Repeat([]byte("domain:example.com\n"), 100), ErrNotCatalog},
		{"version", edit(8, 2, true), ErrVersion},
		{"header bit", edit(32, 1, false), ErrCorrupt},
		{"size", edit(16, 1, true), ErrCorrupt},
		{"section out of the file", edit(48+6, 1, true), ErrCorrupt},
		{"body bit", edit(len(good)-70, 1, false), ErrCorrupt},
		{"one byte short", good[:len(good)-1], ErrCorrupt},
		{"half", good[:len(good)/2], ErrCorrupt},
		{"header alone", good[:format.HeaderSize], ErrCorrupt},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(path, tt.file, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: Open = %v, want %v", tt.name, err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %q does not name the file", tt.name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of no file = %v, want ErrNotExist", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNotCatalog) {
		t.Errorf("Open of a directory = %v, want ErrNotCatalog", err)
	}
}

// TestBroken flips every byte of a file behind its checksums and looks
// everything up: nothing may panic or loop.
func TestBroken(t *testing.T) {
	t.Parallel()
	good := smallFile(t, Input{})
	for off := range good {
		for _, v := range []byte{0x01, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[off] ^= v
			format.SealBody(b)
			if c, err := Parse(b); err == nil {
				useAll(c)
			}
		}
	}
}

// useAll calls every look-up of c and writes out what it finds.
func useAll(c *Catalog) {
	var buf []byte
	for _, h := range []string{
		"example.com", "www.example.com", "exact.example.net", "img1.cdn.example.net", "img-a.cdn.example.net",
		"ads.a.b.example.org", "a-label-longer-than-what-fits-in-a-node.example.edu", "x.xn--bcher-kva.example", "a.b.c.d.e",
	} {
		m, _ := c.Host([]byte(h))
		c.App(m.App)
		buf = c.AppendEntry(buf[:0], m)
	}
	for _, a := range []string{"192.0.2.1", "192.0.2.200", "255.255.255.255", "2001:db8::1", "2001:db8:1::1", "ffff::"} {
		m, _ := c.Addr(netip.MustParseAddr(a).As16())
		buf = c.AppendEntry(buf[:0], m)
	}
	m, _ := c.JA4([]byte("t13d1516h2_8daaf6152771_02713d6af862"))
	buf = c.AppendEntry(buf[:0], m)
	for i := range uint32(40) {
		for k := KindNone; k <= KindJA4+1; k++ {
			buf = c.AppendEntry(buf[:0], Match{Kind: k, entry: i * 0x01010101 >> (i % 29)})
		}
	}
	c.Apps(func(id AppID, _ string, _ CategoryID) bool { c.App(id); return true })
	c.Lists(func(int, string, CategoryID) bool { return true })
	c.Size()
}

func writeFile(tb testing.TB, text string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

// TestMillion opens a catalogue with a list of a million names and checks its
// size; the time it takes is BenchmarkOpen's business.
func TestMillion(t *testing.T) {
	t.Parallel()
	if testing.Short() || raceEnabled {
		t.Skip("a million names; run without -short and -race")
	}
	r := rivalsOf[1_000_000]()
	if r.bytes > 64 {
		t.Errorf("%.1f bytes a name, want <= 64", r.bytes)
	}
	for _, q := range r.queries {
		_, want := r.mapHost(q)
		if _, got := r.c.Host(q); got != want {
			t.Fatalf("Host(%s) found %v, want %v", q, got, want)
		}
	}
	t.Logf("%.1f bytes a name, %d look-ups agree with the map", r.bytes, len(r.queries))
}

func ExampleCatalog_Host() {
	c, err := compileInMemory(Input{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, _ := c.Host([]byte("ipv4-c001-ams001-ix.1.oca.nflxvideo.net"))
	name, category := c.App(m.App)
	fmt.Printf("%s, %s, by %s %s\n", name, category, m.Kind, c.AppendEntry(nil, m))
	// Output: netflix, streaming, by suffix nflxvideo.net
}
