package dissect

import (
	"bytes"
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
	maxPrint = 255
)

// helloShape is what a fingerprint is made of, of one ClientHello.
type helloShape struct {
	n int // bytes used of b
	b [shapeHead + 2*4*maxPrint + maxPrint]byte
}

// A shape is a head and then the lists: u16 of ciphers, extensions, groups and
// signature algorithms, u8 of point formats.
const (
	shapeKind    = 0 // first letter of the JA4
	shapeSNI     = 1 // 'd' or 'i'
	shapeALPN    = 2 // two characters
	shapeVersion = 4 // legacy_version
	shapeHighest = 6
	shapeCounts  = 8 // of the lists
	shapeHead    = 13
)

// fill takes the shape of h, all GREASE left out. It reports false for lists that no
// client sends.
func (s *helloShape) fill(h *clientHello, kind byte) bool {
	s.b[shapeKind], s.b[shapeSNI] = kind, 'i'
	if h.hasSNI {
		s.b[shapeSNI] = 'd'
	}
	name, _, _ := cutVector(h.alpn, 1)
	appendALPN(s.b[shapeALPN:shapeALPN], name)
	binary.BigEndian.PutUint16(s.b[shapeVersion:], h.version)
	binary.BigEndian.PutUint16(s.b[shapeHighest:], h.highest())
	s.n = shapeHead
	if !s.add(0, h.ciphers) {
		return false
	}
	exts := 0
	for rest := h.exts; len(rest) > 0; {
		typ, _, after, _ := cutExtension(rest)
		rest = after
		if grease(typ) {
			continue
		}
		if exts++; exts > maxPrint {
			return false
		}
		binary.BigEndian.PutUint16(s.b[s.n:], typ)
		s.n += 2
	}
	s.b[shapeCounts+1] = byte(exts)
	if !s.add(2, h.groups) || !s.add(3, h.sigAlgs) || len(h.formats) > maxPrint {
		return false
	}
	s.b[shapeCounts+4] = byte(len(h.formats))
	s.n += copy(s.b[s.n:], h.formats)
	return true
}

// add appends the i'th list.
func (s *helloShape) add(i int, list []byte) bool {
	count := 0
	for ; len(list) >= 2; list = list[2:] {
		if grease(binary.BigEndian.Uint16(list)) {
			continue
		}
		if count++; count > maxPrint {
			return false
		}
		s.b[s.n], s.b[s.n+1] = list[0], list[1]
		s.n += 2
	}
	s.b[shapeCounts+i] = byte(count)
	return true
}

// list returns the i'th list.
func (s *helloShape) list(i int) []byte {
	at := shapeHead
	for j := range i {
		at += 2 * int(s.b[shapeCounts+j])
	}
	size := int(s.b[shapeCounts+i])
	if i < 4 {
		size *= 2
	}
	return s.b[at : at+size]
}

// fingerprints are those of a client.
type fingerprints struct {
	ja3 [md5.Size]byte
	ja4 [ja4Size]byte
}

// printMemo remembers the fingerprints of shapes seen lately. A hello is looked at
// again with each packet of the flight that answers it, and clients resemble each
// other; MD5 and two SHA-256 cost more than all the rest of a TLS flow.
type printMemo struct {
	entry [64]struct {
		size   uint16 // of the shape, 0 for an unused entry
		shape  [374]byte
		prints fingerprints
	}
	// Room to work in: on the stack it would be cleared each time.
	shape   helloShape
	text    [6*3*maxPrint + 4*maxPrint + 16]byte
	numbers [maxPrint]uint16
	large   fingerprints // of a shape too long for an entry
}

// of returns the fingerprints of h, valid until the next call. It reports false for
// a hello that has none.
func (m *printMemo) of(h *clientHello, kind byte) (*fingerprints, bool) {
	if !h.sound || !m.shape.fill(h, kind) {
		return nil, false
	}
	shape := m.shape.b[:m.shape.n]
	e := &m.entry[hashShape(shape)%uint64(len(m.entry))]
	if int(e.size) == len(shape) && bytes.Equal(e.shape[:e.size], shape) {
		return &e.prints, true
	}
	f := &m.large
	if len(shape) <= len(e.shape) {
		e.size = uint16(copy(e.shape[:], shape))
		f = &e.prints
	}
	f.ja3 = m.shape.ja3(m.text[:0])
	f.ja4 = m.shape.ja4(m.text[:0], m.numbers[:0])
	return f, true
}

