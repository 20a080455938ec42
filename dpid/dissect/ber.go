package dissect

import "strconv"

// The Basic Encoding Rules of ASN.1 (X.690) as SNMP and others use them: tag,
// length, value, with tags of one byte and lengths that are told beforehand.

// Universal tags.
const (
	berInteger  = 0x02
	berOctets   = 0x04
	berOID      = 0x06
	berSequence = 0x30
)

// berNext splits the first element off b. A cut element takes what there is, where
// the caller allows it: captures and fragments keep only the start of a message.
func berNext(b []byte, cut bool) (tag byte, value, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	tag, n := b[0], int(b[1])
	b = b[2:]
	if n >= 0x80 { // long form: so many bytes of length
		more := n & 0x7f
		if more == 0 || more > 4 || more > len(b) {
			return 0, nil, nil, false
		}
		n = 0
		for _, c := range b[:more] {
			n = n<<8 | int(c)
		}
		b = b[more:]
	}
	if n < 0 || n > len(b) {
		if !cut || n < 0 || n > 65535 {
			return 0, nil, nil, false
		}
		n = len(b)
	}
	return tag, b[:n:n], b[n:], true
}

// berUint splits an INTEGER that is not negative and fits 64 bits off b.
func berUint(b []byte) (v uint64, rest []byte, ok bool) {
	tag, value, rest, ok := berNext(b, false)
	if !ok || tag != berInteger || len(value) == 0 || len(value) > 8 || value[0] > 0x7f {
		return 0, nil, false
	}
	for _, c := range value {
		v = v<<8 | uint64(c)
	}
	return v, rest, true
}

// berAppendOID appends an OBJECT IDENTIFIER as dotted numbers, X.690 section 8.19.
// It reports false where a number is not whole or too long.
func berAppendOID(dst, oid []byte) (text []byte, ok bool) {
	var v uint64
	for i, start := 0, true; i < len(oid); i++ {
		if v > 1<<56 || len(dst) > 160 {
			return dst, false
		}
		v = v<<7 | uint64(oid[i]&0x7f)
		if oid[i]&0x80 != 0 {
			if i == len(oid)-1 {
				return dst, false
			}
			continue
		}
		if start { // the first two numbers share one
			first := min(v/40, 2)
			dst = strconv.AppendUint(dst, first, 10)
			v -= first * 40
			start = false
		}
		dst = strconv.AppendUint(append(dst, '.'), v, 10)
		v = 0
	}
	return dst, true
}
