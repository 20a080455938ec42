//go:build amd64 || arm64

package gcm

import (
	"runtime"

	"golang.org/x/sys/cpu"
)

// native is whether the processor has the instructions for AES and GHASH.
var native = runtime.GOARCH == "amd64" && cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSSE3 ||
	runtime.GOARCH == "arm64" && cpu.ARM64.HasAES && cpu.ARM64.HasPMULL

// encryptBlocks encrypts the blocks of b in place; b is whole blocks, at least one.
func encryptBlocks(schedule *[(rounds + 1) * BlockSize]byte, b []byte) {
	if native {
		encryptNative(schedule, &b[0], len(b)/BlockSize)
		return
	}
	encryptGeneric(schedule, b)
}

// hashBlocks adds the blocks of b to y; b is whole blocks, at least one.
func hashBlocks(y *[2]uint64, h *powers, b []byte) {
	if native {
		hashNative(y, h, &b[0], len(b)/BlockSize)
		return
	}
	hashGeneric(y, h, b)
}

// encryptNative encrypts n > 0 blocks from b on in place.
//
//go:noescape
func encryptNative(schedule *[(rounds + 1) * BlockSize]byte, b *byte, n int)

// hashNative adds n > 0 blocks from b on to the hash y.
//
//go:noescape
func hashNative(y *[2]uint64, h *powers, b *byte, n int)
