package rules

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	nfqueue "github.com/florianl/go-nfqueue/v2"
)

const (
	bitFinal  = 0x80000000
	bitDrop   = 0x40000000
	bitReject = 0x20000000
)

var servers = map[string]string{"IPv4": server4, "IPv6": server6}

// A transfer of many packets is queued until the verdict, and then never again.
func TestForwardUntilFinal(t *testing.T) {
	for name, server := range servers {
		for _, families := range [][]family{{inet}, {ip, ip6}} {
			t.Run(name+" "+families[0].name, func(t *testing.T) {
				l := newLab(t, false)
				l.server.serve(t)
				r, err := Plan(testConfig(nil))
				if err != nil {
					t.Fatal(err)
				}
				r.only = []variant{{families: families}}
				if rep, err := r.Install(logTo(t)); err != nil || len(rep.Tables) != len(families) {
					t.Fatalf("Install = %+v, %v, want %d tables", rep, err, len(families))
				}
				c := consume(t, 7, after(8, bitFinal))
				if err := l.client.exchange(t, server, 20<<20); err != nil {
					t.Fatal(err)
				}
				if got := c.count(); got < 8 || got > 40 {
					t.Errorf("%d packets queued, want 8 to 40", got)
				}
			})
		}
	}
}

func TestBypass(t *testing.T) {
	l := newLab(t, false)
	l.server.serve(t)
	install(t, nil)
	for name, server := range servers {
		if err := l.client.exchange(t, server, 1<<20); err != nil {
			t.Errorf("%s, nobody listens: %v", name, err)
		}
	}
}

// Exempt addresses are not queued as source or destination; their neighbours are.
func TestExempt(t *testing.T) {
	tests := []struct {
		name   string
		exempt []string
		server string
		queued bool
	}{
		{"address of the client", []string{client4 + "/32"}, server4, false},
		{"network of the server", []string{"10.2.0.0/24", "10.2.0.0/16"}, server4, false},
		{"two networks that touch", []string{"10.0.0.0/15", "10.2.0.0/15"}, server4, false},
		{"everything", []string{"0.0.0.0/0"}, server4, false},
		{"IPv6 address", []string{"::ffff:192.0.2.1/128", server6 + "/128"}, server6, false},
		{"IPv6 network", []string{"fd01::/16"}, server6, false},
		{"the address below", []string{"10.2.0.1/32", "fd02::1/128"}, server4, true},
		{"the address above", []string{"10.2.0.3/32", "10.1.0.3/32"}, server4, true},
		{"the other family", []string{"0.0.0.0/0"}, server6, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, false)
			l.server.serve(t)
			install(t, func(c *Config) { c.Exempt = prefixes(tt.exempt...) })
			c := consume(t, 7, after(1<<30, 0))
			if err := l.client.exchange(t, tt.server, 4096); err != nil {
				t.Fatal(err)
			}
			if got := c.count(); (got > 0) != tt.queued {
				t.Errorf("%d packets queued, want some: %v", got, tt.queued)
			}
		})
	}
}

// Another program keeps its own bits in both marks, as mwan3 does: they reach the
// queue, survive the verdict, and leave with the packet, without ours.
func TestForeignBits(t *testing.T) {
	l := newLab(t, false)
	l.server.serve(t)
	nft(t, `table inet other {
	counter right { }
	counter wrong { }
	counter final { }
	chain pre { type filter hook prerouting priority mangle;
		ct mark & 0x3f00 == 0 ct mark set ct mark | 0x2500
		meta mark set ct mark & 0x3f00
		meta mark set meta mark | 0x7
	}
	chain post { type filter hook postrouting priority mangle;
		meta l4proto != tcp return
		meta mark == 0x2507 ct mark & 0xffffff == 0x2500 counter name right return
		counter name wrong
	}
	chain last { type filter hook postrouting priority 0;
		ct mark == 0x8b002500 counter name final
	}
}`)
	install(t, nil)
	c := consume(t, 7, after(8, bitFinal|0x0b000000))
	if err := l.client.exchange(t, server4, 1<<20); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, m := range c.marks {
		if m != 0x2507 {
			t.Fatalf("queued packet %d has mark %#x, want 0x2507", i, m)
		}
	}
	if right, wrong := packetsOf(t, "right"), packetsOf(t, "wrong"); right == 0 || wrong != 0 {
		t.Errorf("%d packets left with marks of others intact and none of ours, %d without, want all", right, wrong)
	}
	if packetsOf(t, "final") == 0 {
		t.Error("no packet of the flow has ct mark 0x8b002500, want verdict and class beside 0x2500")
	}
}