func hashShape(b []byte) uint64 {
	h := uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x9e3779b97f4a7c15
	}
	return h >> 32
}

// ja3 hashes "version,ciphers,extensions,groups,formats" in decimal. text is room.
func (s *helloShape) ja3(text []byte) [md5.Size]byte {
	b := strconv.AppendUint(text, uint64(binary.BigEndian.Uint16(s.b[shapeVersion:])), 10)
	for i := range 3 {
		b = appendNumbers(append(b, ','), s.list(i))
	}
	b = append(b, ',')
	for i, f := range s.list(4) {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(f), 10)
	}
	return md5.Sum(b)
}

// appendNumbers appends a list of u16 in decimal with hyphens between them.
func appendNumbers(dst, list []byte) []byte {
	for i := 0; i+2 <= len(list); i += 2 {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = strconv.AppendUint(dst, uint64(binary.BigEndian.Uint16(list[i:])), 10)
	}
	return dst
}

// ja4 is head, hash of the sorted ciphers, hash of the sorted extensions with the
// signature algorithms behind them. The head has the server name and ALPN already,
// so the second hash leaves them out. text and numbers are room.
func (s *helloShape) ja4(text []byte, numbers []uint16) (f [ja4Size]byte) {
	b := append(f[:0], s.b[shapeKind])
	b = append(b, ja4Version(binary.BigEndian.Uint16(s.b[shapeHighest:]))...)
	b = append(b, s.b[shapeSNI])
	b = appendCount(appendCount(b, len(s.list(0))/2), len(s.list(1))/2)
	b = append(append(b, s.b[shapeALPN:shapeALPN+2]...), '_')

	ciphers := numbers
	for l := s.list(0); len(l) > 0; l = l[2:] {
		ciphers = append(ciphers, binary.BigEndian.Uint16(l))
	}
	slices.Sort(ciphers)
	t := text
	for _, c := range ciphers {
		t = appendHexNumber(t, c)
	}
	b = append(appendHash12(b, t), '_')

	exts := numbers
	for l := s.list(1); len(l) > 0; l = l[2:] {
		if typ := binary.BigEndian.Uint16(l); typ != extServerName && typ != extALPN {
			exts = append(exts, typ)
		}
	}
	slices.Sort(exts)
	t = text
	for _, e := range exts {
		t = appendHexNumber(t, e)
	}
	algs := s.list(3)
	for i := 0; i < len(algs); i += 2 {
		t = append(t, "_,"[min(i, 1)])
		t = appendHex16(t, binary.BigEndian.Uint16(algs[i:]))
	}
	appendHash12(b, t)
	return f
}

// reportServerPrints adds JA3S and JA4S.
func reportServerPrints(h *serverHello, kind byte, out *Result) {
	text := out.prints.text[:0]
	b := strconv.AppendUint(text, uint64(h.version), 10)
	b = append(strconv.AppendUint(append(b, ','), uint64(h.cipher), 10), ',')
	exts := 0
	for rest := h.exts; len(rest) > 0; exts++ {
		typ, _, after, _ := cutExtension(rest)
		rest = after
		if exts == maxPrint {
			return
		}
		if exts > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(typ), 10)
	}
	sum := md5.Sum(b)

	b = text
	for rest := h.exts; len(rest) > 0; {
		typ, _, after, _ := cutExtension(rest)
		rest = after
		b = appendHexNumber(b, typ)
	}
	var buf [32]byte
	f := append(append(buf[:0], kind), ja4Version(h.selected)...)
	f = appendALPN(appendCount(f, exts), h.alpn)
	f = append(appendHex16(append(f, '_'), h.cipher), '_')
	out.Str("tls.ja4s", appendHash12(f, b))
	out.Hex("tls.ja3s", sum[:])
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
func appendCount(dst []byte, n int) []byte { return appendTwoDigits(dst, min(n, 99)) }

func appendTwoDigits(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10%10), byte('0'+n%10))
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

// appendHexNumber appends v in hexadecimal, after a comma unless it is the first.
func appendHexNumber(dst []byte, v uint16) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	return appendHex16(dst, v)
}

// appendHash12 appends the first twelve digits of the SHA-256 of b, zeros for no
// bytes.
func appendHash12(dst, b []byte) []byte {
	var sum [sha256.Size]byte
	if len(b) > 0 {
		sum = sha256.Sum256(b)
	}
	for _, c := range sum[:6] {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}
