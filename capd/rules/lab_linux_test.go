package rules

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nfqueue "github.com/florianl/go-nfqueue/v2"

	"weir/capd/internal/netlab"
	"weir/proto/mark"
)

// lab is a gateway between a client and a server, in namespaces of their own. The
// test itself runs in the gateway's: its thread is never given back, and dies with
// the test.
type lab struct {
	client, server *space
}

// space is a namespace in which sockets can be made.
type space struct {
	name string
	file *os.File
}

var labs atomic.Int32

// Addresses of the lab. The gateway has .1 of the client's network.
const (
	client4, gateway4, server4 = "10.1.0.2", "10.1.0.1", "10.2.0.2"
	client6, gateway6, server6 = "fd01::2", "fd01::1", "fd02::2"
)

// alone moves the test to a namespace of its own.
func alone(t *testing.T) {
	t.Helper()
	netlab.Alone(t)
	for _, p := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// newLab makes a gateway that routes; with bridge one that bridges both sides.
func newLab(t *testing.T, bridged bool) *lab {
	t.Helper()
	alone(t)
	n := fmt.Sprintf("weir-rules-%d-%d", os.Getpid(), labs.Add(1))
	l := &lab{newSpace(t, n+"c"), newSpace(t, n+"s")}
	run(t, "", "ip link set lo up")
	for _, s := range []struct {
		*space
		dev, a4, a6, g4, g6 string
	}{
		{l.client, "c0", client4, client6, gateway4, gateway6},
		{l.server, "s0", server4, server6, "10.2.0.1", "fd02::1"},
	} {
		run(t, "", "ip link add "+s.dev+" type veth peer name eth0 netns "+s.name)
		run(t, "", "ip link set "+s.dev+" up")
		run(t, s.name, "ip link set lo up")
		run(t, s.name, "ip link set eth0 up")
		if bridged {
			run(t, s.name, "ip addr add "+s.a4+"/8 dev eth0")
			run(t, s.name, "ip addr add "+s.a6+"/8 dev eth0 nodad")
			continue
		}
		run(t, "", "ip addr add "+s.g4+"/24 dev "+s.dev)
		run(t, "", "ip addr add "+s.g6+"/64 dev "+s.dev+" nodad")
		run(t, s.name, "ip addr add "+s.a4+"/24 dev eth0")
		run(t, s.name, "ip addr add "+s.a6+"/64 dev eth0 nodad")
		run(t, s.name, "ip route add default via "+s.g4)
		run(t, s.name, "ip route add default via "+s.g6)
	}
	if bridged {
		run(t, "", "ip link add br0 type bridge forward_delay 0")
		run(t, "", "ip link set c0 master br0")
		run(t, "", "ip link set s0 master br0")
		run(t, "", "ip link set br0 up")
		return l
	}
	sysctl(t, "net/ipv4/ip_forward", "1")
	sysctl(t, "net/ipv6/conf/all/forwarding", "1")
	return l
}

func newSpace(t *testing.T, name string) *space {
	t.Helper()
	run(t, "", "ip netns add "+name)
	t.Cleanup(func() { run(t, "", "ip netns del "+name) })
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &space{name, f}
}

// do runs f on a thread that is in the namespace. Sockets made there stay there.
func (s *space) do(t *testing.T, f func()) {
	t.Helper()
	netlab.Namespace(s.file.Fd()).Inside(t, f)
}

// run runs a command in a namespace, "" for the test's own, and returns its output.
func run(t *testing.T, space, command string) string {
	t.Helper()
	args := strings.Fields(command)
	if space != "" {
		args = append([]string{"ip", "netns", "exec", space}, args...)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

func nft(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s\n%s", err, out, script)
	}
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// install plans and installs; the rules go with the namespace.
func install(t *testing.T, edit func(*Config)) *Ruleset {
	t.Helper()
	r, err := Plan(testConfig(edit))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Install(logTo(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

func testConfig(edit func(*Config)) Config {
	cfg := Config{Instance: "test", Mode: Forward, First: 7, Count: 1, MarkMask: mark.DefaultMask}
	if edit != nil {
		edit(&cfg)
	}
	return cfg
}

func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// consumer answers a queue as capd does, and remembers what came.
type consumer struct {
	mu      sync.Mutex
	marks   []uint32 // packet marks of what was queued
	since   int      // how many of them came before restart
	stop    func()   // ends it; the queue has no listener then
	verdict func(n int, a nfqueue.Attribute) (verdict int, bits uint32)
}

// consume opens a queue in the namespace of the calling thread.
func consume(t *testing.T, queue uint16, verdict func(n int, a nfqueue.Attribute) (int, uint32)) *consumer {
	t.Helper()
	layout, err := mark.New(mark.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	c := &consumer{verdict: verdict}
	nf, err := nfqueue.Open(&nfqueue.Config{NfQueue: queue, MaxPacketLen: 0xffff, MaxQueueLen: 1024, Copymode: nfqueue.NfQnlCopyPacket, WriteTimeout: time.Second, Flags: nfqueue.NfQaCfgFlagGSO})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = sync.OnceFunc(func() { cancel(); _ = nf.Close() })
	t.Cleanup(c.stop)
	err = nf.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int {
		c.mu.Lock()
		defer c.mu.Unlock()
		var old uint32
		if a.Mark != nil {
			old = *a.Mark
		}
		c.marks = append(c.marks, old)
		v, bits := c.verdict(len(c.marks)-c.since, a)
		if err := nf.SetVerdictWithOption(*a.PacketID, v, nfqueue.WithMark(layout.Merge(old, bits))); err != nil && ctx.Err() == nil {
			t.Errorf("verdict: %v", err)
		}
		return 0
	}, func(err error) int {
		if ctx.Err() != nil {
			return 1
		}
		t.Errorf("queue %d: %v", queue, err)
		return 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *consumer) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.marks)
}

// restart counts packets from 1 again for verdicts.
func (c *consumer) restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = len(c.marks)
}

// after gives bits with the nth packet and later ones.
func after(n int, bits uint32) func(int, nfqueue.Attribute) (int, uint32) {
	return func(i int, _ nfqueue.Attribute) (int, uint32) {
		if i < n {
			return nfqueue.NfAccept, 0
		}
		return nfqueue.NfAccept, bits
	}
}

// serve accepts TCP connections on port 80 of every address of a space, and sends
// back what it reads until the other side closes.
func (s *space) serve(t *testing.T) {
	t.Helper()
	s.do(t, func() { listen(t) })
}

func listen(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// dial connects to port 80 of an address from a space.
func (s *space) dial(t *testing.T, address string) (c net.Conn, err error) {
	t.Helper()
	s.do(t, func() { c, err = net.DialTimeout("tcp", net.JoinHostPort(address, "80"), 3*time.Second) })
	if c != nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// echo sends n bytes and reads them back.
func echo(c net.Conn, n int) error {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	want := bytes.Repeat([]byte("0123456789abcdef"), (n+15)/16)[:n]
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- err
	}()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes came back changed", n)
	}
	return <-sent
}

// exchange connects and echoes.
func (s *space) exchange(t *testing.T, address string, n int) error {
	t.Helper()
	c, err := s.dial(t, address)
	if err != nil {
		return err
	}
	return echo(c, n)
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// self is the namespace of the calling thread.
func self(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// ftp speaks as much FTP as the helper needs to expect a connection to port 80 of
// the server, and makes that connection.
func (l *lab) ftp(t *testing.T) error {
	t.Helper()
	l.server.serve(t)
	l.server.do(t, func() {
		control, err := net.Listen("tcp", ":21")
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = control.Close() })
		go func() {
			c, err := control.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "220 ready\r\n") // the helper reads from the second line on
			_, _ = c.Read(make([]byte, 64))
			_, _ = io.WriteString(c, "227 Entering Passive Mode (10,2,0,2,0,80).\r\n")
			_, _ = c.Read(make([]byte, 64)) // until the client goes
		}()
	})
	var c net.Conn
	var err error
	l.client.do(t, func() { c, err = net.DialTimeout("tcp", server4+":21", 3*time.Second) })
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 64)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "PASV\r\n"); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 64)); err != nil {
		return err
	}
	return l.client.exchange(t, server4, 1000)
}

// serverPort returns the lower port of a TCP segment over IPv4.
func serverPort(b []byte) uint16 {
	b = b[int(b[0]&15)*4:]
	return min(binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
}