// packetsOf reads a counter of table inet other.
func packetsOf(t *testing.T, counter string) int {
	t.Helper()
	return number(t, run(t, "", "nft list counter inet other "+counter))
}

func number(t *testing.T, s string) int {
	t.Helper()
	m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(s)
	if m == nil {
		t.Fatalf("no counter in %q", s)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// A blocked flow stays blocked when its packets have no way to user space any more,
// and no byte that came with the verdict or later is delivered.
func TestBlockedWithoutUserSpace(t *testing.T) {
	tests := []struct {
		name, server string
		bits         uint32
		reset        bool
	}{
		{"drop", server4, bitFinal | bitDrop, false},
		{"drop over IPv6", server6, bitFinal | bitDrop, false},
		{"reject", server4, bitFinal | bitDrop | bitReject, true},
		{"reject over IPv6", server6, bitFinal | bitDrop | bitReject, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, false)
			l.server.serve(t)
			install(t, nil)
			seen := false
			c := consume(t, 7, func(_ int, a nfqueue.Attribute) (int, uint32) {
				if seen = seen || payload(*a.Payload) > 0; seen {
					return nfqueue.NfAccept, tt.bits
				}
				return nfqueue.NfAccept, 0
			})
			conn, err := l.client.dial(t, tt.server)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte("x")) // judged, and every new flow from here on
			until(t, func() bool { return blocked(t) > 0 })
			other, err := l.client.dial(t, tt.server)
			if err == nil {
				_ = other.Close()
				t.Error("a second connection was made, want its SYN refused")
			} else if got := errors.Is(err, syscall.ECONNREFUSED); got != tt.reset {
				t.Errorf("second connection: %v, want refused: %v", err, tt.reset)
			}
			c.stop()
			before := blocked(t)
			if !tt.reset { // x is sent again, the kernel alone stops it
				until(t, func() bool { return blocked(t) > before })
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, syscall.ECONNRESET) != tt.reset {
				t.Errorf("read %d bytes: %v, want none, reset: %v", n, err, tt.reset)
			}
			if err := l.client.exchange(t, tt.server, 1); err != nil {
				t.Errorf("a new flow with nobody listening: %v, want it to pass", err)
			}
		})
	}
}

// blocked returns how many packets our rules refused in the kernel, by verdicts of
// packets and of connections.
func blocked(t *testing.T) (n int) {
	t.Helper()
	for _, line := range strings.Split(run(t, "", "nft list table inet weir_capture"), "\n") {
		if strings.Contains(line, `comment "verdict `) {
			n += number(t, line)
		}
	}
	return n
}

// payload returns how many bytes a TCP segment carries.
func payload(b []byte) int {
	if b[0]>>4 == 6 {
		return len(b) - 40 - int(b[40+12]>>4)*4
	}
	ip := int(b[0]&15) * 4
	return len(b) - ip - int(b[ip+12]>>4)*4
}

// until waits for a condition.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for 10 s")
		}
	}
}

// A flow that nobody judges leaves the queue after so many packets.
func TestPackets(t *testing.T) {
	l := newLab(t, false)
	l.server.serve(t)
	sysctl(t, "net/netfilter/nf_conntrack_acct", "0")
	install(t, func(c *Config) { c.Packets = 30 })
	c := consume(t, 7, after(1<<30, 0))
	if err := l.client.exchange(t, server4, 10<<20); err != nil {
		t.Fatal(err)
	}
	if got := c.count(); got < 20 || got > 30 {
		t.Errorf("%d packets queued, want at most 30", got)
	}
}

