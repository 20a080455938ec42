package catalog

import "encoding/binary"

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// upper marks the bytes of w that are A to Z with their high bit.
func upper(w uint64) uint64 {
	low := w &^ highs
	return (low + (0x80-'A')*ones) &^ (low + (0x80-'Z'-1)*ones) &^ w & highs
}

// hasUpper reports whether b has a byte from A to Z.
func hasUpper(b []byte) bool {
	for len(b) >= 8 {
		if upper(binary.LittleEndian.Uint64(b)) != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c-'A' < 26 {
			return true
		}
	}
	return false
}

// lower writes src with A to Z in lower case to dst, which is as long.
func lower(dst, src []byte) []byte {
	for i, c := range src {
		if c-'A' < 26 {
			c |= 0x20
		}
		dst[i] = c
	}
	return dst
}

// dots marks the bytes of w that are dots, and no others, with their high bit.
func dots(w uint64) uint64 {
	x := w ^ '.'*ones
	return ^((x&^highs + ^uint64(highs)) | x) & highs
}

// appendLower appends src with A to Z in lower case.
func appendLower(dst, src []byte) []byte {
	n := len(dst)
	dst = append(dst, src...)
	lower(dst[n:], src)
	return dst
}
