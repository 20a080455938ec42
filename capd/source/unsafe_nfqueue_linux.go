package source

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2); its size is a multiple of its alignment
// on every architecture, as in C.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// receiver takes many messages from a netlink socket with one system call, each into
// its own slot. Slots are never moved or grown.
type receiver struct {
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrNetlink
	slots [][]byte
}

// newReceiver makes n slots of at least size bytes.
func newReceiver(n, size int) *receiver {
	// Slots begin on pages, moved on by some cache lines each, so that the first
	// bytes of all messages do not fall into the same few sets of the cache.
	const page, shift = 4096, 5 * 64
	stride := (size+page-1)&^(page-1) + shift
	arena := make([]byte, n*stride)
	r := &receiver{
		hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n),
		names: make([]unix.RawSockaddrNetlink, n), slots: make([][]byte, n),
	}
	for i := range n {
		r.slots[i] = arena[i*stride:][:size:size]
		r.iovs[i].Base = &r.slots[i][0]
		r.iovs[i].SetLen(size)
		h := &r.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
	}
	return r
}

// receive takes what the socket has and returns the number of messages, without
// waiting.
func (r *receiver) receive(fd int) (int, unix.Errno) {
	for i := range r.hdrs {
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrNetlink
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(len(r.hdrs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// message returns message i; nil when it did not come from the kernel or found its
// slot too small.
func (r *receiver) message(i int) []byte {
	h := &r.hdrs[i]
	if r.names[i].Pid != 0 || h.hdr.Flags&unix.MSG_TRUNC != 0 || uint64(h.len) > uint64(len(r.slots[i])) {
		return nil
	}
	return r.slots[i][:h.len]
}
