// Package gcm opens packets that were sealed with AES-128-GCM, under a key that
// serves for one or two packets, without allocating.
//
// A QUIC Initial (RFC 9001 section 5) is protected with keys that anybody can
// derive, so there are new ones for every flow. crypto/aes and crypto/cipher
// allocate two objects of 1.3 KB for each key; on the way of a packet that is
// garbage by the gigabyte. A Key here is a value, made and left on the stack.
//
// It is not for secrets: it does not run in constant time where the processor has
// no instructions for AES, it cannot seal, and nothing in Weir has a secret to keep.
// The tests hold it against crypto/cipher.
package gcm

import (
	"crypto/subtle"
	"encoding/binary"
)

const (
	// BlockSize is the size of a block, and of a key.
	BlockSize = 16
	// TagSize is the size of the tag at the end of what was sealed.
	TagSize = 16

	rounds = 10
	batch  = 8 // blocks that are encrypted at once
)

// Key is an expanded key. The zero value is not ready: call Set.
type Key struct {
	schedule [(rounds + 1) * BlockSize]byte // round keys as FIPS 197 writes them
}

// Set expands key, FIPS 197 section 5.2.
func (k *Key) Set(key *[BlockSize]byte) {
	copy(k.schedule[:], key[:])
	w := binary.BigEndian.Uint32(key[12:])
	rcon := uint32(1) << 24
	for i := BlockSize; i < len(k.schedule); i += 4 {
		if i%BlockSize == 0 {
			w = w<<8 | w>>24
			w = uint32(sbox[w>>24])<<24 | uint32(sbox[w>>16&255])<<16 | uint32(sbox[w>>8&255])<<8 | uint32(sbox[w&255])
			w ^= rcon
			if rcon <<= 1; i == 8*BlockSize {
				rcon = 0x1b << 24 // the next power of x in the field
			}
		}
		w ^= binary.BigEndian.Uint32(k.schedule[i-BlockSize:])
		binary.BigEndian.PutUint32(k.schedule[i:], w)
	}
}

// Encrypt encrypts one block in place.
func (k *Key) Encrypt(b *[BlockSize]byte) { encryptBlocks(&k.schedule, b[:]) }

// Open checks the tag that ends sealed and, when it is right, decrypts to dst as
// much of the text as fits there. It returns how much that is.
func (k *Key) Open(dst []byte, nonce *[12]byte, aad, sealed []byte) (n int, ok bool) {
	if len(sealed) < TagSize {
		return 0, false
	}
	text := sealed[: len(sealed)-TagSize : len(sealed)-TagSize]

	var h [2 * BlockSize]byte // E(0), the key of GHASH, and E(counter 1), the mask of the tag
	copy(h[BlockSize:], nonce[:])
	h[2*BlockSize-1] = 1
	encryptBlocks(&k.schedule, h[:])

	var y [BlockSize]byte
	k.digest(&y, (*[BlockSize]byte)(h[:BlockSize]), aad, text)
	subtle.XORBytes(y[:], y[:], h[BlockSize:])
	if y != [TagSize]byte(sealed[len(text):]) {
		return 0, false
	}
	n = min(len(dst), len(text))
	k.xorStream(dst[:n], nonce, text[:n])
	return n, true
}

// digest computes the GHASH of both parts and their lengths, NIST SP 800-38D
// section 6.4.
func (k *Key) digest(y, h *[BlockSize]byte, aad, text []byte) {
	var g ghash
	g.set(h)
	g.write(aad)
	g.write(text)
	var lengths [BlockSize]byte
	binary.BigEndian.PutUint64(lengths[:], uint64(len(aad))*8)
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(text))*8)
	g.write(lengths[:])
	g.sum(y)
}

// xorStream decrypts text, as long as dst: the counter of the first block is 2.
func (k *Key) xorStream(dst []byte, nonce *[12]byte, text []byte) {
	var stream [batch * BlockSize]byte
	for counter := uint32(2); len(dst) > 0; counter += batch {
		blocks := min(batch, (len(dst)+BlockSize-1)/BlockSize)
		for i := range blocks {
			b := stream[i*BlockSize : (i+1)*BlockSize]
			copy(b, nonce[:])
			binary.BigEndian.PutUint32(b[12:], counter+uint32(i))
		}
		encryptBlocks(&k.schedule, stream[:blocks*BlockSize])
		n := subtle.XORBytes(dst, text, stream[:blocks*BlockSize])
		dst, text = dst[n:], text[n:]
	}
}

// powers are the key of GHASH to the powers 1 to 4, each times x as the instructions
// want it: low half, high half. With them four blocks share one reduction.
type powers [4][2]uint64

// ghash is the hash of GCM as it grows.
type ghash struct {
	h powers
	y [2]uint64
}

func (g *ghash) set(key *[BlockSize]byte) {
	var zero [BlockSize]byte
	p := [2]uint64{binary.BigEndian.Uint64(key[8:]), binary.BigEndian.Uint64(key[:])}
	g.h[0] = timesX(p)
	for i := 1; i < len(g.h); i++ {
		hashBlocks(&p, &g.h, zero[:])
		g.h[i] = timesX(p)
	}
}

func timesX(p [2]uint64) [2]uint64 {
	carry := -(p[1] >> 63)
	return [2]uint64{p[0]<<1 ^ carry&1, (p[1]<<1 | p[0]>>63) ^ carry&(0xc2<<56)}
}

// write adds b, filled up with zeros to whole blocks.
func (g *ghash) write(b []byte) {
	if n := len(b) &^ (BlockSize - 1); n > 0 {
		hashBlocks(&g.y, &g.h, b[:n])
		b = b[n:]
	}
	if len(b) > 0 {
		var last [BlockSize]byte
		copy(last[:], b)
		hashBlocks(&g.y, &g.h, last[:])
	}
}

func (g *ghash) sum(y *[BlockSize]byte) {
	binary.BigEndian.PutUint64(y[:], g.y[1])
	binary.BigEndian.PutUint64(y[8:], g.y[0])
}
