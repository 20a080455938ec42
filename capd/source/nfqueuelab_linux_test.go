package source

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"weir/capd/internal/netlab"
)

const (
	clientAddr = "10.91.1.2"
	serverAddr = "10.91.2.2"
)

// lab is a client, a gateway and a server, each in a namespace; what the gateway
// forwards goes through a queue.
type lab struct{ client, gateway, server netlab.Namespace }

// newLab builds it. bypass lets packets through while nobody serves the queue.
func newLab(t testing.TB, queue uint16, bypass bool) *lab {
	t.Helper()
	l := &lab{client: netlab.New(t), gateway: netlab.New(t), server: netlab.New(t)}
	for i, host := range []netlab.Namespace{l.client, l.server} {
		name := fmt.Sprintf("gw%d", i+1)
		l.gateway.IP(t, fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", name, os.Getpid(), host))
		l.gateway.IP(t, fmt.Sprintf("addr add 10.91.%d.1/24 dev %s", i+1, name))
		l.gateway.IP(t, "link set "+name+" up")
		host.IP(t, fmt.Sprintf("addr add 10.91.%d.2/24 dev eth0", i+1))
		host.IP(t, "link set eth0 up")
		host.IP(t, "link set lo up")
		host.IP(t, fmt.Sprintf("route add default via 10.91.%d.1", i+1))
	}
	l.gateway.Inside(t, func() {
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
	c, err := nftables.New(nftables.WithNetNSFd(int(l.gateway)))
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
	c, err := nftables.New(nftables.WithNetNSFd(int(l.gateway)))
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
func (l *lab) udp(t testing.TB, ns netlab.Namespace, local, remote string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	ns.Inside(t, func() {
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
	l.gateway.Inside(t, func() { q, err = OpenNFQueue(cfg) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}
