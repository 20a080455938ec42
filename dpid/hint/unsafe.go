package hint

import (
	"sync/atomic"
	"unsafe"
)

// word returns the shared word at off, a multiple of 8 in a page-aligned mapping.
func word(mem []byte, off int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&mem[off])) }

// word32 returns the shared word at off of an entry; entries are 64-byte aligned.
func word32(mem []byte, off int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&mem[off])) }
