package live

import (
	"os/exec"
	"strings"
	"testing"

	"weir/tests/e2e"
)

// TestNoRights: who may not capture hears so once, and nothing is left running.
func TestNoRights(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("setpriv is not installed")
	}
	r := e2e.Start(t, l.server.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		e2e.Program(t, "weir"), "live", "-i", "s0", "-json"))
	status, out, errs := r.Wait(t)
	if status != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "CAP_NET_RAW") {
		t.Errorf("weir live as nobody = status %d, output %q, want status 1 and one line that names CAP_NET_RAW:\n%s", status, out, errs)
	}
}

// TestComesUp: an interface that is down at the start is captured from when it is up.
func TestComesUp(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	l.server.Run(t, "ip", "link", "set", "s0", "down")
	w := l.watch(t)
	l.server.Run(t, "ip", "link", "set", "s0", "up")
	l.neighbours(t, l.client, "c0")
	l.neighbours(t, l.server, "s0")
	l.fetch(t, w, "when it is up")
	w.stop(t)
	w.lawful(t)
}

// TestLargeFrames: frames of 9,000 bytes, and super-packets whose checksums the kernel
// has left open, are captured and are in the counters.
func TestLargeFrames(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.client.Run(t, "ip", "link", "set", "c0", "mtu", "9000")
	l.server.Run(t, "ip", "link", "set", "s0", "mtu", "9000")
	l.serveHTTP(t)
	l.start(t, "Server listening", "iperf3", "-s", "--forceflush")
	packets, bytes := l.traffic(t)
	w := l.watch(t)
	l.client.Run(t, "iperf3", "-c", server4, "-u", "-l", "8972", "-b", "100M", "-n", "1M")
	l.client.Run(t, "iperf3", "-c", server4, "-n", "16M")
	l.fetch(t, w, "beside super-packets")
	w.caughtUp(t, l, packets)
	packetsNow, bytesNow := l.traffic(t)
	packets, bytes = packetsNow-packets, bytesNow-bytes
	w.stop(t)
	if n := w.lawful(t); n != packets {
		t.Errorf("capd has counted %d frames, the interface %d", n, packets)
	}
	c := w.counters(t, "w00")
	if c["packets"] != packets || c["bytes"] != bytes {
		t.Errorf("the worker has counted %d packets of %d bytes, the interface %d of %d", c["packets"], c["bytes"], packets, bytes)
	}
	if bytes/packets < 9000 {
		t.Errorf("%d packets had %d bytes: want super-packets", packets, bytes)
	}
}