// Flows are spread over all queues, and both directions of one go to the same.
func TestQueues(t *testing.T) {
	l := newLab(t, false)
	l.server.serve(t)
	install(t, func(c *Config) { c.Count = 4 })
	var all [4]*consumer
	for i := range all {
		all[i] = consume(t, uint16(7+i), after(1<<30, 0))
	}
	counts := func() (n [4]int) {
		for i, c := range all {
			n[i] = c.count()
		}
		return n
	}
	used := map[int]bool{}
	for i := range 16 {
		address := "10.2.0." + strconv.Itoa(10+i)
		run(t, l.server.name, "ip addr add "+address+"/24 dev eth0")
		before := counts()
		if err := l.client.exchange(t, address, 1000); err != nil {
			t.Fatal(err)
		}
		grown := 0
		for q, n := range counts() {
			if n > before[q] {
				used[q], grown = true, grown+1
			}
		}
		if grown != 1 {
			t.Errorf("the packets of %s went to %d queues, want 1", address, grown)
		}
	}
	if len(used) < 2 {
		t.Errorf("16 pairs of addresses used queues %v, want more than one", used)
	}
}

// In local modes connections of one side are queued, in both directions, and those
// of the other side are not; nor is loopback.
func TestLocalModes(t *testing.T) {
	for _, mode := range []Mode{Input, Output} {
		t.Run(string(mode), func(t *testing.T) {
			l := newLab(t, false)
			l.server.serve(t)
			listen(t)
			install(t, func(c *Config) { c.Mode = mode })
			c := consume(t, 7, after(8, bitFinal))
			here := &space{"", self(t)}
			for _, way := range []struct {
				name, address string
				from          *space
				queued        bool
			}{
				{"to the gateway", gateway4, l.client, mode == Input},
				{"to the gateway over IPv6", gateway6, l.client, mode == Input},
				{"from the gateway", server4, here, mode == Output},
				{"from the gateway over IPv6", server6, here, mode == Output},
				{"within the gateway", "127.0.0.1", here, false},
				{"within the gateway, own address", gateway4, here, false},
				{"through the gateway", server4, l.client, false},
			} {
				before := c.count()
				c.restart()
				if err := way.from.exchange(t, way.address, 4<<20); err != nil {
					t.Errorf("%s: %v", way.name, err)
				}
				got := c.count() - before
				if way.queued && (got < 8 || got > 40) || !way.queued && got != 0 {
					t.Errorf("%s: %d packets queued, want it queued until final: %v", way.name, got, way.queued)
				}
			}
		})
	}
}

// Rejected connections to and from the gateway end at once: our own resets pass our
// own rules.
func TestLocalReject(t *testing.T) {
	for mode, address := range map[Mode]string{Input: gateway4, Output: server4} {
		t.Run(string(mode), func(t *testing.T) {
			l := newLab(t, false)
			l.server.serve(t)
			listen(t)
			install(t, func(c *Config) { c.Mode = mode })
			consume(t, 7, after(4, bitFinal|bitDrop|bitReject))
			from := l.client
			if mode == Output {
				from = &space{"", self(t)}
			}
			if err := from.exchange(t, address, 10); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, want connection reset", err)
			}
		})
	}
}

func TestBridge(t *testing.T) {
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, true)
			l.server.serve(t)
			sysctl(t, "net/bridge/bridge-nf-call-iptables", "1")
			sysctl(t, "net/bridge/bridge-nf-call-ip6tables", "1")
			install(t, func(c *Config) { c.Mode = Bridge })
			c := consume(t, 7, after(8, bitFinal))
			if err := l.client.exchange(t, server, 4<<20); err != nil {
				t.Fatal(err)
			}
			if got := c.count(); got < 8 || got > 40 {
				t.Errorf("%d packets queued, want 8 to 40", got)
			}
		})
	}
}

// A data connection that the FTP helper expects begins with the ct mark of its
// control connection: it must be queued all the same.
func TestExpected(t *testing.T) {
	l := newLab(t, false)
	nft(t, `table inet other {
	counter expected { }
	ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
	chain forward { type filter hook forward priority 0; ct state related tcp dport 80 counter name expected; }
	chain pre { type filter hook prerouting priority -150; tcp dport 21 ct helper set "ftp"; }
}`)
	install(t, nil)
	seen := map[uint16]int{}
	c := consume(t, 7, func(_ int, a nfqueue.Attribute) (int, uint32) {
		seen[serverPort(*a.Payload)]++
		return nfqueue.NfAccept, bitFinal
	})
	if err := l.ftp(t); err != nil {
		t.Fatal(err)
	}
	c.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if packetsOf(t, "expected") == 0 {
		t.Fatal("the helper expected nothing: the test shows nothing")
	}
	if seen[80] == 0 || seen[80] > 10 || seen[21] == 0 {
		t.Errorf("queued packets by server port: %v, want some of 21 and 80, and few", seen)
	}
}
