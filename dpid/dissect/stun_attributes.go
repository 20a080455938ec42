package dissect

import (
	"encoding/binary"
	"strconv"
)

// stunNotesLen is the room for what the messages of a flow told.
const stunNotesLen = 384

// stunNotes keeps the first of each attribute of interest across the datagrams of a
// flow: two bytes of length of all, then kind, length, value.
type stunNotes []byte

// Kinds of notes.
const (
	stunNoteRule = iota + 1
	stunNoteType
	stunNoteMapped
	stunNotePeer
	stunNoteRelayed
	stunNoteOrigin
	stunNoteOther
	stunNoteAlternate
	stunNoteSoftware
	stunNoteRealm
	stunNoteError
)

func (notes stunNotes) empty() bool { return notes[0]|notes[1] == 0 }

// get returns the note of a kind.
func (notes stunNotes) get(kind byte) (value []byte, ok bool) {
	b := notes[2 : 2+int(binary.LittleEndian.Uint16(notes))]
	for len(b) >= 2 {
		n := 2 + int(b[1])
		if b[0] == kind {
			return b[2:n:n], true
		}
		b = b[n:]
	}
	return nil, false
}

// add keeps a note, unless there is one of that kind or no room.
func (notes stunNotes) add(kind byte, value []byte) {
	used := int(binary.LittleEndian.Uint16(notes))
	if _, there := notes.get(kind); there || len(value) > 128 || 2+used+2+len(value) > len(notes) {
		return
	}
	b := notes[2+used:]
	b[0], b[1] = kind, byte(len(value))
	copy(b[2:], value)
	binary.LittleEndian.PutUint16(notes, uint16(used+2+len(value)))
}

// take notes what a whole message says.
func (notes stunNotes) take(m []byte) {
	ms := stunIsMS(m)
	cookie := binary.BigEndian.Uint32(m[4:]) == stunCookie
	switch {
	case cookie:
		notes.add(stunNoteRule, []byte("message"))
	case ms:
		notes.add(stunNoteRule, []byte("MS-TURN message"))
	default:
		notes.add(stunNoteRule, []byte("classic message"))
	}
	notes.add(stunNoteType, m[:2])
	realm := uint16(0x0014)
	if ms && !cookie { // MS-TURN sections 2.2.2.13 and 2.2.2.14 follow an older draft
		realm = 0x0015
	}
	for b := m[stunHeaderLen:]; ; {
		attr, value, rest, ok := stunAttr(b)
		if !ok {
			return
		}
		b = rest
		switch attr {
		case 0x0001:
			notes.addr(stunNoteMapped, m, value, false)
		case 0x0020, 0x8020:
			notes.addr(stunNoteMapped, m, value, true)
		case 0x0012:
			notes.addr(stunNotePeer, m, value, cookie)
		case 0x0016:
			notes.addr(stunNoteRelayed, m, value, true)
		case 0x802b:
			notes.addr(stunNoteOrigin, m, value, false)
		case 0x0005, 0x802c: // where the server may answer from instead
			notes.addr(stunNoteOther, m, value, false)
		case 0x000e, 0x8023:
			notes.addr(stunNoteAlternate, m, value, false)
		case 0x8022:
			notes.add(stunNoteSoftware, value)
		case 0x0009:
			if len(value) >= 4 {
				notes.add(stunNoteError, value[2:4])
			}
		case realm:
			notes.add(stunNoteRealm, value)
		}
	}
}

// addr keeps an address: zero, family, port (2), address. The XOR forms (RFC 8489
// section 14.2) are disguised with the cookie and transaction of m.
func (notes stunNotes) addr(kind byte, m, b []byte, xor bool) {
	if len(b) != 8 && len(b) != 20 || b[1] != 1 && b[1] != 2 || (b[1] == 1) != (len(b) == 8) {
		return
	}
	var plain [18]byte
	n := copy(plain[:], b[2:])
	if xor {
		plain[0] ^= m[4]
		plain[1] ^= m[5]
		for i := 2; i < n; i++ {
			plain[i] ^= m[2+i]
		}
	}
	notes.add(kind, plain[:n])
}

// tell reports all notes.
func (notes stunNotes) tell(out *Result) {
	rule, confidence := "message", uint8(100)
	switch v, _ := notes.get(stunNoteRule); string(v) {
	case "MS-TURN message":
		rule = "MS-TURN message"
	case "classic message":
		rule, confidence = "classic message", 90
	case "classic binding":
		rule, confidence = "classic binding", 80
	case "channel data":
		rule, confidence = "channel data", 80
	}
	out.Rule(rule, confidence)
	if v, ok := notes.get(stunNoteType); ok {
		var buf [64]byte
		out.Str("stun.type", stunAppendType(buf[:0], binary.BigEndian.Uint16(v)))
	}
	if v, ok := notes.get(stunNoteError); ok {
		out.Uint("stun.error", uint64(v[0]&7)*100+uint64(v[1]))
	}
	notes.tellAddr(stunNoteMapped, "stun.mapped", "stun.mapped_port", out)
	notes.tellAddr(stunNotePeer, "stun.peer", "stun.peer_port", out)
	notes.tellAddr(stunNoteRelayed, "stun.relayed", "stun.relayed_port", out)
	notes.tellAddr(stunNoteOrigin, "stun.origin", "stun.origin_port", out)
	notes.tellAddr(stunNoteOther, "stun.other", "stun.other_port", out)
	notes.tellAddr(stunNoteAlternate, "stun.alternate", "stun.alternate_port", out)
	notes.tellText(stunNoteSoftware, "stun.software", out)
	if realm := notes.tellText(stunNoteRealm, "stun.realm", out); isDomain(realm) {
		out.SetHost(realm) // by custom the domain of the server's owner
	}
}

// tellText reports text; some pad it with zeros inside its length.
func (notes stunNotes) tellText(kind byte, key string, out *Result) []byte {
	b, _ := notes.get(kind)
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	if !isText(b) {
		return nil
	}
	out.Str(key, b)
	return b
}

func (notes stunNotes) tellAddr(kind byte, key, portKey string, out *Result) {
	if b, ok := notes.get(kind); ok {
		out.Addr(key, b[2:])
		out.Uint(portKey, uint64(binary.BigEndian.Uint16(b)))
	}
}

var stunMethods = [...]string{
	1: "binding", 2: "shared-secret", 3: "allocate", 4: "refresh", 6: "send", 7: "data",
	8: "create-permission", 9: "channel-bind", 10: "connect", 11: "connection-bind", 12: "connection-attempt",
}

var stunClasses = [...]string{" request", " indication", " success", " error"}

// stunAppendType appends a message type as text: method and class, whose bits are
// mixed (RFC 8489 section 5).
func stunAppendType(dst []byte, t uint16) []byte {
	method := int(t&0xf | t>>1&0x70 | t>>2&0xf80)
	if method < len(stunMethods) && stunMethods[method] != "" {
		dst = append(dst, stunMethods[method]...)
	} else {
		dst = strconv.AppendUint(append(dst, "method "...), uint64(method), 10)
	}
	return append(dst, stunClasses[t>>4&1|t>>7&2]...)
}
