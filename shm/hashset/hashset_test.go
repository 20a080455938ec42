package hashset

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"weir/shm/layout"
)

func create(t testing.TB, path string, entries int, word uint64) *Writer {
	t.Helper()
	w, err := Create(Config{Path: path, Name: "test", Entries: entries, Tag: 7, Mode: 0o640})
	if err != nil {
		t.Fatal(err)
	}
	w.About(word)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func open(t testing.TB, path string, entries int) *Reader {
	t.Helper()
	r, err := Open(path, entries, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

type hash struct{ lo, hi uint64 }

// A reader finds what a map would, whatever the order of additions and removals.
func TestModel(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "set")
	w := create(t, path, 256, 1)
	r := open(t, path, 256)
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []hash
	for range 300 {
		all = append(all, hash{rnd.Uint64(), rnd.Uint64()})
	}
	model, refused := map[hash]bool{}, 0
	for range 20000 {
		h := all[rnd.IntN(len(all))]
		if rnd.IntN(2) == 0 {
			w.Remove(h.lo, h.hi)
			delete(model, h)
		} else if w.Add(h.lo, h.hi) {
			model[h] = true
		} else {
			refused++
		}
		h = all[rnd.IntN(len(all))]
		if got := r.Has(h.lo, h.hi); got != model[h] {
			t.Fatalf("Has(%x) = %v, want %v", h, got, model[h])
		}
	}
	if refused == 0 || refused > 5000 {
		t.Errorf("%d of 10000 additions found a full bucket, want some", refused)
	}
	if w.Add(1, 0) || r.Has(1, 0) {
		t.Error("a hash with an empty high half is told from an empty place")
	}
}

// A set goes on where its writer left it, unless it is about something else by now.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "set")
	w := create(t, path, 64, 1)
	w.Add(1, 2)
	if _, err := Create(Config{Path: path, Entries: 64, Tag: 7, Mode: 0o640}); !errors.Is(err, layout.ErrOwned) {
		t.Errorf("a second writer: %v, want %v", err, layout.ErrOwned)
	}
	r := open(t, path, 64)
	for _, tt := range []struct {
		word uint64
		want bool
	}{{1, true}, {2, false}} {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = create(t, path, 64, tt.word)
		if got := r.Has(1, 2); got != tt.want {
			t.Errorf("after a take-over with word %d: Has = %v, want %v", tt.word, got, tt.want)
		}
	}
	if r.Replaced() {
		t.Error("the reader's file was replaced")
	}
	_ = w.Close()
	create(t, path, 4096, 2)
	if !r.Replaced() {
		t.Error("another size is the same file")
	}
}

// What is no set of ours is refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "set")
	if _, err := Open(path, 64, 7); !errors.Is(err, layout.ErrAwait) {
		t.Errorf("no file: %v, want %v", err, layout.ErrAwait)
	}
	_ = create(t, path, 64, 1).Close()
	if _, err := Open(path, 64, 8); !errors.Is(err, layout.ErrGeometry) {
		t.Errorf("another tag: %v, want %v", err, layout.ErrGeometry)
	}
	if err := os.Truncate(path, layout.HeaderSize+bucketSize); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, 64, 7); err == nil {
		t.Error("a cut file is taken")
	}
	if w := create(t, path, 64, 1); !w.Add(1, 2) || !open(t, path, 64).Has(1, 2) {
		t.Error("a cut file is not made anew by the next writer")
	}
}

func TestNoAllocs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "set")
	w := create(t, path, 64, 1)
	r := open(t, path, 64)
	n := testing.AllocsPerRun(1000, func() {
		w.Add(5, 6)
		r.Has(5, 6)
		w.Remove(5, 6)
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzOpen gives a reader any bytes for a file.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "set")
	w := create(f, path, 64, 1)
	w.Add(1, 2)
	_ = w.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:layout.HeaderSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "set")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, 64, 7)
		if err != nil {
			return
		}
		r.Has(1, 2)
		r.Has(^uint64(0), ^uint64(0))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkHas(b *testing.B) {
	path := filepath.Join(b.TempDir(), "set")
	w := create(b, path, 1<<20, 1)
	r := open(b, path, 1<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([]hash, 1<<19)
	for i := range all {
		all[i] = hash{rnd.Uint64(), rnd.Uint64()}
		w.Add(all[i].lo, all[i].hi)
	}
	for i := 0; b.Loop(); i++ {
		h := all[i&(len(all)-1)]
		r.Has(h.lo, h.hi)
	}
}
