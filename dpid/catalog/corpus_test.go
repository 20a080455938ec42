package catalog

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpusDir is the folder of labelled captures, which is no part of the
// project: ../shared/corpus from the module root, or $WEIR_CORPUS.
func corpusDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WEIR_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "ndpi", "labels")); err != nil {
		t.Skipf("no corpus of labelled captures; point WEIR_CORPUS to one (%v)", err)
	}
	return dir
}

// label is what the test needs of a line of the labels.
type label struct {
	App      string `json:"app"`
	AppFrom  string `json:"app_from"`
	Method   string `json:"method"`
	Hostname string `json:"hostname"`
}

// TestCorpus looks the host names of the corpus up that another tool named a
// service by, and wants a corresponding answer for 95 % of them.
func TestCorpus(t *testing.T) {
	t.Parallel()
	const wantShare = 0.95
	names := readNames(t)
	c := curated(t)
	files, err := filepath.Glob(filepath.Join(corpusDir(t), "ndpi", "labels", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no label files: %v", err)
	}
	total, good := 0, 0
	missing := map[string]int{}
	for _, file := range files {
		for _, l := range readLabels(t, file) {
			if l.AppFrom != "host" || !strings.HasPrefix(l.Method, "dpi") || l.Hostname == "" {
				continue
			}
			if _, err := netip.ParseAddr(l.Hostname); err == nil {
				continue // named by something else
			}
			ours, known := names[l.App]
			if !known {
				t.Errorf("%s: testdata/ndpi-names.tsv has no %s", filepath.Base(file), l.App)
				continue
			}
			if ours == "-" {
				continue
			}
			total++
			m, _ := c.Host([]byte(l.Hostname))
			app, category := c.App(m.App)
			if corresponds(ours, app, category) {
				good++
			} else {
				missing[l.App+" "+l.Hostname+" -> "+app]++
			}
		}
	}
	share := float64(good) / float64(total)
	t.Logf("%d of %d host names correspond: %.2f %%", good, total, 100*share)
	for what, n := range missing {
		t.Logf("%3d x %s", n, what)
	}
	if share < wantShare {
		t.Errorf("share of host names that correspond = %.4f, want >= %.4f", share, wantShare)
	}
}

// corresponds reports whether an answer is among those accepted.
func corresponds(accepted, app, category string) bool {
	for _, a := range strings.Split(accepted, ",") {
		if k, ok := strings.CutPrefix(a, "category:"); ok && k == category || a == app {
			return true
		}
	}
	return false
}

// readNames reads testdata/ndpi-names.tsv and checks that our side exists.
func readNames(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("testdata/ndpi-names.tsv")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{"-": true}
	c := curated(t)
	c.Apps(func(_ AppID, name string, _ CategoryID) bool { have[name] = true; return true })
	c.Categories(func(_ CategoryID, name string) bool { have["category:"+name] = true; return true })
	names := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		theirs, ours, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || line[0] == '#' {
			continue
		}
		for _, a := range strings.Split(ours, ",") {
			if !have[a] {
				t.Errorf("testdata/ndpi-names.tsv: %s: there is no %s", theirs, a)
			}
		}
		names[theirs] = ours
	}
	return names
}

func readLabels(t *testing.T, file string) []label {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []label
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l label
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, l)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
