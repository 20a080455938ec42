package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"weir/proto/config"
	"weir/shm/hashset"
	"weir/shm/layout"
)

// finalFiles are the sets of two workers, as one capture thread follows them.
type finalFiles struct {
	*finals
	said bytes.Buffer
}

func newFinalFiles(t *testing.T) *finalFiles {
	t.Helper()
	f := &finalFiles{}
	cfg := &config.Config{}
	cfg.Workers.Count, cfg.Flow.MaxFlows = 2, 64
	b := &base{cfg: cfg, log: slog.New(slog.NewTextHandler(&f.said, nil)), root: layout.Root(t.TempDir()), tag: 7}
	if err := os.MkdirAll(filepath.Dir(b.root.Final(0)), 0o750); err != nil {
		t.Fatal(err)
	}
	f.finals = newFinals(b)
	t.Cleanup(f.close)
	return f
}

// worker makes the set of worker w with one flow in it, and lets it go.
func (f *finalFiles) worker(t *testing.T, w, entries int, tag uint32) {
	t.Helper()
	set, err := hashset.Create(hashset.Config{Path: f.root.Final(w), Entries: entries, Tag: tag, Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	set.About(1)
	set.Add(3, 4)
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
}

// A set is asked from when it is there until it is not, or is another instance's.
func TestFinalsFollow(t *testing.T) {
	t.Parallel()
	f := newFinalFiles(t)
	want := func(what string, want bool) {
		t.Helper()
		f.look()
		if got := f.Final(1, 3, 4); got != want || f.Final(0, 3, 4) || f.Final(1, 3, 5) {
			t.Errorf("%s: Final() = %v, want %v, and of nothing else", what, got, want)
		}
	}
	want("before there is a file", false)
	f.worker(t, 1, 64, 7)
	want("a file", true)
	f.worker(t, 1, 4096, 7)
	want("for other sizes of tables", false)
	f.worker(t, 1, 64, 8)
	want("of another instance", false)
	want("and again", false)
	if n := strings.Count(f.said.String(), "level=WARN"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, f.said.String())
	}
	f.worker(t, 1, 64, 7)
	want("ours again", true)
	if err := os.Remove(f.root.Final(1)); err != nil {
		t.Fatal(err)
	}
	want("removed", false)
}

// A set whose memory goes away under the capture thread costs the bytes of its flows,
// not the thread.
func TestFinalsTruncated(t *testing.T) {
	f := newFinalFiles(t)
	f.worker(t, 0, 64, 7)
	f.worker(t, 1, 64, 7)
	f.look()
	if err := os.Truncate(f.root.Final(1), 0); err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // as the guard of the rings does
	if f.Final(1, 3, 4) {
		t.Error("a flow is in memory that is gone")
	}
	if !f.Final(0, 3, 4) {
		t.Error("the set of the other worker is gone, too")
	}
	f.look()
	if f.Final(1, 3, 4) || !strings.Contains(f.said.String(), "level=WARN") {
		t.Errorf("a file without bytes is asked, or nothing is said of it:\n%s", f.said.String())
	}
	_ = os.Remove(f.root.Final(1))
	f.worker(t, 1, 64, 7)
	f.look()
	if !f.Final(1, 3, 4) {
		t.Error("the file that took its place is not asked")
	}
}

func TestFinalsNoAllocs(t *testing.T) {
	f := newFinalFiles(t)
	f.worker(t, 1, 64, 7)
	f.look()
	if n := testing.AllocsPerRun(1000, func() { f.Final(1, 3, 4) }); n != 0 {
		t.Errorf("Final() allocates %v times, want 0", n)
	}
}

func BenchmarkFinal(b *testing.B) {
	root := layout.Root(b.TempDir())
	if err := os.MkdirAll(filepath.Dir(root.Final(0)), 0o750); err != nil {
		b.Fatal(err)
	}
	set, err := hashset.Create(hashset.Config{Path: root.Final(0), Entries: 1 << 20, Tag: 7, Mode: 0o600})
	if err != nil {
		b.Fatal(err)
	}
	set.About(1)
	defer func() { _ = set.Close() }()
	cfg := &config.Config{}
	cfg.Workers.Count, cfg.Flow.MaxFlows = 1, 1<<20
	f := newFinals(&base{cfg: cfg, log: slog.New(slog.DiscardHandler), root: root, tag: 7})
	f.look()
	defer f.close()
	const golden = 0x9e3779b97f4a7c15
	for i := range uint64(1 << 19) {
		set.Add(i*golden, i*golden|1)
	}
	for _, n := range []struct {
		name string
		mask uint64
	}{{"flows=1", 0}, {"flows=512k", 1<<19 - 1}} {
		b.Run(n.name, func(b *testing.B) {
			for i := uint64(1); b.Loop(); i++ {
				h := (i & n.mask) * golden
				f.Final(0, h, h|1)
			}
		})
	}
}
