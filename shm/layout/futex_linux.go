package layout

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Operations of futex(2), without FUTEX_PRIVATE_FLAG: the two sides are processes.
const (
	futexWait = 0
	futexWake = 1
)

// maxWaiters is the kernel's limit of futex_waitv(2).
const maxWaiters = 128

// oldKernelWait bounds the sleep where the kernel cannot watch many words.
const oldKernelWait = time.Millisecond

// FutexWait sleeps until w is woken, no longer holds old, or d has passed. It may
// return early for no reason. It works on a read-only mapping.
func FutexWait(w *atomic.Uint32, old uint32, d time.Duration) {
	if d <= 0 {
		return
	}
	ts := unix.NsecToTimespec(int64(d))
	futex(w, futexWait, old, &ts)
}

// FutexWake wakes all who sleep on w.
func FutexWake(w *atomic.Uint32) { futex(w, futexWake, 1<<30, nil) }

// Yield lets another thread have the CPU. Goroutines that wait for shared memory are
// locked to their threads: runtime.Gosched would hand their processor to another thread
// and back, with a sleep and a wake-up each, which takes longer than what is waited for.
func Yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) } // it does not fail

// WaitPoint is one word to sleep on.
type WaitPoint struct {
	Word *atomic.Uint32
	Old  uint32 // sleep only while the word holds this
}

// FutexWaitAny sleeps until one of the words is woken or changed, or d has
// passed. Kernels before 5.16 cannot watch several words: there it sleeps on the
// first, and at most 1 ms.
func FutexWaitAny(ps []WaitPoint, d time.Duration) {
	switch {
	case len(ps) == 0 || d <= 0:
		return
	case len(ps) == 1:
		FutexWait(ps[0].Word, ps[0].Old, d)
		return
	case len(ps) > maxWaiters:
		ps, d = ps[:maxWaiters], min(d, oldKernelWait)
	}
	if noWaitV.Load() {
		FutexWait(ps[0].Word, ps[0].Old, min(d, oldKernelWait))
		return
	}
	if err := futexWaitV(ps, d); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		noWaitV.Store(true)
	}
}

// noWaitV remembers that the kernel or a seccomp filter has no futex_waitv.
var noWaitV atomic.Bool
