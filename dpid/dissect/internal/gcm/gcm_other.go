//go:build !amd64 && !arm64

package gcm

func encryptBlocks(schedule *[(rounds + 1) * BlockSize]byte, b []byte) { encryptGeneric(schedule, b) }

func hashBlocks(y *[2]uint64, h *powers, b []byte) { hashGeneric(y, h, b) }
