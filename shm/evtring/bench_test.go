package evtring

import (
	"errors"
	"fmt"
	"testing"
)

// BenchmarkEvent writes events in batches and reads them, on one thread.
func BenchmarkEvent(b *testing.B) {
	for _, size := range []int{100, 200, 1000} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("payload=%d/batch=%d", size, batch), func(b *testing.B) {
				cfg := testConfig(b)
				cfg.Capacity = 4 << 20
				p := openProducer(b, cfg)
				r := attach(b, cfg, "a")
				p.look(b)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					p.Reserve(1, 0, 0, 0, size)
					if i%batch != batch-1 {
						continue
					}
					p.Publish()
					for {
						if _, err := r.Next(); err != nil {
							if !errors.Is(err, ErrIdle) {
								b.Fatal(err)
							}
							break
						}
					}
					r.Commit()
				}
			})
		}
	}
}

// BenchmarkReserve is the producer alone.
func BenchmarkReserve(b *testing.B) {
	for _, size := range []int{100, 200, 1000} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			cfg := testConfig(b)
			cfg.Capacity = 4 << 20
			p := openProducer(b, cfg)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Reserve(1, 0, 0, 0, size)
				if i%32 == 31 {
					p.Publish()
				}
			}
		})
	}
}
