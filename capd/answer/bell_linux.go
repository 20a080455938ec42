package answer

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// bell is an eventfd.
type bell struct{ fd int }

func newBell() (*bell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make an event file: %w", err)
	}
	return &bell{fd}, nil
}

func (b *bell) ring() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(b.fd, one[:]) // full means that it rings
}

func (b *bell) quiet() {
	var n [8]byte
	_, _ = unix.Read(b.fd, n[:]) // empty means that it did not ring
}

func (b *bell) close() error { return unix.Close(b.fd) }
