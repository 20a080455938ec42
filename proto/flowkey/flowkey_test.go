package flowkey

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func testSeed() Seed {
	var b [SeedSize]byte
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < SeedSize; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return ParseSeed(&b)
}

func v4Key(a, b uint32, pa, pb uint16) (k Key, reverse bool) {
	var x, y [4]byte
	binary.BigEndian.PutUint32(x[:], a)
	binary.BigEndian.PutUint32(y[:], b)
	src, dst := V4(x), V4(y)
	k.Proto, k.Version = 6, 4
	reverse = k.Set(&src, &dst, pa, pb)
	return k, reverse
}

func TestSetIsSymmetric(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	seed := testSeed()
	for range 10000 {
		a, b := r.Uint32()%8, r.Uint32()%8
		pa, pb := uint16(r.Uint32()%4), uint16(r.Uint32()%4)
		k1, r1 := v4Key(a, b, pa, pb)
		k2, r2 := v4Key(b, a, pb, pa)
		if k1 != k2 {
			t.Fatalf("keys of the two directions differ: %+v, %+v", k1, k2)
		}
		if (a != b || pa != pb) && r1 == r2 {
			t.Fatalf("Set(%d:%d, %d:%d) reports one direction for both", a, pa, b, pb)
		}
		l1, h1 := k1.Hash(&seed)
		l2, h2 := k2.Hash(&seed)
		if l1 != l2 || h1 != h2 {
			t.Fatalf("hash differs between directions")
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	k, _ := v4Key(0x0a000001, 0xc0a80102, 443, 51000)
	k.VLAN, k.IfA, k.IfB = 100, 3, 9
	var b [Size]byte
	k.Encode(b[:])
	var got Key
	got.Decode(b[:])
	if got != k {
		t.Errorf("Decode(Encode(k)) = %+v, want %+v", got, k)
	}
	if s := got.AddrA().String(); s != "10.0.0.1" {
		t.Errorf("AddrA() = %s, want 10.0.0.1", s)
	}
}

// TestHashQuality looks at what the users of the hash rely on: the worker
// (low word modulo N), table buckets and tags (both words) of keys that differ
// in few bits must spread like random ones, and one flipped key bit must change
// about half of the hash bits.
func TestHashQuality(t *testing.T) {
	seed := testSeed()
	const n = 1 << 16
	var workers [3]int
	buckets := make([]int, n)
	tags := make([]int, 1<<16)
	lows := make(map[uint64]bool, n)
	for i := range uint32(n) {
		k, _ := v4Key(0x0a000000|i>>8, 0xc0a80001, uint16(40000+i&0xff), 443)
		lo, hi := k.Hash(&seed)
		workers[lo%3]++
		buckets[hi%n]++
		tags[lo>>48]++
		lows[lo] = true
	}
	for w, c := range workers {
		if c < n/3-1000 || c > n/3+1000 {
			t.Errorf("worker %d got %d of %d keys", w, c, n)
		}
	}
	for name, h := range map[string][]int{"bucket": buckets, "tag": tags} {
		most := 0
		for _, c := range h {
			most = max(most, c)
		}
		if most > 12 { // Poisson(1): P(>12) over 65,536 cells is below 1e-5
			t.Errorf("fullest %s holds %d keys", name, most)
		}
	}
	if len(lows) != n {
		t.Errorf("%d of %d low words are distinct", len(lows), n)
	}
	flipped, trials := 0, 0
	base, _ := v4Key(0x0a000001, 0xc0a80102, 40000, 443)
	l0, h0 := base.Hash(&seed)
	for bit := range 32 * 8 {
		k := base
		if bit < 128 {
			k.A[bit/8] ^= 1 << (bit % 8)
		} else {
			k.B[(bit-128)/8] ^= 1 << (bit % 8)
		}
		l, h := k.Hash(&seed)
		flipped += bits.OnesCount64(l^l0) + bits.OnesCount64(h^h0)
		trials += 128
	}
	if share := float64(flipped) / float64(trials); share < 0.47 || share > 0.53 {
		t.Errorf("one flipped key bit changes %.3f of the hash bits, want about 0.5", share)
	}
}

func BenchmarkHash(b *testing.B) {
	seed := testSeed()
	k, _ := v4Key(0x0a000001, 0xc0a80102, 40000, 443)
	var sum uint64
	for b.Loop() {
		k.PortA++
		lo, hi := k.Hash(&seed)
		sum += lo ^ hi
	}
	_ = sum
}
