package source

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"
)

// BenchmarkNFQueue serves a queue through which small datagrams flow, with our own
// reading of the protocol and with go-nfqueue. An operation is one accepted packet.
// The sender keeps a window of packets on their way, so that none is lost and both
// get the same work. cpu-ns/packet is the CPU time of the process, user and system,
// with the sender and the forwarding in it; bypass is the same without a queue.
// To interleave them, run the benchmark several times with -count 1.
func BenchmarkNFQueue(b *testing.B) {
	b.Run("weir", func(b *testing.B) { benchQueue(b, serveOurs) })
	b.Run("go-nfqueue", func(b *testing.B) { benchQueue(b, serveReference) })
	b.Run("bypass", func(b *testing.B) { benchQueue(b, serveNobody) })
}

// benchServer takes a queue and returns what accepts n packets of it, which counts
// them in flow.
type benchServer func(b *testing.B, l *lab, flow *benchFlow, n uint64) func()

// benchFlow is a stream of datagrams with at most benchWindow on their way.
type benchFlow struct{ sent, accepted atomic.Uint64 }

const benchWindow = 512

func benchQueue(b *testing.B, serve benchServer) {
	l := newLab(b, 3, true)
	sink := l.udp(b, l.server, serverAddr+":5000", "")
	_ = sink.SetReadBuffer(4096) // nobody reads: what arrives is thrown away
	c := l.udp(b, l.client, clientAddr+":4000", serverAddr+":5000")
	var flow benchFlow
	run := serve(b, l, &flow, uint64(b.N))
	b.ResetTimer()
	before := processTime(b)
	done := make(chan struct{})
	go flow.send(c, uint64(b.N), done)
	run()
	b.StopTimer()
	<-done
	used := processTime(b) - before
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/packet")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e3, "kpps")
}

func (f *benchFlow) send(c *net.UDPConn, n uint64, done chan<- struct{}) {
	defer close(done)
	var payload [18]byte // 60 bytes on the wire
	for i := range n {
		for i-f.accepted.Load() >= benchWindow {
			time.Sleep(20 * time.Microsecond)
		}
		for _, err := c.Write(payload[:]); err != nil; _, err = c.Write(payload[:]) {
			runtime.Gosched() // refused for want of room
		}
		f.sent.Add(1)
	}
}

func serveOurs(b *testing.B, l *lab, flow *benchFlow, n uint64) func() {
	q := l.open(b, NFQueueConfig{Queue: 3, GSO: true, CopyRange: 2048, QueueLength: 2048})
	return func() {
		var f Frame
		for i := uint64(0); i < n; {
			switch err := q.Next(&f); {
			case err == nil:
				q.Verdict(f.ID, Verdict{Action: Accept, SetMark: true, Mark: testMark})
				i++
				flow.accepted.Store(i)
			case !errors.Is(err, ErrIdle):
				b.Error(err)
				return
			default:
				if err := q.Wait(10 * time.Millisecond); err != nil {
					b.Error(err)
					return
				}
			}
		}
		if err := q.Flush(); err != nil {
			b.Error(err)
		}
	}
}

func serveReference(b *testing.B, l *lab, flow *benchFlow, n uint64) func() {
	nfq, err := nfqueue.Open(&nfqueue.Config{
		NetNS: int(l.gateway), NfQueue: 3, MaxPacketLen: 2048, MaxQueueLen: 2048,
		Copymode: nfqueue.NfQnlCopyPacket, Flags: nfqueue.NfQaCfgFlagGSO,
	})
	if err != nil {
		b.Fatal(err)
	}
	_ = nfq.Con.SetReadBuffer(defaultSocketBuffer)
	ctx, stop := context.WithCancel(b.Context())
	b.Cleanup(func() {
		stop() // its goroutines end with it
		_ = nfq.Close()
	})
	finished := make(chan struct{})
	err = nfq.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int {
		_ = nfq.SetVerdictWithOption(*a.PacketID, nfqueue.NfAccept, nfqueue.WithMark(testMark))
		if flow.accepted.Add(1) == n {
			close(finished)
		}
		return 0
	}, func(error) int {
		if ctx.Err() != nil {
			return 1
		}
		return 0
	})
	if err != nil {
		b.Fatal(err)
	}
	return func() { <-finished }
}

func serveNobody(_ *testing.B, _ *lab, flow *benchFlow, n uint64) func() {
	return func() {
		for flow.accepted.Load() < n {
			time.Sleep(20 * time.Microsecond) // cheap beside the sender
			flow.accepted.Store(flow.sent.Load())
		}
	}
}

// processTime is the CPU time of all threads.
func processTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
