// Package flowkey is the identity of a flow: the canonical 7-tuple (addresses,
// ports, IP protocol, VLAN id, interface) and its seeded 128-bit hash.
//
// A key is the same for both directions: endpoint A is the smaller one. The hash
// decides the worker and is all that a final flow is found by, so every process
// of one instance uses the same seed. The package holds no state and does no I/O.
package flowkey

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Key is a canonical 7-tuple. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d.
// For NFQUEUE the interface is the unordered pair of the one a packet came in by
// and the one it leaves by; elsewhere both are the capture interface.
type Key struct {
	A, B         [16]byte
	PortA, PortB uint16 // 0 unless TCP or UDP
	VLAN         uint16 // innermost 802.1Q VLAN id, 0 without a tag
	IfA, IfB     uint16 // interface table indices, IfA <= IfB
	Proto        uint8  // IP protocol number
	Version      uint8  // 4 or 6
}

// Size is the length in bytes of an encoded key.
const Size = 44

// V4 returns the 16-byte form of an IPv4 address.
func V4(b [4]byte) (a [16]byte) {
	a[10], a[11] = 0xff, 0xff
	copy(a[12:], b[:])
	return a
}

// Set makes k the canonical key of a packet from src to dst and reports whether
// the packet's source is endpoint B. The other fields of k are not touched.
func (k *Key) Set(src, dst *[16]byte, sport, dport uint16) (reverse bool) {
	c := bytes.Compare(src[:], dst[:])
	if c > 0 || c == 0 && sport > dport {
		k.A, k.B, k.PortA, k.PortB = *dst, *src, dport, sport
		return true
	}
	k.A, k.B, k.PortA, k.PortB = *src, *dst, sport, dport
	return false
}

// SetInterfaces stores the unordered pair of interface indices.
func (k *Key) SetInterfaces(in, out uint16) {
	k.IfA, k.IfB = min(in, out), max(in, out)
}

// AddrA returns endpoint A's address, unmapped when IPv4.
func (k *Key) AddrA() netip.Addr { return addr(k.A, k.Version) }

// AddrB returns endpoint B's address, unmapped when IPv4.
func (k *Key) AddrB() netip.Addr { return addr(k.B, k.Version) }

func addr(a [16]byte, version uint8) netip.Addr {
	if version == 4 {
		return netip.AddrFrom16(a).Unmap()
	}
	return netip.AddrFrom16(a)
}

// Encode lays k out in b, little-endian: A, B, ports, VLAN, interfaces, proto,
// version. Precondition: len(b) >= Size. Part of the slab format, do not change.
func (k *Key) Encode(b []byte) {
	b = b[:Size:Size]
	copy(b[0:16], k.A[:])
	copy(b[16:32], k.B[:])
	binary.LittleEndian.PutUint16(b[32:], k.PortA)
	binary.LittleEndian.PutUint16(b[34:], k.PortB)
	binary.LittleEndian.PutUint16(b[36:], k.VLAN)
	binary.LittleEndian.PutUint16(b[38:], k.IfA)
	binary.LittleEndian.PutUint16(b[40:], k.IfB)
	b[42], b[43] = k.Proto, k.Version
}

// Decode is the inverse of Encode. Precondition: len(b) >= Size.
func (k *Key) Decode(b []byte) {
	b = b[:Size:Size]
	copy(k.A[:], b[0:16])
	copy(k.B[:], b[16:32])
	k.PortA = binary.LittleEndian.Uint16(b[32:])
	k.PortB = binary.LittleEndian.Uint16(b[34:])
	k.VLAN = binary.LittleEndian.Uint16(b[36:])
	k.IfA = binary.LittleEndian.Uint16(b[38:])
	k.IfB = binary.LittleEndian.Uint16(b[40:])
	k.Proto, k.Version = b[42], b[43]
}

// SeedSize is the length in bytes of an encoded seed.
const SeedSize = 64

// Seed are the random words of one instance's hash. ID names the seed, so that
// rings, slab and tables can tell whether they were made with the same one.
type Seed struct {
	W  [7]uint64
	ID uint64
}

// ParseSeed makes a seed of 64 random bytes. The multiplier word is made odd,
// so that no key can turn the last product into a constant.
func ParseSeed(b *[SeedSize]byte) (s Seed) {
	for i := range s.W {
		s.W[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	s.W[6] |= 1
	s.ID = binary.LittleEndian.Uint64(b[56:])
	return s
}

// Hash returns the 128-bit hash of k: three 64x64->128 multiply-folds over its
// six words, each word first mixed with a secret one (so that no key can make a
// factor zero on purpose), then one product that spreads what they gave.
func (k *Key) Hash(s *Seed) (lo, hi uint64) {
	a0 := binary.LittleEndian.Uint64(k.A[0:])
	a1 := binary.LittleEndian.Uint64(k.A[8:])
	b0 := binary.LittleEndian.Uint64(k.B[0:])
	b1 := binary.LittleEndian.Uint64(k.B[8:])
	p := uint64(k.PortA) | uint64(k.PortB)<<16 | uint64(k.VLAN)<<32 | uint64(k.Proto)<<48 | uint64(k.Version)<<56
	i := uint64(k.IfA) | uint64(k.IfB)<<16
	h0, l0 := bits.Mul64(a0^s.W[0], a1^s.W[1])
	h1, l1 := bits.Mul64(b0^s.W[2], b1^s.W[3])
	h2, l2 := bits.Mul64(p^s.W[4], i^s.W[5])
	x := h0 ^ l0 ^ bits.RotateLeft64(h1^l1, 23) ^ (h2 ^ l2)
	y := l0 + bits.RotateLeft64(l1, 17) + bits.RotateLeft64(l2, 41)
	h3, l3 := bits.Mul64(x, s.W[6])
	h4, l4 := bits.Mul64(y^s.W[1], x^s.W[3])
	return h3 ^ l3 ^ l4, h4 ^ l4 ^ h3
}
