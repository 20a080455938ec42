package event

import "encoding/binary"

// AttrKind is how the value of an attribute is to be read.
type AttrKind uint8

// Kinds of attributes. Their numbers are part of the format.
const (
	AttrString AttrKind = 1    // text from the wire: any bytes
	AttrUint   AttrKind = 2    // 8 bytes, little-endian
	AttrHex    AttrKind = 3    // raw bytes, shown as hexadecimal
	AttrAddr   AttrKind = 4    // 4 or 16 bytes, shown as an IP address
	AttrBool   AttrKind = 5    // 1 byte
	AttrList   AttrKind = 0x80 // flag: one of several values of this key
)

// AppendAttr appends one attribute to dst: u8 kind, u8 key length, u16 value
// length, key, value. The key is "object.name", as in "tls.ja3". It appends
// nothing when dst would not fit in capacity: attributes are never cut.
func AppendAttr(dst []byte, kind AttrKind, key string, value []byte) []byte {
	n := 4 + len(key) + len(value)
	if len(key) > 255 || n > cap(dst)-len(dst) || len(dst)+n > MaxAttrs {
		return dst
	}
	dst = append(dst, uint8(kind), uint8(len(key)), uint8(len(value)), uint8(len(value)>>8))
	dst = append(dst, key...)
	return append(dst, value...)
}

// Attr is one attribute; it aliases the list it came from.
type Attr struct {
	Kind  AttrKind // without AttrList
	List  bool
	Key   []byte
	Value []byte
}

// Uint returns the value of an AttrUint, 0 for one of a wrong length.
func (a Attr) Uint() uint64 {
	if len(a.Value) != 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(a.Value)
}

// NextAttr splits the first attribute off b. It reports false at the end of the
// list and where the rest is not whole.
func NextAttr(b []byte) (a Attr, rest []byte, ok bool) {
	if len(b) < 4 {
		return a, nil, false
	}
	k, v := int(b[1]), int(binary.LittleEndian.Uint16(b[2:]))
	if k+v > len(b)-4 {
		return a, nil, false
	}
	a.Kind, a.List = AttrKind(b[0]&0x7f), b[0]&0x80 != 0
	a.Key = b[4 : 4+k : 4+k]
	a.Value = b[4+k : 4+k+v : 4+k+v]
	return a, b[4+k+v:], true
}
