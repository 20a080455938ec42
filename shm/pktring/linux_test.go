package pktring

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoPermission takes the ring's mode away while it is in use: both sides go
// on, and another user is told that he may not read it.
func TestNoPermission(t *testing.T) {
	cfg := testConfig(t, 64, 1<<16)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 10)
	if err := os.Chmod(cfg.Path, 0); err != nil {
		t.Fatal(err)
	}
	fill(t, p, 10, 20)
	drain(t, c, 0, 20)
	if err := os.Chmod(filepath.Dir(cfg.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		// The thread ends with the goroutine, and with it the other user.
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			const nobody = 65534
			if err := unix.Setfsuid(nobody); err != nil {
				result <- err
				return
			}
		}
		_, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{})
		result <- err
	}()
	if err := <-result; !errors.Is(err, os.ErrPermission) {
		t.Errorf("OpenConsumer() = %v, want no permission", err)
	}
}
