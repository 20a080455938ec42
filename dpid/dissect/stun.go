package dissect

import "encoding/binary"

func init() {
	register(Spec{
		Name: "stun", ID: 16, Category: "network", Over: TCP | UDP, Ports: []uint16{3478, 3479, 5349, 19302, 19305},
		Bytes: stunBytes, Scratch: stunNotesLen, Carries: []string{"dtls", "rtp", "rtcp"},
		Detect: detectSTUN,
	})
}

const (
	stunHeaderLen = 20
	stunCookie    = 0x2112a442 // RFC 5389 section 6
	stunMSCookie  = 0x72c64bc6 // value of the first attribute of MS-TURN, section 2.2.2.7
	stunBytes     = 1536
	stunPackets   = 24 // datagrams to look at for addresses, realm and what STUN carries
)

// detectSTUN looks for a message of RFC 8489 section 5, TURN (RFC 8656) included:
//
//	0 type (two bits 0) | 2 length | 4 cookie | 8 transaction | 20 attributes
//
// The cookie and a length that fits are 48 bits. Messages of RFC 3489 and MS-TURN
// have no cookie: their type must be known and their attributes must be known, too,
// and fill the message; one without attributes needs its answer, or the port. TURN
// channels (RFC 8656 section 12.4) are recognised by two messages of one channel.
func detectSTUN(in *Input, out *Result) Verdict {
	if in.IPProto == 6 {
		return stunStream(in, out)
	}
	notes := stunNotes(in.Scratch)
	m := in.Packet
	switch stunMessage(m, in) {
	case Yes:
		notes.take(m)
	case More: // a bare request of RFC 3489
		if in.ClientPort != 3478 && in.ServerPort != 3478 && !stunAnswered(in) {
			return stunPatience(in)
		}
		notes.add(stunNoteRule, []byte("classic binding"))
	default:
		if notes.empty() {
			if v := stunChannels(in); v != Yes {
				return v
			}
			notes.add(stunNoteRule, []byte("channel data"))
		}
	}
	notes.tell(out)
	if int(in.ClientCount)+int(in.ServerCount) >= stunPackets {
		return Yes
	}
	return YesMore
}

// stunPatience waits for a second datagram of the other side, not for ever.
func stunPatience(in *Input) Verdict {
	if in.ClientCount+in.ServerCount > 4 {
		return No
	}
	return More
}

// stunStream looks at a connection: messages follow each other by their own length
// (RFC 8489 section 6.2.2), behind a length of two bytes (RFC 4571, ICE over TCP),
// or behind the four bytes of MS-TURN section 2.1.
func stunStream(in *Input, out *Result) Verdict {
	var buf [stunNotesLen]byte
	notes := stunNotes(buf[:])
	c, s := No, No
	for b := in.Client; c != More; {
		if b, c = notes.next(b); c == No {
			break
		}
	}
	for b := in.Server; s != More; {
		if b, s = notes.next(b); s == No {
			break
		}
	}
	if notes.empty() { // No, or too little of the first message
		switch {
		case len(in.Client) == 0:
			return s
		case len(in.Server) == 0:
			return c
		}
		return min(c, s)
	}
	notes.tell(out)
	if (c == No || len(in.Client) >= stunBytes || in.ClientEnd) && (s == No || len(in.Server) >= stunBytes || in.ServerEnd) {
		return Yes
	}
	return YesMore
}

// next takes the first message of b and returns what is behind it. More: it is not
// whole yet.
func (notes stunNotes) next(b []byte) (rest []byte, v Verdict) {
	m, v := stunUnframe(b)
	if v != Yes {
		return nil, v
	}
	n := stunHeaderLen + int(binary.BigEndian.Uint16(m[2:]))
	if n > len(m) {
		if n > stunBytes && len(m) >= stunBytes-4 {
			notes.take(m) // longer than what is looked at
		}
		return nil, More
	}
	notes.take(m[:n:n])
	return m[n:], Yes
}

// stunUnframe skips what stands before the first message. It wants the cookie, or
// that of MS-TURN, in its place.
func stunUnframe(b []byte) (m []byte, v Verdict) {
	v = No
	for _, skip := range [...]int{0, 2, 4} {
		m := b[min(skip, len(b)):]
		switch {
		case skip == 4 && len(b) > 0 && b[0] != 2 && b[0] != 3,
			len(m) > 0 && m[0] > 0x3f,
			len(m) > 3 && m[3]&3 != 0,
			skip == 2 && len(m) >= 4 && binary.BigEndian.Uint16(b) != binary.BigEndian.Uint16(m[2:])+stunHeaderLen,
			skip == 4 && len(m) >= 4 && binary.BigEndian.Uint16(b[2:]) != binary.BigEndian.Uint16(m[2:])+stunHeaderLen:
		case len(m) < stunHeaderLen:
			v = More
		case skip < 4 && binary.BigEndian.Uint32(m[4:]) == stunCookie:
			return m, Yes
		case len(m) < stunHeaderLen+8:
			if skip == 4 || skip == 0 && binary.BigEndian.Uint16(m[2:]) >= 8 {
				v = More
			}
		case stunIsMS(m):
			return m, Yes
		}
	}
	return nil, v
}

