package catalog

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"weir/proto/ids"
)

// TestUser compiles a user's applications and lists beside the curated ones.
func TestUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ads":     "# adverts\n\nsub.example.com # ours\nFULL.example.\nfull:only.example.net\ninclude:more @ads\nkeyword:Banner\n192.0.2.130\n198.51.100.0/24\n",
		"more":    "domain:tracker.example @ads @other\nkept-out.example\nregexp:^ad[0-9]+\\..*\\.example$ @ads\n",
		"blocked": "tracker.example\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := Input{
		Data:       smallData(),
		Categories: []string{"office"},
		Applications: []Application{
			{Name: "intranet", Category: "office", Domains: []string{"corp", "=wiki.example.com"}, Networks: []string{"10.0.0.0/8", "fd00::1"}},
			{Name: "example", Domains: []string{"example.info"}}, // adds to the curated one
			{Name: "mine", Category: "streaming", Domains: []string{"sub.example.com"}, JA4: []string{"t13d1516h2_8daaf6152771_02713d6af862"}},
		},
		Lists: []List{
			{Category: "advertising", Path: filepath.Join(dir, "ads")},
			{Category: "blocked", Path: filepath.Join(dir, "blocked")},
		},
	}
	var b bytes.Buffer
	if err := Compile(in, &b); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, b.Bytes())
	hosts := []struct {
		host, app, category string
		lists               ListSet
		entry               string
	}{
		{"www.example.com", "example", "streaming", 0, "example.com"},
		{"www.example.info", "example", "streaming", 0, "example.info"},
		{"mail.corp", "intranet", "office", 0, "corp"},
		{"corp", "intranet", "office", 0, "corp"},
		{"wiki.example.com", "intranet", "office", 0, "=wiki.example.com"},
		{"a.wiki.example.com", "example", "streaming", 0, "example.com"},
		{"a.sub.example.com", "mine", "advertising", 1, "sub.example.com"},
		{"x.full.example", "", "advertising", 1, "full.example"},
		{"only.example.net", "", "advertising", 1, "=only.example.net"},
		{"www.only.example.net", "", "", 0, ""},
		{"www.tracker.example", "", "advertising", 3, "tracker.example"},
		{"kept-out.example", "", "", 0, ""},
		{"ad7.x.example", "", "advertising", 1, `regexp:^ad[0-9]+\..*\.example$`},
		{"AD7.X.EXAMPLE", "", "advertising", 1, `regexp:^ad[0-9]+\..*\.example$`},
		{"my-banner.example.com", "example", "advertising", 1, "example.com"},
		{"my-banner.invalid", "", "advertising", 1, "keyword:banner"},
	}
	for _, tt := range hosts {
		m, ok := c.Host([]byte(tt.host))
		app, _ := c.App(m.App)
		entry := string(c.AppendEntry(nil, m))
		if app != tt.app || c.Category(m.Category) != tt.category || m.Lists != tt.lists || entry != tt.entry || ok != (tt.entry != "") {
			t.Errorf("Host(%s) = %q, %q, lists %b, by %q; want %q, %q, %b, %q",
				tt.host, app, c.Category(m.Category), m.Lists, entry, tt.app, tt.category, tt.lists, tt.entry)
		}
	}
	addrs := []struct{ addr, app, category, entry string }{
		{"10.1.2.3", "intranet", "office", "10.0.0.0/8"},
		{"fd00::1", "intranet", "office", "fd00::1/128"},
		{"fd00::2", "", "", ""},
		{"192.0.2.129", "sub", "streaming", "192.0.2.128/25"},
		{"192.0.2.130", "sub", "advertising", "192.0.2.130/32"}, // the list within the application's range
		{"198.51.100.9", "", "advertising", "198.51.100.0/24"},
	}
	for _, tt := range addrs {
		m, _ := c.Addr(netip.MustParseAddr(tt.addr).As16())
		app, _ := c.App(m.App)
		if entry := string(c.AppendEntry(nil, m)); app != tt.app || c.Category(m.Category) != tt.category || entry != tt.entry {
			t.Errorf("Addr(%s) = %q, %q by %q; want %q, %q by %q", tt.addr, app, c.Category(m.Category), entry, tt.app, tt.category, tt.entry)
		}
	}
	m, _ := c.JA4([]byte("t13d1516h2_8daaf6152771_02713d6af862"))
	if app, _ := c.App(m.App); app != "mine" {
		t.Errorf("JA4 = %q, want mine: the user's entry wins", app)
	}
	if m, _ := c.Host([]byte("corp")); m.App < ids.FirstUserApp || m.Category < ids.FirstUserCat {
		t.Errorf("ids of user input = %d, %d, want them from %d, %d", m.App, m.Category, ids.FirstUserApp, ids.FirstUserCat)
	}

	// The same input in another order gives the same ids.
	in.Applications[0], in.Applications[2] = in.Applications[2], in.Applications[0]
	var again bytes.Buffer
	if err := Compile(in, &again); err != nil {
		t.Fatal(err)
	}
	a, _ := c.Host([]byte("corp"))
	if b, _ := mustParse(t, again.Bytes()).Host([]byte("corp")); a.App != b.App || a.Category != b.Category {
		t.Errorf("ids after reordering = %d, %d, want %d, %d", b.App, b.Category, a.App, a.Category)
	}
}

