package dissect

import "encoding/binary"

// sslv2 is a hello in the format of SSL 2.0. Clients of SSL 3.0 and TLS 1.0 that
// could still speak it began with one (RFC 5246 appendix E.2).
type sslv2 struct {
	kind    uint8 // 1 client, 4 server, 0 none
	version uint16
	ciphers []byte // 3 bytes each
	cert    []byte
	unsure  bool // too few bytes to tell
	whole   bool
}

// parseSSLv2 reads the two-byte header and the hello behind it. The type, the
// version, the limits of three lengths and their sum, which the header repeats,
// are more than 48 bits of evidence.
func parseSSLv2(b []byte) (h sslv2) {
	const fixed = 11 // header, type, version, three lengths
	if len(b) > 2 && b[2] != 1 && b[2] != 4 {
		return h
	}
	if len(b) < fixed+2 {
		h.unsure = len(b) < 4 || b[2] == 4 || b[3] == 0 || b[3] == 3
		return h
	}
	size := int(binary.BigEndian.Uint16(b)) & 0x7fff
	kind, first := b[2], 3
	if kind == 4 { // session hit and certificate type stand before the version
		if b[3] > 1 || b[4] > 1 {
			return h
		}
		first = 5
	}
	h.version = binary.BigEndian.Uint16(b[first:])
	n1 := int(binary.BigEndian.Uint16(b[first+2:]))
	n2 := int(binary.BigEndian.Uint16(b[first+4:]))
	n3 := int(binary.BigEndian.Uint16(b[first+6:]))
	if first+6+n1+n2+n3 != size || n3 < 16 || n3 > 32 {
		return h
	}
	v3 := h.version>>8 == 3 && h.version <= 0x0304
	body := b[first+8:]
	h.whole = len(b) >= 2+size
	switch {
	case kind == 1 && (h.version == 2 || v3) && n1 > 0 && n1%3 == 0 && (n2 == 0 || n2 == 16 || n2 == 32):
		h.ciphers = body[:min(n1, len(body))]
	case kind == 4 && h.version == 2 && n2%3 == 0:
		h.cert = body[:min(n1, len(body))]
		h.whole = h.whole || len(body) >= n1
	default:
		return h
	}
	h.kind = kind
	return h
}
