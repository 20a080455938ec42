package dissect

import (
	"encoding/binary"
	"strconv"
)

// Hello messages of TLS (RFC 8446 section 4.1), DTLS (RFC 9147 section 5.3) and
// QUIC (RFC 9001 section 4), which are one format. Parsing makes views of the
// message and goes as far as its bytes do: the server name of a ClientHello is
// known as soon as its extension is, whatever follows.

// Extensions that say something about a conversation.
const (
	extServerName  = 0
	extGroups      = 10
	extPointFormat = 11
	extSigAlgs     = 13
	extALPN        = 16
	extPSK         = 41
	extVersions    = 43
	extQUICParams  = 0x39
	extQUICDraft   = 0xffa5 // transport parameters before RFC 9001
	extECH         = 0xfe0d
	extESNI        = 0xffce // the draft that became ECH
)

type clientHello struct {
	version  uint16 // legacy_version
	session  []byte // session id
	ciphers  []byte // u16 each
	exts     []byte // as many of the extensions as were seen
	sni      []byte
	alpn     []byte // u8 length and name each
	groups   []byte // u16 each
	formats  []byte // u8 each
	sigAlgs  []byte // u16 each
	versions []byte // u16 each
	params   []byte // QUIC transport parameters
	ech      string // "outer", "inner", "esni"
	whole    bool   // every byte of the message was seen
	sound    bool   // and all lengths agree
	hasSNI   bool
	hasALPN  bool
}

// parseClientHello reads the body of a ClientHello, of which b is what was seen
// and size the length it is said to have. DTLS has a cookie in it.
func parseClientHello(b []byte, size int, dtls bool) (h clientHello) {
	b = b[:min(len(b), size)]
	h.whole = len(b) == size
	if len(b) < 35 {
		return h
	}
	h.version = binary.BigEndian.Uint16(b)
	session, b, ok := cutVector(b[34:], 1)
	if !ok {
		return h
	}
	h.session = session
	if dtls {
		if _, b, ok = cutVector(b, 1); !ok {
			return h
		}
	}
	ciphers, b, ok := cutVector(b, 2)
	if !ok {
		return h
	}
	h.ciphers = ciphers[:len(ciphers)&^1]
	if _, b, ok = cutVector(b, 1); !ok { // compression
		return h
	}
	if len(b) == 0 { // extensions are optional before TLS 1.3
		h.sound = h.whole
		return h
	}
	h.exts, _, ok = cutVector(b, 2)
	h.sound = h.whole && ok
	for rest := h.exts; len(rest) > 0; {
		var typ uint16
		var v []byte
		if typ, v, rest, ok = cutExtension(rest); !ok {
			h.sound = false
			break
		}
		switch typ {
		case extServerName:
			h.hasSNI = true
			h.sni = serverName(v)
		case extGroups:
			h.groups, _, _ = cutVector(v, 2)
		case extPointFormat:
			h.formats, _, _ = cutVector(v, 1)
		case extSigAlgs:
			h.sigAlgs, _, _ = cutVector(v, 2)
		case extALPN:
			h.hasALPN = true
			h.alpn, _, _ = cutVector(v, 2)
		case extVersions:
			h.versions, _, _ = cutVector(v, 1)
		case extQUICParams, extQUICDraft:
			h.params = v
		case extECH:
			h.ech = "outer"
			if len(v) > 0 && v[0] == 1 {
				h.ech = "inner"
			}
		case extESNI:
			h.ech = "esni"
		}
	}
	return h
}

// serverName returns the first host_name of the extension, RFC 6066 section 3.
func serverName(v []byte) []byte {
	list, _, _ := cutVector(v, 2)
	for len(list) > 0 {
		name, rest, ok := cutVector(list[1:], 2)
		if !ok {
			return nil
		}
		if list[0] == 0 {
			return name
		}
		list = rest
	}
	return nil
}

// highest returns the newest version the client offers.
func (h *clientHello) highest() uint16 {
	best := uint16(0)
	for b := h.versions; len(b) >= 2; b = b[2:] {
		v := binary.BigEndian.Uint16(b)
		if grease(v) {
			continue
		}
		if best == 0 || v > best != (v>>8 == 0xfe && best>>8 == 0xfe) { // DTLS counts down
			best = v
		}
	}
	if best == 0 {
		best = h.version
	}
	return best
}

// report puts what the hello says into out. kind is the first letter of its JA4.
func (h *clientHello) report(kind byte, out *Result) {
	out.SetHost(h.sni)
	out.Str("tls.sni", h.sni)
	if h.sound || len(h.versions) > 0 { // else a newer one may follow
		var buf [24]byte
		out.Str("tls.client_version", tlsVersionName(buf[:0], h.highest()))
	}
	if prints, ok := out.prints.of(h, kind); ok {
		out.SetJA4(prints.ja4[:])
		out.Str("tls.ja4", prints.ja4[:])
		out.Hex("tls.ja3", prints.ja3[:])
	}
	if h.ech != "" {
		var buf [8]byte
		out.Str("tls.ech", append(buf[:0], h.ech...))
	}
	list := h.alpn
	for n := 0; len(list) > 0 && n < maxALPN; n++ {
		var name []byte
		name, list, _ = cutVector(list, 1)
		out.StrList("tls.alpn_offered", name[:min(len(name), 32)])
	}
}