// TestReproducible wants the same bytes from the same input.
func TestReproducible(t *testing.T) {
	t.Parallel()
	if a, b := smallFile(t, Input{}), smallFile(t, Input{}); !bytes.Equal(a, b) {
		t.Error("two compilations of the same input differ")
	}
}

// TestMistakes wants every mistake, each with its place, and nothing written.
func TestMistakes(t *testing.T) {
	t.Parallel()
	list := writeFile(t, "good.example\nbad..example\nregexp:a(\ninclude:../etc\ninclude:none\nhuh:x\nkeyword:ab\nname trailing\n")
	in := Input{
		Data: fstest.MapFS{
			"categories.txt": {Data: []byte("1 streaming Streaming\n1 twice Twice\n2 streaming Again\n0 zero Zero\n3 Upper Upper\n4 short\n")},
			"streaming.txt": {Data: []byte(`app 1 one streaming
	example.com www.example.com Example.org co.uk com a..b -x.example bücher.example a*b*.example.com *.example.com
	net 10.0.0.1/8 10.0.0.0/33 ::ffff:10.0.0.0/104 0.0.0.0/0
	ja4 t13d
app 1 two streaming
	example.net
app 2 three nothing
app 3 one streaming
app 4 Four streaming
app 5 five streaming
	example.com =example.com
	five.example five.example
app x six streaming
nonsense
`)},
		},
		Applications: []Application{
			{Name: "Bad Name", Category: "streaming", Domains: []string{"x.example"}, File: "weir.d/a.toml", Line: 3},
			{Name: "user", Category: "missing", File: "weir.d/a.toml", Line: 9, Networks: []string{"1.2.3.4/24"}},
			{Name: "one", Category: "missing", Domains: []string{"y.example"}, File: "weir.d/a.toml", Line: 12},
		},
		Lists: []List{{Category: "Bad", Path: list}, {Category: "good", Path: list}, {Category: "good", Path: list + ".none"}},
	}
	var warnings []string
	in.Warn = func(text string) { warnings = append(warnings, text) }
	var b bytes.Buffer
	err := Compile(in, &b)
	if err == nil || b.Len() > 0 {
		t.Fatalf("Compile = %v, %d bytes written; want mistakes and none", err, b.Len())
	}
	got := strings.ReplaceAll(err.Error(), list, "DIR/list")
	want := strings.TrimSpace(string(readGolden(t, "testdata/mistakes.golden", []byte(got+"\n"))))
	if got != want {
		t.Errorf("Compile reported\n%s\nwant\n%s", got, want)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "streaming.txt:2: warning: domain www.example.com is covered") {
		t.Errorf("warnings = %q, want one for www.example.com", warnings)
	}
}

// readGolden returns a golden file, which -update writes first.
func readGolden(t *testing.T, path string, got []byte) []byte {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestListBounds tries what could make a list cost more than it is worth.
func TestListBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("b", "include:a\n")
	for i := range 20 {
		write("deep"+string(rune('a'+i)), "include:deep"+string(rune('a'+i+1))+"\n")
	}
	tests := []struct{ name, path, want string }{
		{"circle", write("a", "x.example\ninclude:b\n"), "goes in a circle"},
		{"depth", filepath.Join(dir, "deepa"), "more than 16 deep"},
		{"long line", write("long", strings.Repeat("x", 10000)+"\n"), "long:1: bufio.Scanner: token too long"},
		{"patterns", write("patterns", strings.Repeat("keyword:abc\n", 600)), "more than 512 keywords"},
		{"many mistakes", write("many", strings.Repeat("a..b\n", 5000)), "and 4800 more"},
		{"directory", dir, "is a directory"},
	}
	for _, tt := range tests {
		err := Compile(Input{Data: smallData(), Lists: []List{{Category: "x", Path: tt.path}}}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Compile = %v, want %q", tt.name, err, tt.want)
		}
	}
	many := make([]List, 65)
	for i := range many {
		many[i] = List{Category: "x", Path: write("ok", "ok.example\n")}
	}
	if err := Compile(Input{Data: smallData(), Lists: many}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "more than 64 lists") {
		t.Errorf("Compile with 65 lists = %v, want an error", err)
	}
	if err := Compile(Input{Data: smallData(), Lists: many[:64]}, &bytes.Buffer{}); err != nil {
		t.Errorf("Compile with 64 lists = %v", err)
	}
}
