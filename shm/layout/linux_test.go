package layout

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullFileSystem needs a small file system of its own: without root there is
// none to be had.
func TestFullFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("weir-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "big.ring")
	s := testSpec()
	s.Size, s.Populate = 8<<20, true
	_, _, err := CreateOrOpen(path, s)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("CreateOrOpen() of 8 MiB on 1 MiB = %v, want ENOSPC", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	s.Size = 512 << 10
	m, _, err := CreateOrOpen(path, s)
	if err != nil {
		t.Fatalf("CreateOrOpen() of 512 KiB on 1 MiB = %v, want nil", err)
	}
	_ = m.Close()
}

func TestFutexWakesAReadOnlyMapping(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	ro, err := OpenRO(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ro.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w := ro.U64(OffHot); w.Load() == 0; {
			FutexWait(LowHalf(w), 0, time.Minute)
		}
	}()
	m.U64(OffHot).Store(1)
	deadline := time.After(10 * time.Second)
	for {
		FutexWake(LowHalf(m.U64(OffHot)))
		select {
		case <-done:
			return
		case <-deadline:
			t.Fatal("sleeper on a read-only mapping was not woken")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestFutexWaitAny(t *testing.T) {
	m := NewHeap(testSpec())
	points := func() (ps []WaitPoint) {
		for i := range 20 {
			ps = append(ps, WaitPoint{Word: LowHalf(m.U64(1024 + 8*i))})
		}
		return ps
	}
	for _, old := range []bool{false, true} {
		noWaitV.Store(old)
		t.Cleanup(func() { noWaitV.Store(false) })
		m.U64(1024 + 8*13).Store(1) // changed already: no sleep, unless the kernel watches one word only
		began := time.Now()
		FutexWaitAny(points(), 10*time.Second)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("old kernel %v: slept %v though a word had changed", old, d)
		}
		m.U64(1024 + 8*13).Store(0)
		began = time.Now()
		FutexWaitAny(points(), 2*time.Millisecond)
		if d := time.Since(began); !old && !noWaitV.Load() && d < time.Millisecond {
			t.Errorf("returned after %v without a reason, want 2 ms", d)
		}
	}
	FutexWaitAny(nil, time.Hour)
	FutexWaitAny(points()[:1], time.Microsecond)
	FutexWait(LowHalf(m.U64(1024)), 0, -time.Second)
}

func TestCreationIsFast(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "weir-test-")
	if err != nil {
		t.Skipf("no memory file system: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := testSpec()
	s.Size, s.Populate = 2<<20, true
	best := time.Hour
	for i := range 5 {
		began := time.Now()
		m, err := Create(filepath.Join(dir, string(rune('a'+i))), s)
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
		_ = m.Close()
	}
	if best > 50*time.Millisecond {
		t.Errorf("a 2 MiB ring took %v, want a few ms", best)
	}
	t.Logf("2 MiB, populated: %v", best)
}

func TestTouch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	touch(m.Bytes()) // what kernels before 5.14 need
	if err := populatePages(m.Bytes(), true); err != nil {
		t.Errorf("populatePages() = %v", err)
	}
}
