package dissect

import "encoding/binary"

// Record types, RFC 8446 section 5.1.
const (
	recordCipherSpec = 20
	recordAlert      = 21
	recordHandshake  = 22
	recordData       = 23
	recordHeartbeat  = 24
)

// Handshake message types, RFC 8446 section 4.
const (
	msgClientHello = 1
	msgServerHello = 2
	msgCertificate = 11
	msgKeyExchange = 12
	msgCertRequest = 13
	msgDone        = 14
)

const (
	recordHeader = 5
	// maxTLSRecord is the longest ciphertext, RFC 5246 section 6.2.3.
	maxTLSRecord = 1<<14 + 2048

	// A record header is one of 5 types, 5 versions and 18433 lengths: 21 bits of
	// evidence. Where a segment ends and a record with it, its length is 16 more.
	headerBits = 21
	endBits    = 16
	proofBits  = 32
)

// tlsSide is what the bytes of one direction are.
type tlsSide struct {
	hello     []byte // body of the first hello, as far as seen
	helloSize int
	second    []byte // ServerHello after a HelloRetryRequest
	cert      []byte // body of the Certificate, as far as seen
	secondLen int
	certSize  int
	v2        sslv2  // the hello if it is one of SSL 2.0
	kind      uint8  // msgClientHello, msgServerHello or 0: no hello at the start
	version   uint16 // of the first record
	bits      int    // evidence of the record headers
	alerts    [2]uint8
	nalerts   int
	seen      bool // there are bytes
	unsure    bool // too few to tell
	hail      bool // they may be the first of a hello
	not       bool // it is not TLS
	v2hello   bool
	sealed    bool // what follows is encrypted
	data      bool // application data has come
	beyond    bool // messages that follow a certificate, or its absence, have come
	split     bool // a message goes on in the next record: see joinRecords
}

// walkTLS reads the records of one direction. joined tells that b was made by
// joinRecords.
func walkTLS(b []byte, joined bool) (s tlsSide) {
	if len(b) == 0 {
		return s
	}
	s.seen = true
	if b[0]&0x80 != 0 {
		s.v2 = parseSSLv2(b)
		s.v2hello, s.unsure = s.v2.kind != 0, s.v2.unsure
		s.not = !s.v2hello && !s.unsure
		return s
	}
	short := true // nothing but what may be the first bytes of a hello
	for off := 0; off < len(b); {
		rest := b[off:]
		if !recordStart(rest, joined) {
			s.not = s.kind == 0 && s.bits < proofBits
			return s
		}
		if len(rest) < recordHeader {
			s.unsure, s.hail = off == 0, short && rest[0] == recordHandshake
			return s
		}
		size := int(binary.BigEndian.Uint16(rest[3:]))
		body := rest[recordHeader:min(recordHeader+size, len(rest))]
		more := len(rest) > recordHeader+size // bytes of another record
		whole := len(body) == size
		s.bits += headerBits
		if whole && !more {
			s.bits += endBits
		}
		if off == 0 {
			s.version = binary.BigEndian.Uint16(rest[1:])
		}
		short = short && rest[0] == recordHandshake && helloStart(body)
		switch {
		case rest[0] == recordHandshake && (!s.sealed || s.retried()):
			// A server may warn before it says hello: the name is unknown to it.
			if s.kind == 0 && len(body) < 6 && !(joined && more) {
				s.unsure, s.split, s.bits, s.hail = !more, more, 0, short
				return s
			}
			if s.kind == 0 && !s.begin(body) {
				s.sealed = true
				break
			}
			if s = s.messages(body); s.split && more && !joined {
				return s
			}
			s.split = false
		case rest[0] == recordHandshake, rest[0] == recordData, rest[0] == recordCipherSpec:
			s.sealed = true
			s.data = s.data || rest[0] == recordData
		case rest[0] == recordAlert && size == 2 && whole && !s.sealed && s.nalerts < len(s.alerts):
			s.alerts[s.nalerts] = body[1]
			s.nalerts++
		}
		off += recordHeader + size
	}
	return s
}