// maxALPN bounds the protocol names that are kept of one hello.
const maxALPN = 8

type serverHello struct {
	version  uint16 // legacy_version
	selected uint16 // the version agreed on
	session  []byte
	cipher   uint16
	exts     []byte
	alpn     []byte // the one chosen
	retry    bool   // a HelloRetryRequest, RFC 8446 section 4.1.3
	psk      bool
	whole    bool
	sound    bool
}

// retryRandom is the random that makes a ServerHello a HelloRetryRequest.
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91" +
	"\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

// parseServerHello reads the body of a ServerHello as parseClientHello does.
func parseServerHello(b []byte, size int) (h serverHello) {
	b = b[:min(len(b), size)]
	h.whole = len(b) == size
	if len(b) < 36 {
		return h
	}
	h.version = binary.BigEndian.Uint16(b)
	h.selected = h.version
	h.retry = string(b[2:34]) == retryRandom
	b = b[34:]
	var ok bool
	draft := h.version>>8 == 0x7f // TLS 1.3 until draft 21: no session id, no compression
	if !draft {
		if h.session, b, ok = cutVector(b, 1); !ok || len(b) < 3 {
			return h
		}
	}
	h.cipher = binary.BigEndian.Uint16(b)
	b = b[2:]
	if !draft {
		b = b[1:]
	}
	if len(b) == 0 {
		h.sound = h.whole
		return h
	}
	h.exts, _, ok = cutVector(b, 2)
	h.sound = h.whole && ok
	for rest := h.exts; len(rest) > 0; {
		var typ uint16
		var v []byte
		if typ, v, rest, ok = cutExtension(rest); !ok {
			h.sound = false
			break
		}
		switch typ {
		case extALPN:
			list, _, _ := cutVector(v, 2)
			h.alpn, _, _ = cutVector(list, 1)
		case extVersions:
			if len(v) == 2 {
				h.selected = binary.BigEndian.Uint16(v)
			}
		case extPSK:
			h.psk = true
		}
	}
	return h
}

// tls13 reports whether the version agreed on hides what follows the hello.
func (h *serverHello) tls13() bool {
	return h.selected == 0x0304 || h.selected == 0xfefc || h.selected>>8 == 0x7f || h.selected>>8 == 0xfb
}

// report puts what the hello says into out; kind as for a ClientHello.
func (h *serverHello) report(kind byte, out *Result) {
	if h.version == 0 {
		return
	}
	var buf [24]byte
	if h.whole || h.selected != h.version {
		out.Str("tls.version", tlsVersionName(buf[:0], h.selected))
	}
	if h.cipher != 0 {
		out.Str("tls.cipher", appendHex16(append(buf[:0], "0x"...), h.cipher))
	}
	out.Str("tls.alpn", h.alpn)
	if h.sound {
		reportServerPrints(h, kind, out)
	}
}

// tlsVersionName appends the name of a version, its number if it has none.
func tlsVersionName(dst []byte, v uint16) []byte {
	switch v {
	case 0x0002:
		return append(dst, "SSLv2"...)
	case 0x0300:
		return append(dst, "SSLv3"...)
	case 0x0301, 0x0302, 0x0303, 0x0304:
		return append(append(dst, "TLSv1."...), byte('0'+v-0x0301))
	case 0xfeff, 0x0100: // 0x0100: DTLS before it was one, still sent by AnyConnect
		return append(dst, "DTLSv1.0"...)
	case 0xfefd:
		return append(dst, "DTLSv1.2"...)
	case 0xfefc:
		return append(dst, "DTLSv1.3"...)
	}
	switch v >> 8 {
	case 0x7f:
		return strconv.AppendUint(append(dst, "TLSv1.3-draft"...), uint64(v&0xff), 10)
	case 0xfb: // Facebook's drafts
		return append(dst, "TLSv1.3-fizz"...)
	}
	return appendHex16(append(dst, "0x"...), v)
}

// grease reports whether v is a value reserved to be ignored, RFC 8701.
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// cutVector splits a vector off b that begins with its length in n bytes, 1 to 3.
// It returns what there is of it and false where b ends too early.
func cutVector(b []byte, n int) (v, rest []byte, ok bool) {
	if len(b) < n {
		return nil, nil, false
	}
	size := int(b[0])
	if n > 1 {
		size = size<<8 | int(b[1])
	}
	if n > 2 {
		size = size<<8 | int(b[2])
	}
	b = b[n:]
	if size > len(b) {
		return b, nil, false
	}
	return b[:size:size], b[size:], true
}

// cutExtension splits one extension off b. A cut one is none.
func cutExtension(b []byte) (typ uint16, v, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	size := int(b[2])<<8 | int(b[3])
	if size > len(b)-4 {
		return 0, nil, nil, false
	}
	return uint16(b[0])<<8 | uint16(b[1]), b[4 : 4+size : 4+size], b[4+size:], true
}

const hexDigits = "0123456789abcdef"

func appendHex16(dst []byte, v uint16) []byte {
	return append(dst, hexDigits[v>>12], hexDigits[v>>8&15], hexDigits[v>>4&15], hexDigits[v&15])
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
