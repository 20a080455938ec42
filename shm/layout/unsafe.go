package layout

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// U64 returns the shared word at off. Precondition: off is a multiple of 8 within
// the mapping, which is page-aligned: so the word is aligned on 32-bit machines too.
func (m *Mapping) U64(off int) *atomic.Uint64 {
	if off%8 != 0 || off < 0 || off+8 > len(m.b) {
		panic(fmt.Sprintf("BUG: word of %d bytes at %d of %d", 8, off, len(m.b)))
	}
	return (*atomic.Uint64)(unsafe.Pointer(&m.b[off]))
}

// U32 returns the shared word at off, a multiple of 4 within the mapping.
func (m *Mapping) U32(off int) *atomic.Uint32 {
	if off%4 != 0 || off < 0 || off+4 > len(m.b) {
		panic(fmt.Sprintf("BUG: word of %d bytes at %d of %d", 4, off, len(m.b)))
	}
	return (*atomic.Uint32)(unsafe.Pointer(&m.b[off]))
}

// contains reports whether addr lies in the mapping.
func (m *Mapping) contains(addr uintptr) bool {
	if len(m.b) == 0 {
		return false
	}
	base := uintptr(unsafe.Pointer(&m.b[0]))
	return addr-base < uintptr(len(m.b))
}

// lowOffset is where the low half of a host-order 64-bit word lies.
var lowOffset = func() uintptr {
	v := uint64(1)
	if *(*byte)(unsafe.Pointer(&v)) == 1 {
		return 0
	}
	return 4
}()

// LowHalf returns the low 32 bits of a shared word, the part a futex can watch.
func LowHalf(w *atomic.Uint64) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Add(unsafe.Pointer(w), lowOffset))
}

// heapBytes returns n zero bytes on the heap, aligned to 8.
func heapBytes(n int) []byte {
	w := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), n)
}
