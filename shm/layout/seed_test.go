package layout

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestSeedIsOne lets many processes come first.
func TestSeedIsOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed")
	var got [8][SeedSize]byte
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = Seed(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range got {
		if got[i] != got[0] || got[i] == [SeedSize]byte{} {
			t.Fatalf("seeds differ or are zero: % x, % x", got[0], got[i])
		}
	}
	if again, err := Seed(path); err != nil || again != got[0] {
		t.Errorf("Seed() later = % x, %v, want the same", again, err)
	}
}

func TestSeedOfWrongSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Seed(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Seed() of 5 bytes = %v, want an error that names the file", err)
	}
}

func TestInstanceTag(t *testing.T) {
	a, b := [SeedSize]byte{1}, [SeedSize]byte{2}
	if got := InstanceTag(&a, 2); got != InstanceTag(&[SeedSize]byte{1}, 2) {
		t.Errorf("InstanceTag() = %#x, then another", got)
	}
	if InstanceTag(&a, 2) == InstanceTag(&b, 2) || InstanceTag(&a, 2) == InstanceTag(&a, 3) {
		t.Error("InstanceTag() does not tell seeds or numbers of workers apart")
	}
}
