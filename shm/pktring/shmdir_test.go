package pktring

import (
	"os"
	"testing"
)

// shmDir returns a folder that is gone after the test, in memory where there is
// such a file system: a ring on a disk is written back all the time.
func shmDir(tb testing.TB) string {
	tb.Helper()
	const root = "/dev/shm"
	if fi, err := os.Stat(root); err != nil || !fi.IsDir() {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(root, "weir-test-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