// stunIsMS reports whether the first attribute of m is the cookie of MS-TURN.
func stunIsMS(m []byte) bool {
	return len(m) >= stunHeaderLen+8 && binary.BigEndian.Uint32(m[20:]) == 0x000f0004 && binary.BigEndian.Uint32(m[24:]) == stunMSCookie
}

// stunMessage says whether m is a whole message. More: it may be one of RFC 3489
// without attributes.
func stunMessage(m []byte, in *Input) Verdict {
	if len(m) < stunHeaderLen || m[0] > 0x3f || int(binary.BigEndian.Uint16(m[2:])) != len(m)-stunHeaderLen {
		return No
	}
	if binary.BigEndian.Uint32(m[4:]) == stunCookie {
		if !stunWalk(m) {
			return No
		}
		return Yes
	}
	if stunIsMS(m) && stunWalk(m) {
		return Yes
	}
	if !stunClassicType(binary.BigEndian.Uint16(m)) {
		return No
	}
	if len(m) == stunHeaderLen {
		return More
	}
	// The type, the length and attributes that fill it are 40 bits: on the port of
	// STUN that is enough for attributes that nobody registered.
	if stunKnown(m) || (in.ClientPort == 3478 || in.ServerPort == 3478) && stunWalk(m) {
		return Yes
	}
	return No
}

// stunClassicType reports whether t is a type of RFC 3489 section 11.1 or of the
// TURN drafts that MS-TURN builds on.
func stunClassicType(t uint16) bool {
	switch t {
	case 0x0001, 0x0101, 0x0111, 0x0002, 0x0102, 0x0112, 0x0003, 0x0103, 0x0113, 0x0004, 0x0104, 0x0114, 0x0115:
		return true
	}
	return false
}

// stunAttr splits the first attribute off b: type (2), length (2), value, padding.
func stunAttr(b []byte) (typ uint16, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		return 0, nil, nil, false
	}
	end := min(4+(n+3)&^3, len(b)) // the last may lack its padding
	return binary.BigEndian.Uint16(b), b[4 : 4+n : 4+n], b[end:], true
}

// stunWalk reports whether the attributes of m fill it.
func stunWalk(m []byte) bool {
	for b := m[stunHeaderLen:]; len(b) > 0; {
		_, _, rest, ok := stunAttr(b)
		if !ok {
			return false
		}
		b = rest
	}
	return true
}

// stunKnown reports whether the attributes of m fill it and are those of RFC 3489
// section 11.2, in their sizes, or optional ones; at least one is of RFC 3489.
func stunKnown(m []byte) bool {
	known := false
	for b := m[stunHeaderLen:]; len(b) > 0; {
		typ, value, rest, ok := stunAttr(b)
		if !ok || len(value)%4 != 0 && typ < 0x8000 && typ != 9 {
			return false
		}
		b = rest
		switch typ {
		case 1, 2, 4, 5, 11: // addresses
			ok = len(value) == 8 && value[1] == 1 || len(value) == 20 && value[1] == 2
		case 3: // change request: two bits
			ok = len(value) == 4 && value[0]|value[1]|value[2] == 0 && value[3]&^6 == 0
		case 8: // message integrity
			ok = len(value) == 20
		case 9: // error code
			ok = len(value) >= 4 && value[2]&7 >= 1 && value[2]&7 <= 6 && value[3] < 100
		case 6, 7, 10:
			ok = len(value) > 0
		default:
			if typ < 0x8000 || typ > 0x80ff {
				return false
			}
			continue
		}
		if !ok {
			return false
		}
		known = true
	}
	return known
}

// stunAnswered reports whether the flow has a request and an answer of one
// transaction of RFC 3489.
func stunAnswered(in *Input) bool {
	c, s := in.Client, in.Server
	if len(c) < stunHeaderLen || len(s) < stunHeaderLen || string(c[4:20]) != string(s[4:20]) {
		return false
	}
	return stunMessage(c, in) != No && stunMessage(s, in) != No && c[0]^s[0] == 1
}

// stunChannels looks for two datagrams of one direction on the same channel:
// number 0x4000 to 0x4fff (2), length (2), data, perhaps padding. Number, type bits
// and both lengths are more than 32 bits.
func stunChannels(in *Input) Verdict {
	first, count := in.Client, in.ClientCount
	if in.FromServer {
		first, count = in.Server, in.ServerCount
	}
	if !stunChannel(first) || !stunChannel(in.Packet) || first[0] != in.Packet[0] || first[1] != in.Packet[1] {
		return No
	}
	if count < 2 {
		return stunPatience(in)
	}
	return Yes
}

func stunChannel(b []byte) bool {
	if len(b) < 8 || b[0]>>4 != 4 {
		return false
	}
	pad := len(b) - 4 - int(binary.BigEndian.Uint16(b[2:]))
	return pad == 0 || pad > 0 && pad < 4 && len(b)%4 == 0
}
