package catalog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"weir/dpid/catalog/internal/format"
)

// FuzzParse shows files to Parse whose checksums are right and whose rest is
// anything, and uses what it accepts.
func FuzzParse(f *testing.F) {
	f.Add(smallFile(f, Input{}))
	f.Add(smallFile(f, Input{Lists: []List{{Category: "x", Path: writeFile(f, "keyword:abc\nregexp:^a\nlist.example\n10.0.0.0/8\n")}}}))
	f.Add([]byte(format.Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= format.HeaderSize {
			b = bytes.Clone(b)
			format.SealBody(b)
		}
		if c, err := Parse(b); err == nil {
			useAll(c)
		}
	})
}

// FuzzHost looks any bytes up and holds the answer against the entry's text.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"www.example.com", "EXAMPLE.com.", "img-a1.cdn.example.net", "..", "*", "=", "\x01", "a.b.example.org"} {
		f.Add([]byte(s))
	}
	c := mustParse(f, smallFile(f, Input{}))
	f.Fuzz(func(t *testing.T, name []byte) {
		m, ok := c.Host(name)
		if !ok {
			return
		}
		entry := c.AppendEntry(nil, m)
		plain := bytes.TrimSuffix(bytes.ToLower(name), []byte("."))
		switch m.Kind {
		case KindSuffix:
			if !bytes.HasSuffix(append([]byte("."), plain...), append([]byte("."), entry...)) {
				t.Errorf("Host(%q) by suffix %q", name, entry)
			}
		case KindExact:
			if string(plain) != string(entry[1:]) {
				t.Errorf("Host(%q) by %q", name, entry)
			}
		case KindWild:
			if !bytes.HasSuffix(plain, entry[bytes.IndexByte(entry, '.'):]) {
				t.Errorf("Host(%q) by wildcard %q", name, entry)
			}
		default:
			t.Errorf("Host(%q) by %v", name, m.Kind)
		}
	})
}

// FuzzInput compiles any text as a data file and as a list; what compiles
// must open.
func FuzzInput(f *testing.F) {
	f.Add([]byte(small), []byte("full:a.example @x\nregexp:^b\nkeyword:ccc\n192.0.2.1\n"))
	f.Add([]byte("app 1 a streaming\n\tx*y.example.com =a.b net 1.2.3.4\n"), []byte("domain:com\ninclude:list\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, list []byte) {
		path := filepath.Join(dir, "list")
		if err := os.WriteFile(path, list, 0o644); err != nil {
			t.Fatal(err)
		}
		in := Input{
			Data: fstest.MapFS{
				"categories.txt": {Data: []byte("1 streaming Streaming\n")},
				"a.txt":          {Data: text},
			},
			Lists: []List{{Category: "listed", Path: path}},
		}
		var b bytes.Buffer
		if err := Compile(in, &b); err != nil {
			return
		}
		c, err := Parse(b.Bytes())
		if err != nil {
			t.Fatalf("Parse of what was compiled = %v", err)
		}
		useAll(c)
	})
}
