// Package shmtest is what the tests of shared-memory files have in common. It knows
// no file format, and only tests import it.
package shmtest

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 1, "of the random tests; 0 takes the time")

// Rand returns a source of random numbers, whose seed the test prints, so that a
// failure can be had again with -seed.
func Rand(tb testing.TB) *rand.Rand {
	tb.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	tb.Logf("-seed=%d", s)
	return rand.New(rand.NewPCG(s, 7))
}

// Dir returns a folder that is gone after the test, in memory where there is such
// a file system: a ring on a disk is written back all the time.
func Dir(tb testing.TB) string {
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
