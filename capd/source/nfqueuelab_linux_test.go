package source

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

const (
	clientAddr = "10.91.1.2"
	serverAddr = "10.91.2.2"
)

// lab is a client, a gateway and a server, each in a namespace; what the gateway
// forwards goes through a queue.
type lab struct{ client, gateway, server int } // file descriptors of the namespaces

// newLab builds it. bypass lets packets through while nobody serves the queue.
func newLab(t testing.TB, queue uint16, bypass bool) *lab {
	t.Helper()
	l := &lab{client: namespace(t), gateway: namespace(t), server: namespace(t)}
	for i, host := range []int{l.client, l.server} {
		name := fmt.Sprintf("gw%d", i+1)
		l.ip(t, l.gateway, fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", name, os.Getpid(), host))
		l.ip(t, l.gateway, fmt.Sprintf("addr add 10.91.%d.1/24 dev %s", i+1, name))
		l.ip(t, l.gateway, "link set "+name+" up")
		l.ip(t, host, fmt.Sprintf("addr add 10.91.%d.2/24 dev eth0", i+1))
		l.ip(t, host, "link set eth0 up")
		l.ip(t, host, "link set lo up")
		l.ip(t, host, fmt.Sprintf("route add default via 10.91.%d.1", i+1))
	}
	inside(t, l.gateway, func() {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	})
	l.rules(t, queue, bypass)
	return l
}

// rules install the queue through the xt target, which kernels have with and without
// the queue expression of nftables, and behind it a counter of marked packets.
func (l *lab) rules(t testing.TB, queue uint16, bypass bool) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(l.gateway))
	if err != nil {
		t.Fatal(err)
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "lab"})
	chain := func(name string, prio nftables.ChainPriority) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: &prio})
	}
	info := make(xt.Unknown, 8) // struct xt_NFQ_info_v3
	binary.NativeEndian.PutUint16(info[0:], queue)
	binary.NativeEndian.PutUint16(info[2:], 1)
	if bypass {
		binary.NativeEndian.PutUint16(info[4:], 1)
	}
	c.AddRule(&nftables.Rule{Table: table, Chain: chain("queue", -10), Exprs: []expr.Any{&expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}}})
	mark := make([]byte, 4)
	binary.NativeEndian.PutUint32(mark, testMark)
	c.AddRule(&nftables.Rule{Table: table, Chain: chain("after", 10), Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: mark}, &expr.Counter{},
	}})
	if err := c.Flush(); err != nil {
		t.Fatalf("install the rules: %v", err)
	}
}

const testMark = 0x5a000001

// marked returns how many packets left the queue with testMark.
func (l *lab) marked(t testing.TB) (n uint64) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(l.gateway))
	if err != nil {
		t.Fatal(err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "lab"}
	rules, err := c.GetRules(table, &nftables.Chain{Name: "after", Table: table})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if k, ok := e.(*expr.Counter); ok {
				n += k.Packets
			}
		}
	}
	return n
}

// udp returns a socket in a namespace.
func (l *lab) udp(t testing.TB, ns int, local, remote string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	inside(t, ns, func() {
		var err error
		la, _ := net.ResolveUDPAddr("udp4", local)
		if remote == "" {
			conn, err = net.ListenUDP("udp4", la)
		} else {
			ra, _ := net.ResolveUDPAddr("udp4", remote)
			conn, err = net.DialUDP("udp4", la, ra)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open serves a queue of the gateway.
func (l *lab) open(t testing.TB, cfg NFQueueConfig) *NFQueue {
	t.Helper()
	var q *NFQueue
	var err error
	inside(t, l.gateway, func() { q, err = OpenNFQueue(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func (l *lab) ip(t testing.TB, ns int, args string) {
	t.Helper()
	inside(t, ns, func() {
		// A child is made by this thread, in its namespace.
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	})
}

// namespace makes one that has no name and ends with its last user.
func namespace(t testing.TB) int {
	t.Helper()
	var fd int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	}()
	<-done
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("new network namespace: %v", err)
		}
		t.Skipf("needs root for a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// inside runs f on a thread of a namespace. t.Fatal in f ends the test.
func inside(t testing.TB, ns int, f func()) {
	t.Helper()
	done, whole := make(chan struct{}), false
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			t.Errorf("enter a network namespace: %v", err)
			return
		}
		f()
		whole = true
	}()
	<-done
	if !whole {
		t.FailNow()
	}
}
