package queue

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"weir/shm/stat"
	"weir/tests/e2e"
	"weir/tests/netns"
)

// Addresses of the server, as the client knows it.
const server4, server6 = "198.51.100.2", "2001:db8:2::2"

// lab is client - gateway - server.
type lab struct{ client, gateway, server *netns.Namespace }

func newLab(t *testing.T) *lab {
	t.Helper()
	for _, p := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed; in CI this is no reason to skip", p)
			}
			t.Skipf("%s is not installed", p)
		}
	}
	l := &lab{netns.New(t), netns.New(t), netns.New(t)}
	run := func(n *netns.Namespace, args string) {
		t.Helper()
		f := strings.Fields(args)
		if out, err := n.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args, err, out)
		}
	}
	for _, e := range []struct {
		n                  *netns.Namespace
		dev, addr4, addr6  string
		gate, gate4, gate6 string
	}{
		{l.client, "c0", "192.0.2.2/24", "2001:db8:1::2/64", "gc0", "192.0.2.1", "2001:db8:1::1"},
		{l.server, "s0", server4 + "/24", server6 + "/64", "gs0", "198.51.100.1", "2001:db8:2::1"},
	} {
		run(e.n, "ip link set lo up")
		run(l.gateway, fmt.Sprintf("ip link add %s type veth peer name %s netns %s", e.gate, e.dev, e.n.Name()))
		for _, s := range []struct {
			n           *netns.Namespace
			dev, a4, a6 string
		}{{e.n, e.dev, e.addr4, e.addr6}, {l.gateway, e.gate, e.gate4 + "/24", e.gate6 + "/64"}} {
			run(s.n, "ip addr add "+s.a4+" dev "+s.dev)
			run(s.n, "ip addr add "+s.a6+" dev "+s.dev+" nodad")
			run(s.n, "ip link set "+s.dev+" up")
		}
		run(e.n, "ip route add default via "+e.gate4)
		run(e.n, "ip -6 route add default via "+e.gate6)
	}
	run(l.gateway, "ip link set lo up")
	for _, f := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if out, err := l.gateway.Command("sh", "-c", "echo 1 > /proc/sys/"+f).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", f, err, out)
		}
	}
	return l
}

// serve runs a TLS server over IPv4 and IPv6 that gives away the files of a folder.
func (l *lab) serve(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
		"-days", "2", "-subj", "/CN=server.example").CombinedOutput(); err != nil {
		t.Fatalf("openssl req: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, largeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"-4", "-6"} {
		cmd := l.server.Command("openssl", "s_server", version, "-accept", "443", "-cert", cert, "-key", key, "-WWW", "-quiet")
		cmd.Dir = dir
		e2e.Start(t, cmd).Eventually(t, "the TLS server listens", func() bool {
			out, _ := l.server.Command("ss", version, "-Hltn", "sport", "=", ":443").Output()
			return len(out) > 0
		})
	}
}

// largeFile is the length in bytes of a file: thousands of packets.
const largeFile = 20 << 20

// get fetches the file through the gateway under a server name.
func (l *lab) get(t *testing.T, host, addr string) {
	t.Helper()
	out, err := l.client.Command("curl", "-sS", "-k", "--max-time", "30", "--resolve", host+":443:"+addr, "-o", "/dev/null",
		"-w", "%{size_download}", "https://"+host+"/large").CombinedOutput()
	if err != nil || string(out) != strconv.Itoa(largeFile) {
		t.Fatalf("curl %s: %v: %s", host, err, out)
	}
}

// weir is a running "weir live".
type weir struct {
	*e2e.Running
	dir string
}

func (l *lab) weir(t *testing.T, args ...string) *weir {
	t.Helper()
	w := &weir{dir: e2e.RingDir(t)}
	args = append([]string{"live", "-json", "-keep", "-dir", w.dir}, args...)
	w.Running = e2e.Start(t, l.gateway.Command(e2e.Program(t, "weir"), args...))
	w.Eventually(t, "the rules are there", l.hasTable)
	return w
}

func (l *lab) hasTable() bool {
	out, _ := l.gateway.Command("nft", "list", "tables").Output()
	return strings.Contains(string(out), "weir_capture")
}

// counter reads a counter of capd.
func (w *weir) counter(t *testing.T, name string) uint64 {
	t.Helper()
	f, err := stat.Open(filepath.Join(w.dir, "stat", "capd.stat"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for i, n := range f.Names() {
		if n == name {
			return f.Get(i)
		}
	}
	t.Fatalf("capd has no counter %q", name)
	return 0
}

// stop interrupts weir and returns what it said of each host.
func (w *weir) stop(t *testing.T) (protocols map[string]string) {
	t.Helper()
	w.Signal(t, syscall.SIGINT)
	status, out, errs := w.Wait(t)
	if status != 0 {
		t.Fatalf("weir live = %d\n%s", status, errs)
	}
	protocols = map[string]string{}
	for line := range strings.Lines(out) {
		var f struct{ Hostname, Protocol string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		protocols[f.Hostname] = f.Protocol
	}
	return protocols
}

// A queue is watched: names are found over IPv4 and IPv6, all arrives, and after its
// first packets a flow stays in the kernel. Nothing is left behind.
func TestMonitor(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serve(t)
	w := l.weir(t, "-nfqueue", "forward")
	l.get(t, "four.example", server4)
	l.get(t, "six.example", server6)
	w.Eventually(t, "capd has counted", func() bool { return w.counter(t, "frames") > 20 })
	got := w.stop(t)
	for _, host := range []string{"four.example", "six.example"} {
		if got[host] != "tls" {
			t.Errorf("protocol of %s = %q, want tls; all: %v", host, got[host], got)
		}
	}
	if n := w.counter(t, "frames"); n > 100 {
		t.Errorf("%d packets of two long flows were queued, want the first 17 of each and little more", n)
	}
	if n := w.counter(t, "kernel_dropped"); n != 0 {
		t.Errorf("the kernel dropped %d packets", n)
	}
	if l.hasTable() {
		t.Error("the rules are still there after a stop in good order")
	}
	out, err := exec.Command(e2e.Program(t, "ringctl"), "-root", w.dir, "check").CombinedOutput()
	if err != nil {
		t.Errorf("ringctl check: %v\n%s", err, out)
	}
}

// While capd is dead traffic goes on by itself, and when it is back names are found
// again.
func TestKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serve(t)
	w := l.weir(t, "-nfqueue", "forward")
	l.get(t, "before.example", server4)
	for i := range 5 {
		pids := w.Children("capd")
		if len(pids) != 1 {
			t.Fatalf("capd runs as %v, want one process", pids)
		}
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		l.get(t, fmt.Sprintf("during%d.example", i), server6) // through the queue or past it
		w.Eventually(t, "capd is back", func() bool {
			now := w.Children("capd")
			return len(now) == 1 && now[0] != pids[0]
		})
	}
	w.Eventually(t, "capd captures again", func() bool {
		l.get(t, "after.example", server4)
		return strings.Contains(w.Stdout(), "after.example")
	})
	if got := w.stop(t); got["before.example"] != "tls" || got["after.example"] != "tls" {
		t.Errorf("flows = %v, want before.example and after.example as tls", got)
	}
}
