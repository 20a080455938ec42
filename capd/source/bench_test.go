package source

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
)

// benchFile writes a capture of n packets whose sizes are those of mixed traffic.
func benchFile(b *testing.B, n int) string {
	b.Helper()
	p := newPcapFile(le, magicMicro, 1)
	data := make([]byte, 1514)
	for i := range n {
		size := uint32([...]int{66, 66, 90, 1514, 66, 140, 590, 74}[i%8])
		p.packet(uint32(i), 0, size, size, data[:size])
	}
	path := filepath.Join(b.TempDir(), "bench.pcap")
	if err := os.WriteFile(path, p.b, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// ours walks the file with this package and returns how many packets it saw.
func ours(b *testing.B, path string) int {
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var fr Frame
	n, sum := 0, byte(0)
	for f.Next(&fr) == nil {
		n, sum = n+1, sum^fr.Data[0]
	}
	sink = sum
	return n
}

var sink byte

// theirs walks it with pcapgo, in its documented way.
func theirs(b *testing.B, path string) int {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	n, sum := 0, byte(0)
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			sink = sum
			return n
		}
		n, sum = n+1, sum^data[0]
	}
}

// BenchmarkFile reads one file with both readers in turn, so that the ratio
// holds on a noisy machine.
func BenchmarkFile(b *testing.B) {
	const packets = 200_000
	path := benchFile(b, packets)
	var us, them time.Duration
	for b.Loop() {
		t0 := time.Now()
		n := ours(b, path)
		t1 := time.Now()
		m := theirs(b, path)
		us, them = us+t1.Sub(t0), them+time.Since(t1)
		if n != packets || m != packets {
			b.Fatalf("read %d and %d packets, want %d", n, m, packets)
		}
	}
	all := float64(b.N) * packets
	b.ReportMetric(float64(us)/all, "ns/packet")
	b.ReportMetric(float64(them)/all, "pcapgo-ns/packet")
	b.ReportMetric(float64(them)/float64(us), "x-faster")
}

// BenchmarkWalk is the walk alone, the file being in memory.
func BenchmarkWalk(b *testing.B) {
	raw, err := os.ReadFile(benchFile(b, 100_000))
	if err != nil {
		b.Fatal(err)
	}
	var fr Frame
	for b.Loop() {
		f, err := New("bench", bytes.NewReader(raw))
		if err != nil {
			b.Fatal(err)
		}
		for f.Next(&fr) == nil {
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/100_000, "ns/packet")
}