// recordStart reports whether b is the start of a record, as far as it goes.
func recordStart(b []byte, joined bool) bool {
	if b[0] < recordCipherSpec || b[0] > recordHeartbeat || len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] > 4 {
		return false
	}
	if len(b) < recordHeader {
		return true
	}
	size := int(binary.BigEndian.Uint16(b[3:]))
	switch {
	case b[0] == recordCipherSpec:
		return size == 1 && (len(b) == recordHeader || b[5] == 1)
	case b[0] == recordAlert:
		return size == 2 || size >= 16 && size < 512
	case b[0] == recordData:
		return size <= maxTLSRecord
	}
	return size > 0 && (size <= maxTLSRecord || joined)
}

// retried reports whether the hello was a HelloRetryRequest: a change of cipher
// spec after it changes nothing (RFC 8446 appendix D.4).
func (s *tlsSide) retried() bool {
	return s.kind == msgServerHello && len(s.hello) >= 34 && string(s.hello[2:34]) == retryRandom
}

// begin looks for the hello that begins a conversation. Type, length below 64 KiB
// and version are 29 bits more than those of the record.
func (s *tlsSide) begin(body []byte) bool {
	if len(body) < 6 || body[1] != 0 {
		return false
	}
	modern := body[4] == 3 && body[5] <= 4
	if body[0] == msgClientHello && modern || body[0] == msgServerHello && (modern || body[4] == 0x7f) {
		s.kind = body[0]
		return true
	}
	return false
}

// helloStart reports whether b, of fewer bytes than begin wants, may be the start of a
// hello.
func helloStart(b []byte) bool {
	return len(b) < 6 && (len(b) == 0 || b[0] == msgClientHello || b[0] == msgServerHello) &&
		(len(b) < 2 || b[1] == 0) && (len(b) < 5 || b[4] == 3 || b[4] == 0x7f)
}

// messages takes what matters of the handshake messages in one record.
func (s tlsSide) messages(b []byte) tlsSide {
	for len(b) > 0 {
		if len(b) < 4 {
			s.split = true
			return s
		}
		size := uint24(b[1:])
		m := b[4:min(4+size, len(b))]
		switch b[0] {
		case msgClientHello, msgServerHello:
			switch {
			case b[0] != s.kind:
			case s.helloSize == 0:
				s.hello, s.helloSize = m, size
			case b[0] == msgServerHello && s.second == nil:
				s.second, s.secondLen = m, size
			}
		case msgCertificate:
			if s.cert == nil {
				s.cert, s.certSize = m, size
			}
		case msgKeyExchange, msgCertRequest, msgDone:
			s.beyond = true
		}
		if len(m) < size {
			s.split = true
			return s
		}
		b = b[4+size:]
	}
	return s
}

// joinRecords copies b to dst with each run of handshake records made one record,
// so that messages which are cut by record borders are whole. dst has at least the
// capacity of b.
func joinRecords(dst, b []byte) []byte {
	head := -1 // where the record that grows begins
	for len(b) >= recordHeader {
		size := int(binary.BigEndian.Uint16(b[3:]))
		n := min(recordHeader+size, len(b))
		if b[0] != recordHandshake {
			head = -1
		} else if head >= 0 {
			grown := int(binary.BigEndian.Uint16(dst[head+3:])) + size
			if grown > 0xffff {
				break
			}
			binary.BigEndian.PutUint16(dst[head+3:], uint16(grown))
			dst = append(dst, b[recordHeader:n]...)
			b = b[n:]
			continue
		} else {
			head = len(dst)
		}
		dst = append(dst, b[:n]...)
		b = b[n:]
	}
	return append(dst, b...)
}

// firstCertificate returns the first certificate of a Certificate message, RFC 5246
// section 7.4.2, false while it has not been seen whole.
func firstCertificate(b []byte) ([]byte, bool) {
	if len(b) < 3 {
		return nil, false
	}
	der, _, ok := cutVector(b[3:], 3)
	return der, ok && len(der) > 0
}
