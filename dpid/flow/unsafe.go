package flow

import (
	"sync/atomic"
	"unsafe"
)

// The casts of this package: page-aligned private memory as index arrays, and the
// one atomic word of the slab. None of them holds a pointer.

func bucketsOf(mem []byte, n int) []bucket {
	return unsafe.Slice((*bucket)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

func bytesOf(b []bucket) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), len(b)*bucketSize)
}

func wordsOf(mem []byte, n int) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

func atomicWord(mem []byte, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&mem[off]))
}
