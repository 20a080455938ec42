package pktring

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkRing moves packets from one thread to another: copied in, seen in
// place, every byte of the descriptor and the first of the frame read.
func BenchmarkRing(b *testing.B) {
	for _, size := range []int{64, 128, 512, 1500, 9000} {
		for _, batch := range []int{1, 32, 64} {
			b.Run(fmt.Sprintf("frame=%d/batch=%d", size, batch), func(b *testing.B) {
				p, c := openPair(b, Config{Descriptors: 16384, PayloadBytes: 8 << 20})
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				done := make(chan uint64)
				go func() { done <- consume(c, b.N, batch) }()
				produce(p, b.N, size, batch)
				<-done
			})
		}
	}
}

func produce(p *Producer, n, size, batch int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var desc [DescSize]byte
	var prefix [PrefixSize]byte
	frame := make([]byte, size)
	for i := 0; i < n; i++ {
		for !p.Put(desc[:], prefix[:], frame) {
			p.WaitSpace(time.Second)
		}
		if i%batch == batch-1 {
			p.Publish()
		}
	}
	p.Publish()
}

func consume(c *Consumer, n, batch int) (sum uint64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for got := 0; got < n; {
		run := c.Peek(batch)
		if len(run) == 0 {
			c.Wait(Spin, time.Second)
			continue
		}
		k := len(run) / DescSize
		for ; len(run) != 0; run = run[DescSize:] {
			sum += le.Uint64(run) + uint64(c.Payload(run)[PrefixSize])
		}
		c.Release(k)
		got += k
	}
	return sum
}

// BenchmarkPut is the producer alone, the consumer's work done between batches.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{64, 512, 1500} {
		b.Run(fmt.Sprintf("frame=%d", size), func(b *testing.B) {
			p, c := openPair(b, Config{Descriptors: 4096, PayloadBytes: 8 << 20})
			var desc [DescSize]byte
			var prefix [PrefixSize]byte
			frame := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if !p.Put(desc[:], prefix[:], frame) {
					b.Fatal("full")
				}
				if i%32 == 31 {
					p.Publish()
					for {
						run := c.Peek(64)
						if len(run) == 0 {
							break
						}
						c.Release(len(run) / DescSize)
					}
				}
			}
		})
	}
}
