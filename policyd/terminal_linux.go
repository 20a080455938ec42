package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// newProgress returns a progress line on f, which shows nothing unless f is a terminal.
func newProgress(f *os.File) *progress {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return &progress{}
	}
	return &progress{w: f}
}
