package conntrack

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// listen opens a Listener in n and lets it run until the function that it returns is called.
func listen(t *testing.T, n namespace, log *slog.Logger, buffer int) (l *Listener, run func() (stop func())) {
	t.Helper()
	var raw [flowkey.SeedSize]byte
	copy(raw[:], "a seed for tests, of no importance")
	seed := flowkey.ParseSeed(&raw)
	n.do(t, func() (err error) {
		CountPackets(log, "no totals")
		l, err = Listen(Config{
			Threads: 1, Seed: &seed, Table: make([]byte, TableSize(4096)), Interval: 100 * time.Millisecond, SocketBuffer: buffer,
			Now: func() uint64 { return uint64(time.Now().UnixNano()) }, Log: log,
			Idle: Idle{time.Hour, time.Hour, time.Hour, time.Hour},
		})
		return err
	})
	t.Cleanup(func() { _ = l.Close() })
	return l, func() func() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run() = %v", err)
			}
		}
	}
}

// sight tells of a flow of this machine to itself.
func sight(l *Listener, proto uint8, sport, dport uint16) (hash uint64) {
	local := netip.MustParseAddr("127.0.0.1").As16()
	s := Sighting{TS: uint64(time.Now().UnixNano())}
	s.Key = flowkey.Key{Proto: proto, Version: 4}
	s.Key.Set(&local, &local, sport, dport)
	s.HashLo, s.HashHi = s.Key.Hash(l.cfg.Seed)
	l.Port(0).Saw(&s)
	return s.HashHi
}

// await takes notices until a condition holds.
func await(t *testing.T, l *Listener, what string, enough func(*Notice) bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var n Notice
	for {
		for l.Port(0).Take(&n) {
			if enough(&n) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s; counters %v %v", what, CounterNames, l.Counters())
		}
		time.Sleep(time.Millisecond)
	}
}

// TestKernelConnection: the totals of a connection are what both sides sent, its end is
// told with them, and accounting was switched on with a line in the log.
func TestKernelConnection(t *testing.T) {
	t.Parallel()
	n := host(t)
	n.sh(t, "echo 0 > /proc/sys/net/netfilter/nf_conntrack_acct; echo 0 > /proc/sys/net/netfilter/nf_conntrack_events")
	var lines strings.Builder
	l, run := listen(t, n, slog.New(slog.NewTextHandler(&lines, nil)), 1<<20)
	for _, want := range []string{"switched on net.netfilter.nf_conntrack_acct", "switched on net.netfilter.nf_conntrack_events"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("log %q, want in it %q", lines.String(), want)
		}
	}
	defer run()()
	var server net.Listener
	n.do(t, func() (err error) { server, err = net.Listen("tcp4", "127.0.0.1:0"); return err })
	defer func() { _ = server.Close() }()
	_, port, _ := net.SplitHostPort(server.Addr().String())
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		_, _ = c.Write(make([]byte, 5000)) // the totals show what became of it
		_, _ = c.Read(make([]byte, 1))     // until the other side closes
		_ = c.Close()
	}()
	var client net.Conn
	n.do(t, func() error {
		// A flow is met before its connection is known: its packet waits in a queue.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 39999}}
		var p uint16
		_, _ = fmt.Sscan(port, &p)
		sight(l, protoTCP, 39999, p)
		var err error
		client, err = d.Dial("tcp4", server.Addr().String())
		return err
	})
	if _, err := client.Read(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	await(t, l, "totals", func(n *Notice) bool {
		a := &n.Account
		return a.Flags&pkt.AccountCounted != 0 && max(a.BytesA, a.BytesB) > 5000 && a.ID != 0
	})
	_ = client.Close()
	await(t, l, "the end, with totals", func(n *Notice) bool {
		a := &n.Account
		return a.Flags == pkt.AccountCounted|pkt.AccountFIN && a.PacketsA > 2 && a.PacketsB > 2
	})
}

// TestKernelLost: where events were lost, dumps tell of connections and of their ends.
func TestKernelLost(t *testing.T) {
	t.Parallel()
	n := host(t)
	l, run := listen(t, n, slog.New(slog.DiscardHandler), 4096)
	const all, met = 3000, 50
	var conn *net.UDPConn
	n.do(t, func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		return err
	})
	defer func() { _ = conn.Close() }()
	port := uint16(conn.LocalAddr().(*net.UDPAddr).Port)
	want := map[uint64]bool{}
	for i := range all {
		to := uint16(1000 + i)
		if to == port {
			continue
		}
		if i >= all-met {
			want[sight(l, protoUDP, port, to)] = true
		}
		_, _ = conn.WriteToUDP([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(to)}) // nobody listens: refused
	}
	stop := run()
	left := len(want)
	await(t, l, "all that was met", func(n *Notice) bool {
		if want[n.HashHi] && n.Account.Flags == pkt.AccountCounted && n.Account.PacketsA+n.Account.PacketsB == 1 {
			want[n.HashHi] = false
			left--
		}
		return left == 0
	})
	stop()
	if l.count.overruns.Load() == 0 {
		t.Fatal("no event was lost: the test shows nothing")
	}
	flush(t, n)
	before := l.count.overruns.Load()
	defer run()()
	left = len(want)
	await(t, l, "all ends", func(n *Notice) bool {
		if _, ours := want[n.HashHi]; ours && n.Account.Flags&pkt.AccountOver != 0 {
			delete(want, n.HashHi)
			left--
		}
		return left == 0
	})
	if l.count.overruns.Load() == before {
		t.Error("no end was lost: the test shows nothing")
	}
}

// flush removes all connections.
func flush(t *testing.T, n namespace) {
	t.Helper()
	n.do(t, func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		r := request(nil, unix.AF_UNSPEC, 1)
		binary.NativeEndian.PutUint16(r[4:], msgDelete)
		binary.NativeEndian.PutUint16(r[6:], flagRequest)
		return unix.Sendto(fd, r, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
}
