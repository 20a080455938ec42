package layout

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// SeedSize is the length in bytes of an instance's seed.
const SeedSize = 64

// Seed returns the random bytes that all processes of an instance share: it makes
// them once and keeps them beside the rings, so that they survive every restart. Of
// two processes that come first at the same time both get the same.
func Seed(path string) (b [SeedSize]byte, err error) {
	for range 3 {
		got, err := os.ReadFile(path)
		switch {
		case err == nil && len(got) == SeedSize:
			return [SeedSize]byte(got), nil
		case err == nil:
			return b, fmt.Errorf("seed %s: %d bytes, want %d: remove it while nothing runs on this directory", path, len(got), SeedSize)
		case !errors.Is(err, fs.ErrNotExist):
			return b, fmt.Errorf("seed: %w", err)
		}
		if err := makeSeed(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return b, fmt.Errorf("seed: %w", err)
		}
	}
	return b, fmt.Errorf("seed %s: it vanishes as soon as it is made", path)
}

// makeSeed writes a seed under a temporary name and links it to path, which fails
// when another process was faster.
func makeSeed(path string) error {
	var b [SeedSize]byte
	if _, err := rand.Read(b[:]); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.tmp.%d.%x", path, os.Getpid(), randomID()&0xffffff)
	if err := os.WriteFile(tmp, b[:], 0o640); err != nil {
		return err
	}
	err := os.Link(tmp, path)
	_ = os.Remove(tmp)
	return err
}

// InstanceTag is the tag (Spec.Tag) of files that only make sense with the same
// seed and number of workers: with another one, flows would be in other places.
func InstanceTag(seed *[SeedSize]byte, workers int) uint32 {
	b := append(seed[:], byte(workers), byte(workers>>8), byte(workers>>16), byte(workers>>24))
	return CRC(0, b)
}
