package dissect

import (
	"encoding/binary"
	"unicode/utf8"
)

// The message of RFC 1035 section 4 is written by DNS, multicast DNS, LLMNR and the
// NetBIOS name service. How to walk it is here; what makes it one or the other of
// these protocols is in their files.
//
//	 0 id | 2 flags | 4 questions | 6 answers | 8 authorities | 10 additionals
//	question: name, type, class
//	record:   name, type, class, TTL (4), length (2), data
//
// Offsets are those of the message, because names point back into it.

// Bits of the flags field.
const (
	dnsQR    = 0x8000 // a response
	dnsAA    = 0x0400
	dnsTC    = 0x0200 // cut to fit
	dnsRD    = 0x0100 // recursion desired
	dnsZ     = 0x0040 // must be zero
	dnsRcode = 0x000f
)

// Opcodes.
const (
	dnsOpQuery  = 0
	dnsOpIQuery = 1
	dnsOpStatus = 2
	dnsOpNotify = 4
	dnsOpUpdate = 5
	dnsOpDSO    = 6 // RFC 8490
)

// Record types that are looked into.
const (
	dnsA     = 1
	dnsNS    = 2
	dnsCNAME = 5
	dnsPTR   = 12
	dnsMX    = 15
	dnsTXT   = 16
	dnsAAAA  = 28
	dnsSRV   = 33
	dnsOPT   = 41
	dnsSVCB  = 64
	dnsHTTPS = 65
)

// What a walk says instead of an offset.
const (
	dnsBad = -1 // no message has this
	dnsCut = -2 // the bytes end too early
)

const (
	dnsHeaderLen = 12
	dnsMaxName   = 255 // RFC 1035 section 2.3.4
	dnsMaxJumps  = 4   // pointers in a row; writers use one, hostile ones thousands
	dnsMaxLook   = 48  // records of a message whose data is looked at
)

type dnsHeader struct {
	id, flags      uint16
	qd, an, ns, ar int
}

func (h dnsHeader) opcode() int    { return int(h.flags>>11) & 15 }
func (h dnsHeader) response() bool { return h.flags&dnsQR != 0 }

// dnsReadHeader reads the first 12 bytes of m, which are there.
func dnsReadHeader(m []byte) dnsHeader {
	m = m[:dnsHeaderLen:dnsHeaderLen]
	return dnsHeader{
		id: binary.BigEndian.Uint16(m), flags: binary.BigEndian.Uint16(m[2:]),
		qd: int(binary.BigEndian.Uint16(m[4:])), an: int(binary.BigEndian.Uint16(m[6:])),
		ns: int(binary.BigEndian.Uint16(m[8:])), ar: int(binary.BigEndian.Uint16(m[10:])),
	}
}

// dnsSkipName returns the offset behind the name at off, dnsBad or dnsCut.
func dnsSkipName(m []byte, off int) int {
	for start := off; ; {
		if off >= len(m) {
			return dnsCut
		}
		c := int(m[off])
		switch {
		case c == 0:
			return off + 1
		case c < 64:
			off += 1 + c
			if off-start > dnsMaxName-1 {
				return dnsBad
			}
		case c >= 0xc0:
			if off+2 > len(m) {
				return dnsCut
			}
			if to := (c&0x3f)<<8 | int(m[off+1]); to < dnsHeaderLen || to >= off {
				return dnsBad
			}
			return off + 2
		default: // 01 and 10 were never put to use (RFC 6891 section 5)
			return dnsBad
		}
	}
}

// dnsLabel returns the label at off, wherever a pointer leads, and the offset
// behind it; the empty label ends a name. Pointers only lead back.
func dnsLabel(m []byte, off int) (label []byte, next int, ok bool) {
	for range dnsMaxJumps + 1 {
		if off >= len(m) {
			return nil, 0, false
		}
		c := int(m[off])
		if c < 64 {
			next = off + 1 + c
			if next > len(m) {
				return nil, 0, false
			}
			return m[off+1 : next : next], next, true
		}
		if c < 0xc0 || off+2 > len(m) {
			return nil, 0, false
		}
		to := (c&0x3f)<<8 | int(m[off+1])
		if to < dnsHeaderLen || to >= off {
			return nil, 0, false
		}
		off = to
	}
	return nil, 0, false
}

