package flow

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

const bucketSize = 64

// private maps n bytes that nobody shares. They take memory where they are used.
func private(n int) ([]byte, error) {
	if n > math.MaxInt-unix.Getpagesize() {
		return nil, fmt.Errorf("flow: %d bytes of index", n)
	}
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("flow: map %d bytes of index: %w", n, err)
	}
	return mem, nil
}

// newBuckets returns n buckets in huge pages where the kernel gives some: a look-up
// is a random load, and small pages cost a second one.
func newBuckets(n int) ([]bucket, error) {
	mem, err := private(n * bucketSize)
	if err != nil {
		return nil, err
	}
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // advice: a kernel without them is slower, not wrong
	return bucketsOf(mem, n), nil
}

// freeBuckets gives back what newBuckets gave.
func freeBuckets(b []bucket) { _ = unix.Munmap(bytesOf(b)) } // fails for foreign memory only

// newWords returns n words for arrays that are used from the start on.
func newWords(n int) ([]uint32, error) {
	mem, err := private(n * 4)
	if err != nil {
		return nil, err
	}
	return wordsOf(mem, n), nil
}
