package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"weir/proto/config"
)

// memory returns how many bytes a job may take that has its rings in dir: a quarter
// of the machine, and no more than the file system has free.
func memory(dir string) (int64, error) {
	ram, _, err := config.Machine()
	if err != nil {
		return 0, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(min(ram/4, fs.Bavail*uint64(fs.Bsize))), nil
}

// terminal reports whether somebody may be looking at f.
func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
