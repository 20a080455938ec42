package dissect

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// describeNTLM looks for an NTLM message (MS-NLMP section 2.2.1) in b and adds who
// logs in where: user, domain and workstation from the client's last message, the
// host name from the server's challenge. The message may be wrapped in SPNEGO, so
// it is searched for.
//
//	0 "NTLMSSP\0", 8 u32 type; fields are u16 length, u16 room, u32 offset
func describeNTLM(b []byte, out *Result) {
	at := bytes.Index(b, []byte("NTLMSSP\x00"))
	if at < 0 || len(b)-at < 48 {
		return
	}
	b = b[at:]
	switch binary.LittleEndian.Uint32(b[8:]) {
	case 2: // challenge: 12 target name, 20 flags, 24 challenge, 40 target info
		describeTarget(ntlmField(b, 40), out)
	case 3: // authenticate: 28 domain, 36 user, 44 workstation, 60 flags
		if len(b) < 64 {
			return
		}
		unicode := b[60]&1 != 0
		ntlmText(out, "ntlm.domain", ntlmField(b, 28), unicode)
		ntlmText(out, "ntlm.user", ntlmField(b, 36), unicode)
		ntlmText(out, "ntlm.workstation", ntlmField(b, 44), unicode)
	}
}

// describeTarget reads what the server says of itself: pairs of u16 id, u16 length,
// value. 1 is its NetBIOS name, 3 its DNS name, 4 the DNS domain, 0 the end.
func describeTarget(b []byte, out *Result) {
	for len(b) >= 4 {
		id, size := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if id == 0 || size > len(b)-4 {
			return
		}
		value := b[4 : 4+size]
		var text [256]byte
		switch id {
		case 1:
			out.Str("ntlm.server", fromUTF16(text[:], value))
		case 3:
			out.SetHost(fromUTF16(text[:], value))
		case 4:
			out.Str("ntlm.server_domain", fromUTF16(text[:], value))
		}
		b = b[4+size:]
	}
}

// ntlmField returns the bytes that the field at off points to, nil where they are
// not there.
func ntlmField(b []byte, off int) []byte {
	size, at := int(binary.LittleEndian.Uint16(b[off:])), binary.LittleEndian.Uint32(b[off+4:])
	if uint64(at)+uint64(size) > uint64(len(b)) {
		return nil
	}
	return b[at : int(at)+size]
}

func ntlmText(out *Result, key string, value []byte, unicode bool) {
	if unicode {
		var text [256]byte
		value = fromUTF16(text[:], value)
	}
	out.Str(key, value)
}

// fromUTF16 writes little-endian UTF-16 as UTF-8 to dst and returns what fits.
func fromUTF16(dst, b []byte) []byte {
	n := 0
	for ; len(b) >= 2 && n+utf8.UTFMax <= len(dst); b = b[2:] {
		r := rune(binary.LittleEndian.Uint16(b))
		if r >= 0xd800 && r < 0xdc00 && len(b) >= 4 {
			if low := rune(binary.LittleEndian.Uint16(b[2:])); low >= 0xdc00 && low < 0xe000 {
				r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
				b = b[2:]
			}
		}
		n += utf8.EncodeRune(dst[n:], r)
	}
	return dst[:n]
}
