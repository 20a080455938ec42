package dissect

import (
	"crypto/md5" //nolint:gosec // JA3 is defined with it
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
)

// Fingerprints of hello messages: JA3 and JA3S are the MD5 of numbers in the order
// they came, JA4 and JA4S (FoxIO, technical_details/JA4.md) a readable head and
// hashes of sorted numbers. GREASE values count nowhere.

const (
	ja4Size = 36
	// maxPrint bounds each list that goes into a fingerprint. Real hellos stay
	// below 150; sorting thousands of invented ones is an attacker's wish.
	maxPrint = 256
)

// fingerprints keeps what was computed of a ClientHello, since Detect sees the same
// hello again with each packet of the flight that follows and MD5 costs more than
// all the rest of a TLS flow.
type fingerprints struct {
	cache  []byte // flow's scratch, at least fingerprintCache bytes, or none
	ja3    [md5.Size]byte
	ja4    [ja4Size]byte
	hasJA3 bool
}

const (
	fingerprintCache = 1 + md5.Size + ja4Size
	cachedJA4        = 0xa4 // first byte of the cache: JA4 only
	cachedBoth       = 0xa3
)

// client computes both fingerprints of h, or takes them from the cache. It reports
// false for a hello with lists that no client sends.
func (f *fingerprints) client(h *clientHello, kind byte) bool {
	if len(f.cache) >= fingerprintCache && (f.cache[0] == cachedJA4 || f.cache[0] == cachedBoth) {
		f.hasJA3 = f.cache[0] == cachedBoth
		copy(f.ja3[:], f.cache[1:])
		copy(f.ja4[:], f.cache[1+md5.Size:])
		return true
	}
	if !ja4(&f.ja4, h, kind) {
		return false
	}
	f.hasJA3 = ja3(&f.ja3, h)
	if len(f.cache) >= fingerprintCache {
		f.cache[0] = cachedJA4
		if f.hasJA3 {
			f.cache[0] = cachedBoth
		}
		copy(f.cache[1:], f.ja3[:])
		copy(f.cache[1+md5.Size:], f.ja4[:])
	}
	return true
}

// ja3 hashes "version,ciphers,extensions,groups,formats" in decimal.
func ja3(sum *[md5.Size]byte, h *clientHello) bool {
	var types [maxPrint]uint16
	exts, _, ok := extensionTypes(types[:0], h.exts, false)
	var buf [2048]byte
	if !ok || 6*((len(h.ciphers)+len(h.groups))/2+len(exts))+4*len(h.formats)+16 > len(buf) {
		return false
	}
	b := strconv.AppendUint(buf[:0], uint64(h.version), 10)
	b = appendJA3(append(b, ','), h.ciphers)
	b = append(b, ',')
	for i, e := range exts {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(e), 10)
	}
	b = appendJA3(append(b, ','), h.groups)
	b = append(b, ',')
	for i, f := range h.formats {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(f), 10)
	}
	*sum = md5.Sum(b)
	return true
}

// appendJA3 appends the numbers of list with hyphens between them.
func appendJA3(dst, list []byte) []byte {
	first := true
	for ; len(list) >= 2; list = list[2:] {
		v := binary.BigEndian.Uint16(list)
		if grease(v) {
			continue
		}
		if !first {
			dst = append(dst, '-')
		}
		dst, first = strconv.AppendUint(dst, uint64(v), 10), false
	}
	return dst
}

