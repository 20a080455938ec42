package queue

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/tests/netns"
)

// ends is what a flow record says of where the ends are.
type ends struct {
	Hostname, Direction, Origin string
	ClientPlace                 string `json:"client_place"`
	ServerPlace                 string `json:"server_place"`
	Role                        string `json:"interface_role"`
	LocalIP                     string `json:"local_ip"`
	LocalMAC                    string `json:"local_mac"`
	OtherIP                     string `json:"other_ip"`
}

// flows returns what was printed so far of flows to a host.
func (w *weir) flows(t *testing.T, host string) (list []ends) {
	t.Helper()
	for line := range strings.Lines(w.Stdout()) {
		var e ends
		if err := json.Unmarshal([]byte(line), &e); strings.HasSuffix(line, "\n") && err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if e.Hostname == host {
			list = append(list, e)
		}
	}
	return list
}

// tells waits until capd has told the workers something.
func (w *weir) tells(t *testing.T, line string) {
	t.Helper()
	w.Eventually(t, "the workers are told "+line, func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, "network"))
		return strings.Contains(string(b), "\n"+line+"\n")
	})
}

// until opens connections until the record of one says what is wanted: workers look
// for news at times of their own.
func (l *lab) until(t *testing.T, w *weir, addr string, want ends, options ...string) {
	t.Helper()
	n, got := 0, []ends(nil)
	ok := false
	defer func() {
		if !ok {
			t.Errorf("records of connections to %s: %+v, want one with %+v", addr, got, want)
		}
	}()
	w.Eventually(t, "a flow as it is wanted", func() bool {
		n++
		want.Hostname = fmt.Sprintf("n%d.x%s.example", n, strings.NewReplacer(".", "-", ":", "-").Replace(want.LocalIP))
		args := append([]string{"-sS", "-k", "--max-time", "30", "--resolve", want.Hostname + ":443:" + addr, "-o", "/dev/null"}, options...)
		if out, err := l.client.Command("curl", append(args, "https://"+want.Hostname+"/small")...).CombinedOutput(); err != nil {
			t.Fatalf("curl %s: %v: %s", want.Hostname, err, out)
		}
		w.Eventually(t, "the flow is printed", func() bool {
			got = w.flows(t, want.Hostname)
			return len(got) > 0
		})
		ok = got[0] == want
		return ok
	})
}

// The network of a gateway changes while its queue is watched: without a restart,
// records say which end is ours, and the client's MAC, which no packet of a queue has.
func TestNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serve(t)
	run := func(n *netns.Namespace, args string) {
		t.Helper()
		f := strings.Fields(args)
		n.Run(t, f[0], f[1:]...)
	}
	const first, second = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
	run(l.client, "ip link set c0 address "+first)
	w := l.weir(t, "-nfqueue", "forward", "-lan", "gc0", "-wan", "gs0")
	w.tells(t, "local 192.0.2.0/24")
	w.tells(t, "other 198.51.100.0/24")

	out := ends{Direction: "outbound", Origin: "local", ClientPlace: "local", ServerPlace: "remote", Role: "lan", LocalMAC: first}
	four, six := out, out
	four.LocalIP, four.OtherIP = "192.0.2.2", server4
	six.LocalIP, six.OtherIP = "2001:db8:1::2", server6
	l.until(t, w, server4, four)
	l.until(t, w, server6, six)

	run(l.client, "ip link set c0 address "+second) // forgets its neighbours and IPv6 route
	run(l.client, "ip neigh flush dev c0")
	run(l.gateway, "ip neigh flush dev gc0")
	four.LocalMAC, six.LocalMAC = second, second
	l.until(t, w, server4, four)
	l.until(t, w, server6, six)

	// A network behind the client, by a route; then by an address of the gateway.
	run(l.client, "ip addr add 203.0.113.9/32 dev lo")
	run(l.gateway, "ip route add 203.0.113.0/24 via 192.0.2.2")
	w.tells(t, "local 203.0.113.0/24")
	behind := four
	behind.LocalIP, behind.LocalMAC = "203.0.113.9", "" // it is no neighbour
	l.until(t, w, server4, behind, "--interface", "203.0.113.9")
	run(l.gateway, "ip route del 203.0.113.0/24")
	run(l.gateway, "ip addr add 203.0.113.1/24 dev gc0")
	w.tells(t, "host 203.0.113.1 "+strings.TrimSpace(l.gateway.Run(t, "cat", "/sys/class/net/gc0/address")))
	behind.LocalMAC = second
	l.until(t, w, server4, behind, "--interface", "203.0.113.9")

	// The route without the interface's role: nobody is ours.
	run(l.gateway, "ip addr del 203.0.113.1/24 dev gc0")
	run(l.gateway, "ip route add 203.0.113.0/24 via 192.0.2.2 table 77")
	run(l.gateway, "ip rule add to 203.0.113.0/24 table 77")
	w.tells(t, "local 203.0.113.0/24") // any table will do
	run(l.gateway, "ip link set gc0 down")
	run(l.gateway, "ip link set gc0 name inner")
	w.tells(t, "host 192.0.2.1 "+strings.TrimSpace(l.gateway.Run(t, "cat", "/sys/class/net/inner/address")))
	w.Eventually(t, "its networks are not ours any more", func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, "network"))
		return !strings.Contains(string(b), "\nlocal ")
	})
	w.stop(t)
}
