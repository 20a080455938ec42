// Package live tries Weir on live interfaces: real programs talk over a veth pair
// between namespaces of the test's own, and what "weir live" says of them is held
// against a capture that tcpdump takes beside it, the counters of the interface and
// the laws of ringctl.
//
// It measures nothing and asserts no time. Nothing touches the namespace that the
// test runs in; every wait is for a state, with a deadline.
package live

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"weir/tests/e2e"
	"weir/tests/netns"
)

// Addresses of the two ends.
const (
	client4, server4 = "192.0.2.1", "192.0.2.2"
	client6, server6 = "2001:db8:9::1", "2001:db8:9::2"
)

// lab is a client and a server with a wire between them. Weir listens at the
// server's end, s0.
type lab struct{ client, server *netns.Namespace }

// newLab makes the wire. Neighbours are told, so that no packet crosses it that
// nobody sent.
func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{netns.New(t), netns.New(t)}
	for _, n := range []*netns.Namespace{l.client, l.server} {
		n.Run(t, "ip", "link", "set", "lo", "up")
		n.NFT(t, quiet)
	}
	l.wire(t)
	return l
}

// quiet keeps a host from telling, at times of its own, which groups it is in.
const quiet = `add table ip6 quiet
add chain ip6 quiet out { type filter hook output priority 0; }
add rule ip6 quiet out icmpv6 type mld2-listener-report drop`

const clientMAC, serverMAC = "02:00:00:00:00:01", "02:00:00:00:00:02"

// wire makes the veth pair c0 - s0, after a test has removed it once more.
func (l *lab) wire(t testing.TB) {
	t.Helper()
	l.client.Run(t, "ip", "link", "add", "c0", "address", clientMAC, "type", "veth",
		"peer", "name", "s0", "address", serverMAC, "netns", l.server.Name())
	l.up(t, l.client, "c0", client4, client6)
	l.up(t, l.server, "s0", server4, server6)
}

// up addresses an end. Without a link-local address nobody looks for routers.
func (l *lab) up(t testing.TB, n *netns.Namespace, dev, a4, a6 string) {
	t.Helper()
	n.Run(t, "ip", "link", "set", dev, "addrgenmode", "none")
	n.Run(t, "ip", "link", "set", dev, "up")
	n.Run(t, "ip", "addr", "add", a4+"/24", "dev", dev)
	n.Run(t, "ip", "addr", "add", a6+"/64", "dev", dev, "nodad")
	l.neighbours(t, n, dev)
}

// neighbours tells an end the address of the other, which the kernel forgets when a
// link goes down.
func (l *lab) neighbours(t testing.TB, n *netns.Namespace, dev string) {
	t.Helper()
	mac, addrs := serverMAC, []string{server4, server6}
	if n == l.server {
		mac, addrs = clientMAC, []string{client4, client6}
	}
	for _, a := range addrs {
		n.Run(t, "ip", "neigh", "replace", a, "lladdr", mac, "dev", dev, "nud", "permanent")
	}
}

// watcher is a running "weir live".
type watcher struct {
	*e2e.Running
	dir string
}

// watch starts "weir live" on s0 and returns when every thread of it captures.
func (l *lab) watch(t testing.TB, args ...string) *watcher {
	t.Helper()
	w := &watcher{dir: e2e.RingDir(t)}
	args = append([]string{"live", "-i", "s0", "-json", "-keep", "-dir", w.dir, "-log-level", "info"}, args...)
	w.Running = e2e.Start(t, l.server.Command(e2e.Program(t, "weir"), args...))
	w.Eventually(t, "capd captures", func() bool { return w.logged("msg=capturing", 1) })
	return w
}

// logged reports whether a text was logged at least n times.
func (w *watcher) logged(text string, n int) bool { return strings.Count(w.Stderr(), text) >= n }

// stop ends the run as a user does, and returns the flows that it told.
func (w *watcher) stop(t testing.TB) flows {
	t.Helper()
	pids := w.Children("")
	w.Signal(t, syscall.SIGINT)
	status, out, errs := w.Wait(t)
	if status != 0 {
		t.Fatalf("weir live ended with status %d:\n%s", status, errs)
	}
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			t.Errorf("process %d is left behind", pid)
		}
	}
	return parse(t, out)
}

// counters reads a counter file of the run, as ringctl tells it. They are absent
// until somebody has made the file.
func (w *watcher) counters(t testing.TB, name string) map[string]uint64 {
	t.Helper()
	out, err := ringctl(t, w.dir, "info", name)
	if err != nil {
		return nil
	}
	var info map[string]any
	for d := json.NewDecoder(bytes.NewReader(out)); info["kind"] != "counters"; { // a ring may have the same name
		info = nil
		if err := d.Decode(&info); err != nil {
			t.Fatalf("ringctl info %s: %v:\n%s", name, err, out)
		}
	}
	c := map[string]uint64{}
	for k, v := range info {
		if n, ok := v.(float64); ok { // the rest says which file it is
			c[k] = uint64(n)
		}
	}
	return c
}

// lawful checks the kept ring directory: what must hold does, the kernel lost nothing,
// and every frame is in a counter. It returns the number of frames.
func (w *watcher) lawful(t testing.TB) uint64 {
	t.Helper()
	if out, err := ringctl(t, w.dir, "check"); err != nil {
		t.Errorf("ringctl check: %v\n%s", err, out)
	}
	c := w.counters(t, "capd")
	if c["kernel_dropped"] != 0 || c["kernel_freezes"] != 0 || c["ring_full"] != 0 {
		t.Errorf("packets were lost: %v", c)
	}
	if c["truncated"] != 0 {
		t.Errorf("%d packets are in the rings without their ends", c["truncated"])
	}
	if c["kernel_received"] != c["frames"] {
		t.Errorf("capd took %d frames from the kernel, has outcomes of %d", c["kernel_received"], c["frames"])
	}
	return c["frames"]
}

func ringctl(t testing.TB, dir string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command(e2e.Program(t, "ringctl"), append([]string{"-json", "-root", dir}, args...)...)
	out, err := cmd.CombinedOutput()
	return bytes.TrimSpace(out), err
}

// frames returns how many frames s0 has sent and received since it was made.
// Super-packets count once, as they do for who captures them.
func (l *lab) frames(t testing.TB) uint64 {
	t.Helper()
	packets, _ := l.traffic(t)
	return packets
}

// traffic is frames, with their bytes: Ethernet headers are among them.
func (l *lab) traffic(t testing.TB) (packets, bytes uint64) {
	t.Helper()
	var links []struct {
		Stats64 struct {
			RX, TX struct{ Packets, Bytes uint64 }
		}
	}
	if err := json.Unmarshal([]byte(l.server.Run(t, "ip", "-json", "-s", "link", "show", "dev", "s0")), &links); err != nil || len(links) != 1 {
		t.Fatalf("ip -s link show dev s0: %v, %d links", err, len(links))
	}
	s := &links[0].Stats64
	return s.RX.Packets + s.TX.Packets, s.RX.Bytes + s.TX.Bytes
}

// caughtUp waits until capd has seen every frame of the interface since the count
// before, and the worker every one of those.
func (w *watcher) caughtUp(t testing.TB, l *lab, before uint64) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the interface has counted %d frames, capd %v", l.frames(t)-before, w.counters(t, "capd"))
		}
	}()
	w.Eventually(t, "capd has seen every frame", func() bool {
		return w.counters(t, "capd")["frames"] >= l.frames(t)-before
	})
}
