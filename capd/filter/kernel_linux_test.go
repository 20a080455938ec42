package filter

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/capd/source"
)

// TestInKernel sends frames over a pair of interfaces and captures them with programs
// that the kernel runs: where they arrive it took the tag out, where they are sent
// from the tag is in the frame. Both must be what the expression says.
func TestInKernel(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread() // for ever: the namespace dies with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("new network namespace: %v", err)
		}
		t.Skipf("needs root for a network namespace: %v", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, args := range []string{"link add near type veth peer name far", "link set near up", "link set far up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	send := sender(t, "far")
	var sent [][]byte
	for i, b := range frames() {
		if i%97 == 0 { // all kinds of heads, a sample of packets
			sent = append(sent, b)
		}
	}
	for _, expr := range []string{
		"vlan", "not vlan", "vlan 5", "vlan 7 and tcp", "vlan and vlan", "vlan 5 and vlan 9 and ip", "ip or (vlan and ip)",
		"vlan and ip host 192.0.2.1", "vlan and tcp[0:2] = 80", "arp or (vlan and not udp)",
	} {
		plain, err := compile(expr, LinkEthernet, 65535, false)
		if err != nil {
			t.Fatal(err)
		}
		vm := machine(t, plain)
		want := 0
		for _, b := range sent {
			if takes(t, vm, b) {
				want++
			}
		}
		in, out := open(t, "near", expr), open(t, "far", expr)
		for _, b := range sent {
			send(b)
		}
		if got := count(t, in, func(f *source.Frame) bool { return takes(t, vm, f.Data) }); got != want || want == 0 {
			t.Errorf("%q takes %d of %d received frames, want %d", expr, got, len(sent), want)
		}
		if got := count(t, out, func(f *source.Frame) bool { return takes(t, vm, f.Data) }); got != want {
			t.Errorf("%q takes %d of %d sent frames, want %d", expr, got, len(sent), want)
		}
		_, _ = in.Close(), out.Close()
	}
	for expr, want := range map[string][2]int{"inbound": {1, 0}, "outbound": {0, 1}, "inbound and ether src 02:00:00:00:00:02": {1, 0}} {
		in, out := open(t, "near", expr), open(t, "far", expr)
		send(sent[0])
		every := func(*source.Frame) bool { return true }
		if got := [2]int{count(t, in, every), count(t, out, every)}; got != want {
			t.Errorf("%q takes %v frames where they arrive and where they leave, want %v", expr, got, want)
		}
	}
}

// TestKernelTakes attaches every program to a socket: the kernel checks it first.
func TestKernelTakes(t *testing.T) {
	t.Parallel()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	for _, expr := range lines(t, expressions) {
		code, err := Compile(expr, LinkEthernet, 65535)
		if err != nil {
			t.Fatal(err)
		}
		prog := make([]unix.SockFilter, len(code))
		for i, in := range code {
			prog[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
		}
		p := &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, p); err != nil {
			t.Errorf("the kernel refuses the program of %q: %v", expr, err)
		}
	}
}

func open(t *testing.T, name, expr string) *source.TPacket {
	t.Helper()
	code, err := Compile(expr, LinkEthernet, 65535)
	if err != nil {
		t.Fatal(err)
	}
	s, err := source.OpenTPacket(source.TPacketConfig{Interface: name, Filter: code, BlockSize: 256 << 10, Blocks: 4})
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// count reads until no more come, and counts those that should have come.
func count(t *testing.T, s *source.TPacket, ok func(*source.Frame) bool) (n int) {
	t.Helper()
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		var f source.Frame
		err := s.Next(&f)
		switch {
		case err == nil && ok(&f):
			n++
		case err == nil:
			t.Errorf("the kernel took %x", f.Data)
		case !errors.Is(err, source.ErrIdle):
			t.Fatal(err)
		default:
			if err := s.Wait(20 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

// sender returns what sends frames out of an interface.
func sender(t *testing.T, name string) func(frame []byte) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return func(frame []byte) {
		t.Helper()
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
			t.Fatal(err)
		}
	}
}
