package source

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"

	"weir/proto/pkt"
)

// collect takes n packets from the queue and gives each to decide.
func collect(t *testing.T, q *NFQueue, n int, decide func(i int, f *Frame)) {
	t.Helper()
	var f Frame
	deadline := time.Now().Add(10 * time.Second)
	for i := 0; i < n; {
		err := q.Next(&f)
		switch {
		case errors.Is(err, ErrIdle):
			if time.Now().After(deadline) {
				t.Fatalf("%d packets came, want %d", i, n)
			}
			if err := q.Wait(100 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
		case err != nil:
			t.Fatal(err)
		default:
			decide(i, &f)
			i++
		}
	}
	if err := q.Flush(); err != nil {
		t.Fatal(err)
	}
}

// arrivals reads datagrams until none has come for a while, at least want of them.
func arrivals(t *testing.T, c *net.UDPConn, want int) string {
	t.Helper()
	var got []byte
	b := make([]byte, 2048)
	for {
		wait := 10 * time.Second
		if len(got) >= want {
			wait = 100 * time.Millisecond // time for one too many
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return string(got)
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n][0])
	}
}

func send(t *testing.T, c *net.UDPConn, text string) {
	t.Helper()
	for _, r := range []byte(text) {
		if _, err := c.Write([]byte{r}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNFQueueVerdicts(t *testing.T) {
	l := newLab(t, 7, false)
	q := l.open(t, NFQueueConfig{Queue: 7, GSO: true, Conntrack: true, Interface: func(i uint32) uint16 { return uint16(i) + 100 }})
	server := l.udp(t, l.server, serverAddr+":5000", "")
	client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")

	send(t, client, "abcd")
	collect(t, q, 4, func(i int, f *Frame) {
		if len(f.Data) != 29 || f.WireLen != 29 || f.Data[28] != "abcd"[i] || f.Link != 101 || f.Queue != 7 || f.Flags != pkt.FlagNFQ || f.ID != uint32(i+1) {
			t.Errorf("frame %d is %+v", i, *f)
		}
		if f.If == f.Out || f.If <= 100 || f.Out <= 100 {
			t.Errorf("frame %d is from %d to %d, want two of ours", i, f.If, f.Out)
		}
		if d := time.Since(time.Unix(0, int64(f.TS))); d < 0 || d > time.Minute {
			t.Errorf("frame %d came %v ago", i, d)
		}
		if m := q.Meta(); m.Protocol != 0x800 || m.HWLen != 6 || m.Family != unix.AF_INET || m.Hook != 2 {
			t.Errorf("frame %d has %+v", i, *m)
		}
		v := Verdict{Action: Accept}
		switch i {
		case 1:
			v.Action = Drop
		case 2:
			v.Mark, v.SetMark = testMark, true
		}
		q.Verdict(f.ID, v)
	})
	if got := arrivals(t, server, 3); got != "acd" {
		t.Errorf("a, b (dropped), c, d: the server got %q", got)
	}
	if got := l.marked(t); got != 1 {
		t.Errorf("%d packets have the mark, want 1", got)
	}

	send(t, client, "efgh")
	collect(t, q, 4, func(i int, f *Frame) {
		if i == 2 {
			q.VerdictUpTo(f.ID, Verdict{Action: Accept, SetMark: true, Mark: testMark})
		} else if i == 3 {
			q.VerdictUpTo(f.ID, Verdict{Action: Drop})
		}
	})
	if got := arrivals(t, server, 3); got != "efg" {
		t.Errorf("e to g accepted at once, then h dropped: the server got %q", got)
	}
	if got := l.marked(t); got != 4 {
		t.Errorf("%d packets have the mark, want 4", got)
	}

	// A packet that goes through the hook again keeps the mark.
	send(t, client, "r")
	collect(t, q, 2, func(i int, f *Frame) {
		if want := uint32(i * 77); f.Mark != want {
			t.Errorf("mark at pass %d = %d, want %d", i, f.Mark, want)
		}
		q.Verdict(f.ID, Verdict{Action: []Action{Repeat, Accept}[i], SetMark: i == 0, Mark: 77})
		if err := q.Flush(); err != nil {
			t.Fatal(err)
		}
	})
	if got := arrivals(t, server, 1); got != "r" {
		t.Errorf("the server got %q, want r", got)
	}

	q.Verdict(9999, Verdict{})
	if err := q.Wait(0); err != nil {
		t.Fatal(err)
	}
	if err := q.Next(&Frame{}); !errors.Is(err, ErrIdle) {
		t.Errorf("Next = %v, want ErrIdle", err)
	}
	s := q.QueueStats()
	want := NFQueueStats{Received: 10, Refused: 1}
	if s != want {
		t.Errorf("QueueStats = %+v, want %+v", s, want)
	}
	if got := q.Stats(); got != (Stats{Received: 10}) {
		t.Errorf("Stats = %+v", got)
	}
	if !q.Capabilities.GSO || !q.Capabilities.Counters {
		t.Errorf("capabilities are %+v", q.Capabilities)
	}
	if q.Capabilities.Conntrack != (len(q.Capabilities.Missing(&q.cfg)) == 0) {
		t.Errorf("%+v misses %q", q.Capabilities, q.Capabilities.Missing(&q.cfg))
	}
}

// TestNFQueueStalled lets a consumer stand still until queue and socket are full.
func TestNFQueueStalled(t *testing.T) {
	const room, sent = 4, 12
	text := "abcdefghijkl"
	for _, failOpen := range []bool{false, true} {
		l := newLab(t, 3, false)
		q := l.open(t, NFQueueConfig{Queue: 3, FailOpen: failOpen, QueueLength: room})
		server := l.udp(t, l.server, serverAddr+":5000", "")
		client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")
		send(t, client, text)
		passed := ""
		if failOpen {
			passed = text[room:]
		}
		if got := arrivals(t, server, len(passed)); got != passed {
			t.Errorf("fail-open %t: passed while stalled: %q, want %q", failOpen, got, passed)
		}
		if s := q.QueueStats(); s.Waiting != room {
			t.Errorf("fail-open %t: %d packets wait, want %d", failOpen, s.Waiting, room)
		}
		if err := q.Release(Verdict{Action: Accept}); err != nil {
			t.Fatal(err)
		}
		if got := arrivals(t, server, room); got != text[:room] {
			t.Errorf("fail-open %t: released: %q, want %q", failOpen, got, text[:room])
		}
		dropped := uint64(sent - room - len(passed))
		if !failOpen && q.stats.QueueFull != dropped {
			t.Errorf("QueueFull = %d, want %d", q.stats.QueueFull, dropped)
		}
	}
}

// TestNFQueueOverrun lets the socket overflow: it is counted, and the rest goes on.
func TestNFQueueOverrun(t *testing.T) {
	l := newLab(t, 3, false)
	q := l.open(t, NFQueueConfig{Queue: 3, SocketBuffer: 4096})
	server := l.udp(t, l.server, serverAddr+":5000", "")
	client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")
	const sent = 200
	send(t, client, strings.Repeat("x", sent))
	var f Frame
	got := 0
	for range 3 { // the overrun is an error of its own before or after the packets
		for q.Next(&f) == nil {
			q.Verdict(f.ID, Verdict{Action: Accept})
			got++
		}
	}
	s := q.QueueStats()
	if s.Overruns == 0 || s.SocketFull == 0 || uint64(got)+s.SocketFull != sent || s.Received != uint64(got) {
		t.Errorf("%d packets came, %+v; want all %d in one counter", got, s, sent)
	}
	if q.Stats().Dropped != s.SocketFull || q.Stats().Freezes != s.Overruns {
		t.Errorf("Stats = %+v of %+v", q.Stats(), s)
	}
	if n := len(arrivals(t, server, got)); n != got {
		t.Errorf("the server got %d, want %d", n, got)
	}
	send(t, client, "z")
	collect(t, q, 1, func(_ int, f *Frame) { q.Verdict(f.ID, Verdict{Action: Accept}) })
	if got := arrivals(t, server, 1); got != "z" {
		t.Errorf("after the overrun the server got %q, want z", got)
	}
	if s := q.QueueStats(); s.Missed != s.SocketFull {
		t.Errorf("Missed = %d, want %d: the numbers that never came", s.Missed, s.SocketFull)
	}
}

func TestNFQueueTaken(t *testing.T) {
	l := newLab(t, 3, true)
	q := l.open(t, NFQueueConfig{Queue: 3})
	var err error
	l.gateway.Inside(t, func() { _, err = OpenNFQueue(NFQueueConfig{Queue: 3}) })
	var qe *QueueError
	if !errors.Is(err, ErrQueueTaken) || !errors.As(err, &qe) || qe.Queue != 3 {
		t.Errorf("second open = %v, want ErrQueueTaken", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Next(&Frame{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next after Close = %v, want os.ErrClosed", err)
	}
	l.open(t, NFQueueConfig{Queue: 3}) // given back
}

func TestNFQueueRights(t *testing.T) {
	l := newLab(t, 3, true)
	var err error
	l.gateway.Inside(t, func() {
		// Capabilities are those of the thread, which ends with f.
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if e := unix.Capset(&hdr, &none[0]); e != nil {
			t.Fatal(e)
		}
		_, err = OpenNFQueue(NFQueueConfig{Queue: 3})
	})
	if !errors.Is(err, ErrQueueRights) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("open without rights = %v, want ErrQueueRights", err)
	}
}

// TestNFQueueBypass ends the consumer while packets flow: what it held is lost, and
// what comes later goes through.
func TestNFQueueBypass(t *testing.T) {
	l := newLab(t, 3, true)
	q := l.open(t, NFQueueConfig{Queue: 3})
	server := l.udp(t, l.server, serverAddr+":5000", "")
	client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")
	send(t, client, "held")
	collect(t, q, 4, func(int, *Frame) {})
	_ = q.Close() // as the kernel does it for a killed process
	send(t, client, "free")
	if got := arrivals(t, server, 4); got != "free" {
		t.Errorf("the server got %q, want free", got)
	}
}

// TestNFQueueReference serves the queue with go-nfqueue and compares what it and we
// make of the same traffic.
func TestNFQueueReference(t *testing.T) {
	type view struct {
		data     string
		mark     uint32
		in, out  uint32
		protocol uint16
		hook     uint8
	}
	var ours, theirs []view
	l := newLab(t, 3, false)
	server := l.udp(t, l.server, serverAddr+":5000", "")
	client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")
	const text = "abcdef"

	q := l.open(t, NFQueueConfig{Queue: 3})
	send(t, client, text)
	collect(t, q, len(text), func(_ int, f *Frame) {
		ours = append(ours, view{string(f.Data[20:]), f.Mark, uint32(f.If), uint32(f.Out), q.Meta().Protocol, q.Meta().Hook})
		q.Verdict(f.ID, Verdict{Action: Accept})
	})
	arrivals(t, server, len(text))
	_ = q.Close()

	nfq, err := nfqueue.Open(&nfqueue.Config{NetNS: int(l.gateway), NfQueue: 3, MaxPacketLen: 0xffff, MaxQueueLen: 1024, Copymode: nfqueue.NfQnlCopyPacket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer func() {
		cancel() // it waits for its goroutines
		_ = nfq.Close()
	}()
	got := make(chan view, len(text))
	err = nfq.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int {
		v := view{data: string((*a.Payload)[20:]), in: *a.InDev, out: *a.OutDev, protocol: *a.HwProtocol, hook: *a.Hook}
		if a.Mark != nil {
			v.mark = *a.Mark
		}
		_ = nfq.SetVerdict(*a.PacketID, nfqueue.NfAccept)
		got <- v
		return 0
	}, func(error) int {
		if ctx.Err() != nil {
			return 1
		}
		return 0
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, client, text)
	arrivals(t, server, len(text))
	for range text {
		theirs = append(theirs, <-got)
	}
	for i := range ours {
		if ours[i] != theirs[i] {
			t.Errorf("packet %d: ours %+v, of go-nfqueue %+v", i, ours[i], theirs[i])
		}
	}
}

// TestNFQueueNoAllocs takes and accepts packets.
func TestNFQueueNoAllocs(t *testing.T) {
	l := newLab(t, 3, false)
	q := l.open(t, NFQueueConfig{Queue: 3})
	l.udp(t, l.server, serverAddr+":5000", "")
	client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")
	const sent = 300
	send(t, client, strings.Repeat("x", sent))
	var f Frame
	n := 0
	got := testing.AllocsPerRun(2, func() {
		for range sent / 3 {
			if q.Next(&f) == nil {
				q.Verdict(f.ID, Verdict{Action: Accept, SetMark: true, Mark: testMark})
				n++
			}
		}
		if q.Flush() != nil || q.Wait(0) != nil {
			n = -1
		}
		q.QueueStats()
	})
	if n != sent || got != 0 {
		t.Errorf("%v allocations for a third of %d packets, want 0 of %d", got, n, sent)
	}
}

// TestNFQueueTraffic opens and releases a queue over and over while packets flow:
// some stand before the kernel's answers.
func TestNFQueueTraffic(t *testing.T) {
	l := newLab(t, 3, true)
	client := l.udp(t, l.client, clientAddr+":4000", serverAddr+":5000")
	l.udp(t, l.server, serverAddr+":5000", "")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = client.Write([]byte("x")) // the server may be full
		}
	}()
	l.gateway.Inside(t, func() {
		var f Frame
		for i := range 50 {
			q, err := OpenNFQueue(NFQueueConfig{Queue: 3})
			if err != nil {
				t.Fatalf("open %d under traffic: %v", i, err)
			}
			for got := 0; got < 100; {
				if err := q.Next(&f); err == nil {
					q.Verdict(f.ID, Verdict{Action: Accept})
					got++
				} else if !errors.Is(err, ErrIdle) || q.Wait(time.Second) != nil {
					t.Fatal(err)
				}
			}
			if err := q.Release(Verdict{Action: Accept}); err != nil {
				t.Errorf("release %d: %v", i, err)
			}
			if err := q.Close(); err != nil {
				t.Errorf("close %d: %v", i, err)
			}
		}
	})
	cancel()
	<-done
}
