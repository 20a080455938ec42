package gcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// TestEncrypt holds the key schedule and the block against crypto/aes, FIPS 197
// appendix C.1 first.
func TestEncrypt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	key, block := [16]byte{}, [16]byte{}
	for i := range key {
		key[i], block[i] = byte(i), byte(i<<4|i)
	}
	for n := range 200 {
		var k Key
		k.Set(&key)
		got := block
		k.Encrypt(&got)
		var want, generic [16]byte
		std, err := aes.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		std.Encrypt(want[:], block[:])
		if got != want {
			t.Fatalf("Encrypt(%x) under %x = %x, want %x", block, key, got, want)
		}
		generic = block
		encryptGeneric(&k.schedule, generic[:])
		if generic != want {
			t.Fatalf("encryptGeneric(%x) under %x = %x, want %x", block, key, generic, want)
		}
		if n == 0 && hex.EncodeToString(got[:]) != "69c4e0d86a7b0430d8cdb78070b4c55a" {
			t.Fatalf("FIPS 197 appendix C.1: got %x", got)
		}
		fill(r, key[:])
		fill(r, block[:])
	}
}

// TestOpen opens what crypto/cipher sealed, of every length up to a few blocks and
// of that of packets, and nothing that was changed.
func TestOpen(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 1500 {
		if n > 300 && n%37 != 0 {
			continue
		}
		var key [16]byte
		var nonce [12]byte
		aad, text := make([]byte, n%70), make([]byte, n)
		for _, b := range [][]byte{key[:], nonce[:], aad, text} {
			fill(r, b)
		}
		sealed := seal(t, key[:], nonce[:], aad, text)
		var k Key
		k.Set(&key)
		dst := make([]byte, n)
		if got, ok := k.Open(dst, &nonce, aad, sealed); !ok || got != n || !bytes.Equal(dst, text) {
			t.Fatalf("Open of %d bytes, %d of them bound: %d, %v", n, len(aad), got, ok)
		}
		short := make([]byte, n/2)
		if got, ok := k.Open(short, &nonce, aad, sealed); !ok || got != n/2 || !bytes.Equal(short, text[:n/2]) {
			t.Fatalf("Open of %d bytes to half the room: %d, %v", n, got, ok)
		}
		for _, b := range [][]byte{sealed, aad, nonce[:]} {
			if len(b) == 0 {
				continue
			}
			i, bit := r.IntN(len(b)), byte(1)<<r.IntN(8)
			b[i] ^= bit
			if _, ok := k.Open(dst, &nonce, aad, sealed); ok {
				t.Fatalf("Open of %d bytes: a changed bit was not noticed", n)
			}
			b[i] ^= bit
		}
	}
}

func seal(t testing.TB, key, nonce, aad, text []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	std, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return std.Seal(nil, nonce, text, aad)
}

// TestGeneric holds what works everywhere against what this processor does.
func TestGeneric(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := 1; n < 12; n++ {
		var key [16]byte
		b := make([]byte, n*BlockSize)
		fill(r, key[:])
		fill(r, b)
		var g ghash
		g.set(&key)
		generic := g.y
		hashBlocks(&g.y, &g.h, b)
		hashGeneric(&generic, &g.h, b)
		if generic != g.y {
			t.Errorf("hashGeneric of %d blocks = %x, want %x", n, generic, g.y)
		}
		var k Key
		k.Set(&key)
		want := bytes.Clone(b)
		encryptBlocks(&k.schedule, b)
		if encryptGeneric(&k.schedule, want); !bytes.Equal(b, want) {
			t.Errorf("encryptGeneric of %d blocks differs", n)
		}
	}
}

func TestOpenShort(t *testing.T) {
	var k Key
	var nonce [12]byte
	for n := range TagSize {
		if _, ok := k.Open(nil, &nonce, nil, make([]byte, n)); ok {
			t.Errorf("Open of %d bytes, less than a tag, succeeds", n)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	var key [16]byte
	var nonce [12]byte
	sealed, dst := seal(t, key[:], nonce[:], nil, make([]byte, 1200)), make([]byte, 1200)
	if n := testing.AllocsPerRun(20, func() {
		var k Key
		k.Set(&key)
		if _, ok := k.Open(dst, &nonce, nil, sealed); !ok {
			t.Error("Open fails")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkOpen(b *testing.B) {
	var key [16]byte
	var nonce [12]byte
	sealed, dst := seal(b, key[:], nonce[:], nil, make([]byte, 1200)), make([]byte, 1200)
	for b.Loop() {
		var k Key
		k.Set(&key)
		if _, ok := k.Open(dst, &nonce, nil, sealed); !ok {
			b.Fatal("Open fails")
		}
	}
}

func BenchmarkSet(b *testing.B) {
	var key [16]byte
	for b.Loop() {
		var k Key
		k.Set(&key)
		k.Encrypt(&key)
	}
}
