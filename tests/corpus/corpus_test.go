package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"weir/tests/binaries"
)

// replay runs a capture through the real processes and returns its flows.
func replay(t *testing.T, bin, capture string, args ...string) (flows []*flowJSON, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "weir"), append(append([]string{"replay", "-json"}, args...), capture)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	runErr := cmd.Run()
	flows, err = readLines[*flowJSON](out.Bytes())
	if err != nil {
		t.Fatalf("replay %s: output: %v", capture, err)
	}
	return flows, errs.String(), runErr
}

// each calls visit with every capture in dir, two at a time.
func each(t *testing.T, dir string, visit func(path string)) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s (%v)", dir, err)
	}
	work := make(chan string)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for f := range work {
				visit(f)
			}
		})
	}
	for _, f := range files {
		work <- f
	}
	close(work)
	wg.Wait()
	return len(files)
}

// TestAgreement replays every labelled capture and holds what comes out against
// the labels. The limits are those that a release must reach.
func TestAgreement(t *testing.T) {
	dir, bin := binaries.Corpus(t), binaries.Dir(t)
	disputed, err := disputes("disputes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	s := newScore()
	var mu sync.Mutex
	excluded := 0
	n := each(t, filepath.Join(dir, "ndpi", "pcap"), func(path string) {
		name := filepath.Base(path)
		flows, stderr, err := replay(t, bin, path)
		if err != nil {
			t.Errorf("replay of %s: %v\n%s", name, err, stderr)
		}
		b, err := os.ReadFile(filepath.Join(dir, "ndpi", "labels", name+".jsonl"))
		if err != nil {
			return // a capture without flows has no labels
		}
		labels, err := readLines[*label](b)
		if err != nil {
			t.Errorf("labels of %s: %v", name, err)
			return
		}
		byKey := map[string][]*flowJSON{}
		for _, f := range flows {
			byKey[f.key()] = append(byKey[f.key()], f)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, l := range labels {
			if disputed[name+" "+l.Key] {
				excluded++
				continue
			}
			s.add(name, l, byKey[l.Key])
		}
	})
	t.Logf("%d captures, %d labels in dispute\n%s", n, excluded, s)
	if path := os.Getenv("WEIR_CORPUS_DETAILS"); path != "" {
		if err := os.WriteFile(path, []byte(strings.Join(s.details, "\n")+"\n"), 0o644); err != nil {
			t.Error(err)
		}
	}
	atLeast(t, "agreement", percent(s.agreed, s.labelled), 97)
	atLeast(t, "mean recall", s.recall(), 95)
	atLeast(t, "precision", percent(s.truths, s.claims), 98)
	atLeast(t, "host names", percent(s.hostsOK, s.hosts), 97)
	if most := s.labelled / 100; excluded > most {
		t.Errorf("%d labels in dispute, at most %d (1 %%)", excluded, most)
	}
}

func atLeast(t *testing.T, what string, got, want float64) {
	t.Helper()
	if got < want {
		t.Errorf("%s = %.2f %%, want at least %.0f %%", what, got, want)
	}
}

// TestMalformed replays the captures that were made to break parsers: each ends,
// with status 0 or with one error that names the file.
func TestMalformed(t *testing.T) {
	dir, bin := binaries.Corpus(t), binaries.Dir(t)
	files, _ := filepath.Glob(filepath.Join(dir, "ndpi", "malformed", "*"))
	var captures []string
	for _, f := range files {
		if st, err := os.Stat(f); err == nil && st.IsDir() {
			more, _ := filepath.Glob(filepath.Join(f, "*"))
			captures = append(captures, more...)
			continue
		}
		captures = append(captures, f)
	}
	if len(captures) == 0 {
		t.Fatal("no malformed captures")
	}
	for _, f := range captures {
		_, stderr, err := replay(t, bin, f)
		var exit *exec.ExitError
		switch {
		case err == nil:
		case !errors.As(err, &exit) || exit.ExitCode() != 1:
			t.Errorf("replay of %s: %v\n%s", f, err, stderr)
		case !strings.Contains(stderr, filepath.Base(f)):
			t.Errorf("replay of %s: status 1, and the message does not name it:\n%s", f, stderr)
		}
		if strings.Contains(stderr, "panic") || strings.Contains(stderr, "BUG") {
			t.Errorf("replay of %s: %s", f, stderr)
		}
	}
}

// ja4Label is one fingerprint as FoxIO's own programs give it.
type ja4Label struct {
	File  string `json:"file"`
	Src   string `json:"src"`
	Sport uint16 `json:"sport"`
	Dst   string `json:"dst"`
	Dport uint16 `json:"dport"`
	Proto uint8  `json:"proto"`
	JA4   string `json:"ja4"`
}

// TestJA4 holds JA4 against FoxIO's own captures: all must be equal.
func TestJA4(t *testing.T) {
	dir, bin := binaries.Corpus(t), binaries.Dir(t)
	b, err := os.ReadFile(filepath.Join(dir, "ja4", "ja4.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var want []ja4Label
	for _, l := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var j ja4Label
		if err := json.Unmarshal(l, &j); err != nil {
			t.Fatal(err)
		}
		if j.JA4 != "" {
			want = append(want, j)
		}
	}
	got := map[string]map[string]bool{}
	for _, j := range want {
		name := filepath.Base(j.File)
		if got[name] != nil {
			continue
		}
		got[name] = map[string]bool{}
		path := filepath.Join(dir, "ja4", "pcap", name)
		if _, err := os.Stat(path); err != nil {
			continue // labels of captures that are kept elsewhere
		}
		flows, stderr, err := replay(t, bin, path)
		if err != nil {
			t.Errorf("replay of %s: %v\n%s", name, err, stderr)
		}
		for _, f := range flows {
			got[name][fmt.Sprintf("%s:%d %s:%d %d %s", f.ClientIP, f.ClientPort, f.ServerIP, f.ServerPort, f.Proto, f.TLS.JA4)] = true
		}
	}
	same, total := 0, 0
	for _, j := range want {
		name := filepath.Base(j.File)
		if len(got[name]) == 0 {
			continue
		}
		total++
		if got[name][fmt.Sprintf("%s:%d %s:%d %d %s", j.Src, j.Sport, j.Dst, j.Dport, j.Proto, j.JA4)] {
			same++
		} else {
			t.Errorf("%s %s:%d > %s:%d: no flow with ja4 %s", name, j.Src, j.Sport, j.Dst, j.Dport, j.JA4)
		}
	}
	t.Logf("JA4: %d of %d equal", same, total)
	if total == 0 {
		t.Error("nothing was compared")
	}
}
