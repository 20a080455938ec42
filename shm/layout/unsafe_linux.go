package layout

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func futex(w *atomic.Uint32, op, val uint32, ts *unix.Timespec) {
	// Timeouts, changed words and signals all mean "look again" to the caller.
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)),
		uintptr(op), uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
}

// waiter is struct futex_waitv of linux/futex.h.
type waiter struct {
	val, addr       uint64
	flags, reserved uint32
}

const futex32 = 2 // FUTEX_32: the size of the word; it stands for "shared" too

// timespec64 is struct __kernel_timespec: futex_waitv knows no other.
type timespec64 struct{ sec, nsec int64 }

func futexWaitV(ps []WaitPoint, d time.Duration) error {
	var ws [maxWaiters]waiter
	for i, p := range ps {
		ws[i] = waiter{val: uint64(p.Old), addr: uint64(uintptr(unsafe.Pointer(p.Word))), flags: futex32}
	}
	// The time-out of futex_waitv is a point in time, not a span.
	end := int64(Monotonic()) + int64(d)
	ts := timespec64{sec: end / 1e9, nsec: end % 1e9}
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&ws[0])), uintptr(len(ps)),
		0, uintptr(unsafe.Pointer(&ts)), unix.CLOCK_MONOTONIC, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