// ja4 writes the fingerprint: head, hash of the sorted ciphers, hash of the sorted
// extensions with the signature algorithms behind them.
func ja4(dst *[ja4Size]byte, h *clientHello, kind byte) bool {
	var list [maxPrint]uint16
	var text [2*5*maxPrint + 1]byte

	ciphers, ok := numbers(list[:0], h.ciphers)
	if !ok || len(h.sigAlgs) > 2*maxPrint {
		return false
	}
	b := append(dst[:0], kind)
	b = append(b, ja4Version(h.highest())...)
	if h.hasSNI {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	b = appendCount(b, len(ciphers))
	slices.Sort(ciphers)
	cipherText := appendJA4(text[:0], ciphers)
	var cipherHash [12]byte
	hash12(&cipherHash, cipherText)

	exts, total, ok := extensionTypes(list[:0], h.exts, true)
	if !ok {
		return false
	}
	b = appendCount(b, total)
	name, _, _ := cutVector(h.alpn, 1)
	b = append(append(appendALPN(b, name), '_'), cipherHash[:]...)

	slices.Sort(exts)
	t := appendJA4(text[:0], exts)
	if algs, _ := numbers(list[:0], h.sigAlgs); len(algs) > 0 {
		t = appendJA4(append(t, '_'), algs)
	}
	var extHash [12]byte
	hash12(&extHash, t)
	b = append(append(b, '_'), extHash[:]...)
	return len(b) == ja4Size
}

// reportServerPrints adds JA3S and JA4S.
func reportServerPrints(h *serverHello, kind byte, out *Result) {
	var list [maxPrint]uint16
	exts, total, ok := extensionTypes(list[:0], h.exts, false)
	if !ok {
		return
	}
	var text [6*maxPrint + 16]byte
	b := strconv.AppendUint(text[:0], uint64(h.version), 10)
	b = strconv.AppendUint(append(b, ','), uint64(h.cipher), 10)
	for i, e := range exts {
		if i == 0 {
			b = append(b, ',')
		} else {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(e), 10)
	}
	if len(exts) == 0 {
		b = append(b, ',')
	}
	sum := md5.Sum(b)

	var hash [12]byte
	hash12(&hash, appendJA4(text[:0], exts))
	var buf [32]byte
	b = append(append(buf[:0], kind), ja4Version(h.selected)...)
	b = appendALPN(appendCount(b, total), h.alpn)
	b = appendHex16(append(b, '_'), h.cipher)
	b = append(append(b, '_'), hash[:]...)
	out.Str("tls.ja4s", b)
	out.Hex("tls.ja3s", sum[:])
}

// numbers appends the values of a list of u16 that are not GREASE to dst, within
// its capacity.
func numbers(dst []uint16, list []byte) ([]uint16, bool) {
	for ; len(list) >= 2; list = list[2:] {
		v := binary.BigEndian.Uint16(list)
		if grease(v) {
			continue
		}
		if len(dst) == cap(dst) {
			return dst, false
		}
		dst = append(dst, v)
	}
	return dst, true
}

// extensionTypes is numbers for a block of extensions. total counts also the server
// name and ALPN, which JA4 leaves out of its list since its head has them.
func extensionTypes(dst []uint16, exts []byte, ja4 bool) (types []uint16, total int, ok bool) {
	for len(exts) > 0 {
		var typ uint16
		if typ, _, exts, ok = cutExtension(exts); !ok {
			return dst, total, false
		}
		if grease(typ) {
			continue
		}
		total++
		if ja4 && (typ == extServerName || typ == extALPN) {
			continue
		}
		if len(dst) == cap(dst) {
			return dst, total, false
		}
		dst = append(dst, typ)
	}
	return dst, total, true
}

func ja4Version(v uint16) string {
	switch v {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

// appendCount appends n in two digits, at most 99.
func appendCount(dst []byte, n int) []byte {
	n = min(n, 99)
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendALPN appends the first and the last character of name. Where one of them
// is no letter or digit, the specification takes the ends of the name in
// hexadecimal instead; of a first byte beyond ASCII all of FoxIO's programs, and so
// the data bases of fingerprints, make "99".
func appendALPN(dst, name []byte) []byte {
	if len(name) == 0 {
		return append(dst, "00"...)
	}
	first, last := name[0], name[len(name)-1]
	switch {
	case first >= 0x80:
		return append(dst, "99"...)
	case !alphanumeric(first) || !alphanumeric(last):
		return append(dst, hexDigits[first>>4], hexDigits[last&15])
	}
	return append(dst, first, last)
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// appendJA4 appends the numbers in hexadecimal with commas between them.
func appendJA4(dst []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendHex16(dst, v)
	}
	return dst
}

// hash12 writes the first twelve digits of the SHA-256 of b, zeros for no bytes.
func hash12(dst *[12]byte, b []byte) {
	var sum [sha256.Size]byte
	if len(b) > 0 {
		sum = sha256.Sum256(b)
	}
	for i := range 6 {
		dst[2*i], dst[2*i+1] = hexDigits[sum[i]>>4], hexDigits[sum[i]&15]
	}
}
