package main

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// sum is the Internet checksum of b, RFC 1071.
func sum(b []byte) uint16 {
	s := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// TestPatch: a checksum that is patched is the one that is computed anew.
func TestPatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		b := make([]byte, 22) // the last two are the checksum
		for i := range b[:20] {
			b[i] = byte(r.Uint32())
		}
		binary.BigEndian.PutUint16(b[20:], sum(b[:20]))
		old, now := binary.BigEndian.Uint32(b[8:]), r.Uint32()
		binary.BigEndian.PutUint32(b[8:], now)
		patch(b[20:22], old, now)
		if got := sum(b); got != 0 {
			t.Fatalf("checksum over all after a patch = %#x, want 0", got)
		}
	}
}

// TestRewrite: both directions of a flow get the same new addresses, other copies
// others, and what is not a client's stays.
func TestRewrite(t *testing.T) {
	frame := func(fromServer bool) []byte { return frameOf(7, fromServer, 6, 16, 1, 1, []byte("data")) }
	one, again, answer, other := frame(false), frame(false), frame(true), frame(false)
	rewriter{3, 1}.frame(one)
	rewriter{3, 1}.frame(again)
	rewriter{3, 1}.frame(answer)
	rewriter{3, 2}.frame(other)
	client := string(one[26:30])
	if client != string(again[26:30]) || client != string(answer[30:34]) {
		t.Errorf("client % x, again % x, in the answer % x, want the same", client, again[26:30], answer[30:34])
	}
	if before := frame(false); client == string(before[26:30]) || client == string(other[26:30]) {
		t.Errorf("client % x: before % x, in another copy % x, want all different", client, before[26:30], other[26:30])
	}
	if before := frame(false); string(one[30:34]) != string(before[30:34]) {
		t.Errorf("server % x, want % x as before", one[30:34], before[30:34])
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		r    row
		want string
	}{
		{row{}, "not measured"},
		{row{ratio: 3}, "-"},
		{row{ratio: 3, want: 2}, "pass"},
		{row{ratio: 2, want: 2}, "pass"},
		{row{ratio: 1.9, want: 2}, "short"},
		{row{ratio: 3, want: 2, atMost: true}, "short"},
		{row{ratio: 2, want: 2, atMost: true}, "pass"},
		{row{ratio: 1, want: 2, atMost: true}, "pass"},
		{row{ratio: 9, want: 2, mix: true}, "void"},
		{row{mix: true}, "not measured"},
	} {
		if got := tt.r.verdict(true); got != tt.want {
			t.Errorf("verdict of ratio %v, target %v, at most %v = %q, want %q", tt.r.ratio, tt.r.want, tt.r.atMost, got, tt.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{4}, 4}, {[]float64{9, 1, 5}, 5}} {
		if got := median(tt.v); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.v, got, tt.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := metrics("goos: linux\nBenchmarkHostRatio-2 \t 3\t 22.00 B/name\t 457.2 ns/map\t 1.98 x\nPASS\n")
	if m["ns/map"] != 457.2 || m["B/name"] != 22 || m["x"] != 1.98 {
		t.Errorf("metrics = %v", m)
	}
}

func TestSampleBytes(t *testing.T) {
	if b, err := sampleBytes("0102 00*3 ff"); err != nil || string(b) != "\x01\x02\x00\x00\x00\xff" {
		t.Errorf("sampleBytes = % x, %v, want 01 02 00 00 00 ff", b, err)
	}
	if _, err := sampleBytes("xyz"); err == nil {
		t.Error("sampleBytes of no hexadecimal = no error")
	}
}

func TestPss(t *testing.T) {
	const smaps = `7f01-7f02 rw-s 00000000 00:1a 77 /dev/shm/weir/pkt/c00-w00.ring
Size:               8192 kB
Pss:                  20 kB
Pss_Dirty:            20 kB
VmFlags: rd wr sh
c000000000-c000400000 rw-p 00000000 00:00 0
Pss:                   3 kB
`
	if all, rings, err := pss([]byte(smaps)); all != 23<<10 || rings != 20<<10 || err != nil {
		t.Errorf("pss = %d, %d, %v, want %d, %d", all, rings, err, 23<<10, 20<<10)
	}
}

// TestBlastFrames: each is of another flow, whole and of the smallest length.
func TestBlastFrames(t *testing.T) {
	seen := map[string]bool{}
	frames := blastFrames(4096)
	for _, f := range frames {
		ports := string(f[34:38])
		seen[string(f[26:34])+ports] = true
		if len(f) != 60 || int(binary.BigEndian.Uint16(f[16:]))+14 != len(f) || int(binary.BigEndian.Uint16(f[38:]))+34 != len(f) {
			t.Fatalf("frame of %d bytes, IP %d, UDP %d", len(f), binary.BigEndian.Uint16(f[16:]), binary.BigEndian.Uint16(f[38:]))
		}
	}
	if len(frames) != 4096 || len(seen) != len(frames) {
		t.Errorf("%d frames of %d flows, want 4096 of each", len(frames), len(seen))
	}
}
