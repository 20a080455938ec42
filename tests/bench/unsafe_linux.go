package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// messages are frames as sendmmsg takes them: made once, sent often.
type messages []mmsghdr

func newMessages(frames [][]byte) messages {
	m, iov := make(messages, len(frames)), make([]unix.Iovec, len(frames))
	for i, f := range frames {
		iov[i].Base = &f[0]
		iov[i].SetLen(len(f))
		m[i].hdr.Iov = &iov[i]
		m[i].hdr.SetIovlen(1)
	}
	return m
}

// send sends messages of a bound socket, and returns how many.
func (m messages) send(fd int) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
