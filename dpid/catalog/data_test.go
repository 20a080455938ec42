package catalog

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"weir/dpid/catalog/data"
)

var update = flag.Bool("update", false, "add new ids to testdata/ids.golden")

// TestDataClean wants the curated data without mistakes and without warnings.
func TestDataClean(t *testing.T) {
	t.Parallel()
	warn := func(text string) { t.Error(text) }
	if err := Compile(Input{Warn: warn}, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
}

// TestDataFiles wants every application in the file of its category.
func TestDataFiles(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(data.Files, "*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(data.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if strings.HasPrefix(line, "app ") && f[3]+".txt" != name {
				t.Errorf("%s: application %s of category %s", name, f[2], f[3])
			}
		}
	}
}

// TestIDs compares all ids with the golden file: they are in events, rules and
// databases, so none may change its meaning or be given again.
func TestIDs(t *testing.T) {
	t.Parallel()
	c := curated(t)
	have := map[string]string{} // "app 1" -> name
	var lines []string
	add := func(kind string, id any, name string) {
		key := fmt.Sprint(kind, " ", id)
		have[key] = name
		lines = append(lines, key+" "+name)
	}
	c.Categories(func(id CategoryID, name string) bool { add("category", id, name); return true })
	c.Apps(func(id AppID, name string, _ CategoryID) bool { add("app", id, name); return true })
	if len(c.apps) < 1000 {
		t.Errorf("%d applications, want >= 1000", len(c.apps))
	}

	golden, err := os.ReadFile("testdata/ids.golden")
	if err != nil && !*update {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(golden)) {
		key, name := line[:strings.LastIndexByte(line, ' ')], strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		known[key] = true
		if have[key] != name {
			t.Errorf("%s = %q, want %q for ever", key, have[key], name)
		}
	}
	var fresh []string
	for _, line := range lines {
		if !known[line[:strings.LastIndexByte(line, ' ')]] {
			fresh = append(fresh, line)
		}
	}
	switch {
	case len(fresh) == 0:
	case *update && !t.Failed():
		text := string(golden) + strings.Join(fresh, "\n") + "\n"
		if err := os.WriteFile("testdata/ids.golden", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%d ids are not in testdata/ids.golden, the first %q; add them with -update", len(fresh), fresh[0])
	}
}
