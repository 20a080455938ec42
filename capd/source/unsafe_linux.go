package source

import (
	"sync/atomic"
	"unsafe"
)

// word is the 32-bit word at off in memory shared with the kernel.
// Preconditions: off is a multiple of 4, b begins on a page, len(b) >= off+4.
func word(b []byte, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&b[off : off+4][0]))
}