// dnsText writes the name at off as text into dst: lower case, labels separated by
// dots, no dot at the end. Control bytes and what is not UTF-8 become '?', because
// text goes to terminals and logs. It reports false for a name that is not whole.
func dnsText(dst *[dnsMaxName]byte, m []byte, off int) (text []byte, ok bool) {
	n := 0
	for {
		label, next, ok := dnsLabel(m, off)
		if !ok {
			return nil, false
		}
		if len(label) == 0 {
			return dst[:n], true
		}
		// On the wire a name is two bytes longer than its text. Each turn adds at least
		// two: a loop of pointers ends here.
		if n+1+len(label) > dnsMaxName-2 {
			return nil, false
		}
		if n > 0 {
			dst[n] = '.'
			n++
		}
		utf := utf8.Valid(label)
		for _, c := range label {
			switch {
			case c >= 'A' && c <= 'Z':
				c += 'a' - 'A'
			case c < ' ', c == 0x7f, c > 0x7f && !utf:
				c = '?'
			}
			dst[n] = c
			n++
		}
		off = next
	}
}

// dnsSameName reports whether the names at a and b are whole and equal without
// regard to case.
func dnsSameName(m []byte, a, b int) bool {
	for range dnsMaxName/2 + 1 {
		if a == b {
			return true
		}
		la, na, ok := dnsLabel(m, a)
		if !ok {
			return false
		}
		lb, nb, ok := dnsLabel(m, b)
		if !ok || len(la) != len(lb) {
			return false
		}
		for i := range la {
			if upper(la[i]) != upper(lb[i]) {
				return false
			}
		}
		if len(la) == 0 {
			return true
		}
		a, b = na, nb
	}
	return false
}

// dnsQuestion is an entry of the first section; name is its offset.
type dnsQuestion struct {
	name       int
	typ, class uint16
}

// dnsReadQuestion reads the question at off and returns the offset behind it.
func dnsReadQuestion(m []byte, off int) (q dnsQuestion, next int) {
	q.name = off
	if off = dnsSkipName(m, off); off < 0 {
		return q, off
	}
	if off+4 > len(m) {
		return q, dnsCut
	}
	q.typ, q.class = binary.BigEndian.Uint16(m[off:]), binary.BigEndian.Uint16(m[off+2:])
	return q, off + 4
}

// dnsRecord is an entry of the other sections; name and data are offsets.
type dnsRecord struct {
	name, data, end int
	typ, class      uint16
	ttl             uint32
}

// dnsReadRecord reads the record at off and returns the offset behind it.
func dnsReadRecord(m []byte, off int) (r dnsRecord, next int) {
	r.name = off
	if off = dnsSkipName(m, off); off < 0 {
		return r, off
	}
	if off+10 > len(m) {
		return r, dnsCut
	}
	f := m[off : off+10 : off+10]
	r.typ, r.class = binary.BigEndian.Uint16(f), binary.BigEndian.Uint16(f[2:])
	r.ttl = binary.BigEndian.Uint32(f[4:])
	r.data = off + 10
	r.end = r.data + int(binary.BigEndian.Uint16(f[8:]))
	if r.end > len(m) {
		return r, dnsCut
	}
	return r, r.end
}

// dnsAnswers returns the offset of the first record of m, behind the questions, or
// dnsBad or dnsCut.
func dnsAnswers(m []byte, h dnsHeader) int {
	off := dnsHeaderLen
	for range h.qd {
		if _, off = dnsReadQuestion(m, off); off < 0 {
			return off
		}
	}
	return off
}

// dnsWalk checks every question and record of m and returns the offset behind
// them, dnsBad or dnsCut. Each turn takes bytes, so m bounds it, not the counts.
func dnsWalk(m []byte, h dnsHeader) int {
	off := dnsAnswers(m, h)
	for range h.an + h.ns + h.ar {
		if off < 0 {
			return off
		}
		var r dnsRecord
		if r, off = dnsReadRecord(m, off); off >= 0 && !dnsRecordSane(m, r) {
			return dnsBad
		}
	}
	return off
}

// dnsRecordSane holds a record against what its type must look like.
func dnsRecordSane(m []byte, r dnsRecord) bool {
	n := r.end - r.data
	switch r.typ {
	case 0:
		return false
	case dnsOPT: // RFC 6891 section 6.1.2: the name is the root, class a size
		return m[r.name] == 0
	}
	if !dnsClass(r.class &^ 0x8000) { // mDNS sets the top bit: RFC 6762 section 10.2
		return false
	}
	switch {
	case n == 0: // deletions of RFC 2136 have no data
		return true
	case r.typ == dnsA:
		return n == 4 || r.class != 1 // another class has other addresses
	case r.typ == dnsAAAA:
		return n == 16
	}
	return true
}

// dnsClass reports whether c is a class that RFC 1035, 2136 or 6895 knows.
func dnsClass(c uint16) bool { return c == 1 || c == 3 || c == 4 || c == 254 || c == 255 }
