package dissect

import (
	"crypto/sha256"
	"encoding/binary"

	"weir/dpid/dissect/internal/gcm"
)

// Keys of Initial packets. They derive from a salt that the version fixes and from
// the connection id that the client chose for the server in its first packet (RFC
// 9001 section 5.2, RFC 9369 section 3.3), so whoever sees that packet has them.

const (
	quicV1      = 1
	quicV2      = 0x6b3343cf
	quicV2Draft = 0x709a50c4 // draft-ietf-quic-v2-01 and later
	quicV2First = 0xff020000 // draft-ietf-quic-v2-00
	quicQ050    = 0x51303530
	quicT050    = 0x54303530
	quicT051    = 0x54303531
)

type quicSalt [20]byte

// The salts, by the first draft or version that has them.
var (
	saltDraft22 = quicSalt([]byte("\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x19\x3a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x4a"))
	saltDraft23 = quicSalt([]byte("\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02"))
	saltDraft29 = quicSalt([]byte("\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99"))
	saltV1      = quicSalt([]byte("\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"))
	saltV2Draft = quicSalt([]byte("\xa7\x07\xc2\x03\xa5\x9b\x47\x18\x4a\x1d\x62\xca\x57\x04\x06\xea\x7a\xe3\xe5\xd3"))
	saltV2      = quicSalt([]byte("\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"))
	saltQ050    = quicSalt([]byte("\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45"))
	saltT050    = quicSalt([]byte("\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10"))
	saltT051    = quicSalt([]byte("\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d"))
)

// saltOf returns the try'th salt to try for a version, nil when there is no more.
// Facebook's private versions do not tell which draft they follow.
func saltOf(version uint32, try int) *quicSalt {
	if version>>8 == 0xfaceb0 {
		all := [...]*quicSalt{&saltV1, &saltDraft29, &saltDraft23, &saltDraft22}
		if try < len(all) {
			return all[try]
		}
		return nil
	}
	if try > 0 {
		return nil
	}
	switch version {
	case quicV1:
		return &saltV1
	case quicV2:
		return &saltV2
	case quicV2Draft, quicV2First:
		return &saltV2Draft
	case quicQ050:
		return &saltQ050
	case quicT050:
		return &saltT050
	case quicT051:
		return &saltT051
	}
	switch draft := version & 0xff; {
	case version>>8 != 0xff0000 || draft < 22 || draft > 34:
		return nil
	case draft == 22:
		return &saltDraft22
	case draft < 29:
		return &saltDraft23
	case draft < 33:
		return &saltDraft29
	}
	return &saltV1
}

// HkdfLabel of RFC 8446 section 7.1 with the counter of HKDF-Expand at its end.
const (
	infoClient = "\x00\x20\x0ftls13 client in\x00\x01"
	infoServer = "\x00\x20\x0ftls13 server in\x00\x01"
	infoKey    = "\x00\x10\x0etls13 quic key\x00\x01"
	infoIV     = "\x00\x0c\x0dtls13 quic iv\x00\x01"
	infoHP     = "\x00\x10\x0dtls13 quic hp\x00\x01"
	infoKeyV2  = "\x00\x10\x10tls13 quicv2 key\x00\x01"
	infoIVV2   = "\x00\x0c\x0ftls13 quicv2 iv\x00\x01"
	infoHPV2   = "\x00\x10\x0ftls13 quicv2 hp\x00\x01"
)

// quicKeys protect the Initial packets of one side.
type quicKeys struct {
	key [16]byte
	iv  [12]byte
	hp  [16]byte // of the header
}

const quicKeysSize = 16 + 12 + 16

// derive fills k for the side that info names.
func (k *quicKeys) derive(salt *quicSalt, version uint32, dcid []byte, info string) {
	var secret, out [sha256.Size]byte
	hmacSHA256(&secret, salt[:], dcid)
	hmacSHA256(&secret, secret[:], info)
	key, iv, hp := infoKey, infoIV, infoHP
	if isQUICv2(version) {
		key, iv, hp = infoKeyV2, infoIVV2, infoHPV2
	}
	hmacSHA256(&out, secret[:], key)
	copy(k.key[:], out[:])
	hmacSHA256(&out, secret[:], iv)
	copy(k.iv[:], out[:])
	hmacSHA256(&out, secret[:], hp)
	copy(k.hp[:], out[:])
}

func isQUICv2(version uint32) bool {
	return version == quicV2 || version == quicV2Draft || version == quicV2First
}

// hmacSHA256 is HMAC with a key of at most 64 and a message of at most 64 bytes.
// HKDF by hand costs half of crypto/hkdf and allocates nothing.
func hmacSHA256[M []byte | string](dst *[sha256.Size]byte, key []byte, message M) {
	var b [sha256.BlockSize + sha256.BlockSize]byte
	copy(b[:], key)
	for i := range sha256.BlockSize {
		b[i] ^= 0x36
	}
	n := copy(b[sha256.BlockSize:], message)
	inner := sha256.Sum256(b[:sha256.BlockSize+n])
	for i := range sha256.BlockSize {
		b[i] ^= 0x36 ^ 0x5c
	}
	copy(b[sha256.BlockSize:], inner[:])
	*dst = sha256.Sum256(b[:sha256.BlockSize+sha256.Size])
}

// maxQUICHeader bounds the header of an Initial: tokens may be a few hundred bytes.
const maxQUICHeader = 1024

// open removes header protection from the Initial p (RFC 9001 section 5.4), checks
// its tag and decrypts to dst what fits there.
func (k *quicKeys) open(dst []byte, p *quicPacket) (plain []byte, ok bool) {
	sample := p.header + 4
	if len(p.all) < sample+16 || p.header+4 > maxQUICHeader {
		return nil, false
	}
	var key gcm.Key
	var mask [16]byte
	key.Set(&k.hp)
	copy(mask[:], p.all[sample:])
	key.Encrypt(&mask)

	var aad [maxQUICHeader]byte
	copy(aad[:], p.all[:p.header+4])
	aad[0] ^= mask[0] & 0x0f
	size := int(aad[0]&3) + 1 // of the packet number
	nonce := k.iv
	for i := range size {
		aad[p.header+i] ^= mask[1+i]
		nonce[12-size+i] ^= aad[p.header+i]
	}
	key.Set(&k.key)
	n, ok := key.Open(dst, &nonce, aad[:p.header+size], p.all[p.header+size:])
	return dst[:n], ok
}

// quicVersionName appends the name of a version.
func quicVersionName(dst []byte, v uint32) []byte {
	switch {
	case v == quicV1:
		return append(dst, "v1"...)
	case v == quicV2:
		return append(dst, "v2"...)
	case v == quicV2Draft || v == quicV2First:
		return append(dst, "v2-draft"...)
	case v>>8 == 0xff0000:
		return appendTwoDigits(append(dst, "draft-"...), int(v&0xff))
	case v>>8 == 0xfaceb0:
		return appendHex16(append(dst, "mvfst-"...), uint16(v&0xff))
	case v>>24 == 'Q' || v>>24 == 'T':
		return binary.BigEndian.AppendUint32(dst, v)
	}
	return appendHex16(appendHex16(append(dst, "0x"...), uint16(v>>16)), uint16(v))
}
