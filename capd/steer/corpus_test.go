package steer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"weir/capd/source"
	"weir/proto/flowkey"
)

// corpus returns the folder of the test captures, which are no part of the
// project. Where continuous integration has it, the test must run.
func corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("WEIR_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no corpus of captures (set WEIR_CORPUS to its folder): %v", err)
	}
	return dir
}

func captures(t testing.TB, patterns ...string) (files []string) {
	t.Helper()
	for _, p := range patterns {
		m, err := filepath.Glob(filepath.Join(corpus(t), p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, m...)
	}
	if len(files) == 0 {
		t.Fatalf("no captures in %s", corpus(t))
	}
	return files
}

// counting counts what a source delivers.
type counting struct {
	source.Source
	n uint64
}

func (c *counting) Next(f *source.Frame) error {
	err := c.Source.Next(f)
	if err == nil {
		c.n++
	}
	return err
}

// TestCorpus runs every capture to its end or to a clear error, and holds that
// every frame is in exactly one counter and every delivered one in a ring.
func TestCorpus(t *testing.T) {
	t.Parallel()
	var all Counters
	files := captures(t, "ndpi/pcap/*", "ndpi/malformed/pcap/*", "ja4/pcap/*")
	for _, path := range files {
		f, err := source.Open(path)
		if err != nil {
			t.Errorf("open: %v", err)
			continue
		}
		mem, outs := rings(3)
		s, err := New(Config{Seed: testSeed(), Outputs: outs})
		if err != nil {
			t.Fatal(err)
		}
		src := &counting{Source: f}
		var broken *source.Error
		if err := s.Run(context.Background(), src); errors.As(err, &broken) {
			t.Logf("%v (after %d frames)", err, src.n)
		} else if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if err := s.Finish(context.Background()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		_ = f.Close()
		c := s.Counters()
		if c.Sum() != src.n || s.Frames() != src.n {
			t.Errorf("%s: counters %v: sum %d of %d frames", path, c, c.Sum(), src.n)
		}
		if c[Held] != 0 {
			t.Errorf("%s: %d fragments still held", path, c[Held])
		}
		packets := uint64(0)
		for _, m := range mem {
			for _, r := range m.records {
				if r.prefix != nil {
					packets++
				}
			}
		}
		if packets != c[Delivered] {
			t.Errorf("%s: %d packets in the rings, %d delivered", path, packets, c[Delivered])
		}
		for i, n := range c {
			all[i] += n
		}
	}
	for _, o := range Outcomes() {
		t.Logf("%-20s %8d", o, all[o])
	}
}

// label is the part of a label that tells which flow it is.
type label struct {
	Key     string `json:"key"`
	Tunnel  string `json:"tunnel"`
	Packets int    `json:"packets"`
}

// keyText writes a key the way the labels do: l4|vlan|endpoint|endpoint, sorted.
func keyText(k *flowkey.Key) string {
	a := netip.AddrPortFrom(k.AddrA(), k.PortA)
	b := netip.AddrPortFrom(k.AddrB(), k.PortB)
	return fmt.Sprintf("%d|%d|%s|%s", k.Proto, k.VLAN, a, b)
}

// TestCorpusLabels wants the flows that the labels name, by their keys.
func TestCorpusLabels(t *testing.T) {
	t.Parallel()
	found, missed := 0, 0
	why := map[string]int{}
	for _, path := range captures(t, "ndpi/pcap/*") {
		lf, err := os.Open(filepath.Join(filepath.Dir(filepath.Dir(path)), "labels", filepath.Base(path)+".jsonl"))
		if err != nil {
			continue
		}
		keys := keysOf(t, path)
		for sc := bufio.NewScanner(lf); sc.Scan(); {
			var l label
			if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			if keys[l.Key] > 0 {
				found++
				continue
			}
			missed++
			why[filepath.Base(path)]++
			t.Logf("%s: no flow %s (%d packets, tunnel %q)", filepath.Base(path), l.Key, l.Packets, l.Tunnel)
		}
		_ = lf.Close()
	}
	names := make([]string, 0, len(why))
	for n, c := range why {
		names = append(names, fmt.Sprintf("%s %d", n, c))
	}
	sort.Strings(names)
	share := float64(found) / float64(found+missed)
	t.Logf("%d of %d labelled flows found (%.2f %%); missed: %s", found, found+missed, 100*share, strings.Join(names, ", "))
	if share < 0.995 {
		t.Errorf("%.2f %% of the labelled flows found, want 99.5 %%", 100*share)
	}
}

// keysOf returns the keys of a capture with their packets.
func keysOf(t *testing.T, path string) map[string]int {
	t.Helper()
	f, err := source.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_, outs := rings(1)
	s, err := New(Config{Seed: testSeed(), Outputs: outs})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]int{}
	var fr source.Frame
	for f.Next(&fr) == nil {
		if s.parse(&fr) == Delivered {
			keys[keyText(&s.p.Key)]++
		}
	}
	return keys
}
