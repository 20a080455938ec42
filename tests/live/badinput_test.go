package live

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
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

// TestComesUp: an interface that is down at the start is captured from when it is up,
// and that it is down is said.
func TestComesUp(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	l.server.Run(t, "ip", "link", "set", "s0", "down")
	w := l.watch(t)
	w.Eventually(t, "that it is down is said", func() bool { return w.logged(`level=WARN msg="the interface is down`, 1) })
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
	l.client.Run(t, "iperf3", "-c", server4, "-n", "6M") // less than a ring holds
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

// TestBigTCP: super-packets that are larger than any ring record are cut, counted in
// full, and that is said once.
func TestBigTCP(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.client.Run(t, "ip", "link", "set", "c0", "gso_max_size", "200000") // IPv6 only
	l.serveHTTP(t)
	l.start(t, "Server listening", "iperf3", "-s", "--forceflush")
	l.cut(t, nil, "gso_max_size 65536", func(w *watcher) {
		l.client.Run(t, "iperf3", "-c", server6, "-n", "6M") // less than a ring holds
		l.fetch(t, w, "beside large packets")
	})
}

// TestSmallBlocks: so are frames that are larger than the kernel's blocks.
func TestSmallBlocks(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.client.Run(t, "ip", "link", "set", "c0", "mtu", "65535")
	l.server.Run(t, "ip", "link", "set", "s0", "mtu", "65535")
	large := shape{name: "large", size: fragment}
	frame := large.frames(1, 1, 1, false)[0]
	frame = append(frame, make([]byte, 65535+14-len(frame))...)
	binary.BigEndian.PutUint16(frame[16:], 65535)    // total length
	binary.BigEndian.PutUint16(frame[38:], 65535-20) // of UDP
	l.cut(t, []string{"[capture.tpacket]", `block_size = "64KiB"`}, "capture.tpacket.block_size", func(*watcher) {
		inject(t, l.client, "c0", 0, [][]byte{frame, frame, frame})
	})
}

// cut runs something that sends frames which are kept in part.
func (l *lab) cut(t *testing.T, conf []string, remedy string, send func(*watcher)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cut.toml")
	if err := os.WriteFile(file, []byte(join(conf)), 0o644); err != nil {
		t.Fatal(err)
	}
	before, bytesBefore := l.traffic(t)
	w := l.watch(t, "-policy", file)
	send(w)
	w.caughtUp(t, l, before)
	frames, bytes := l.traffic(t)
	w.stop(t)
	if out, err := ringctl(t, w.dir, "check"); err != nil {
		t.Errorf("ringctl check: %v\n%s", err, out)
	}
	c, worker := w.counters(t, "capd"), w.counters(t, "w00")
	if c["truncated"] == 0 || c["truncated"] > c["delivered"] || c["delivered"] != frames-before {
		t.Errorf("of %d frames %d are delivered, %d truncated, want all and some:\n%v", frames-before, c["delivered"], c["truncated"], c)
	}
	if worker["bytes"] != bytes-bytesBefore {
		t.Errorf("the worker has counted %d bytes, the interface %d: a packet that is cut counts in full", worker["bytes"], bytes-bytesBefore)
	}
	if n := strings.Count(w.Stderr(), "packets are longer than what is kept"); n != 1 || !strings.Contains(w.Stderr(), remedy) {
		t.Errorf("that packets are cut is said %d times, want once and with the remedy %q:\n%s", n, remedy, w.Stderr())
	}
}

// TestMistakes: what cannot work is said in one line before anything starts.
func TestMistakes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	conf := filepath.Join(t.TempDir(), "weir.toml")
	if err := os.WriteFile(conf, []byte("[instance]\ndir = \""+e2e.RingDir(t)+"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		program string
		args    []string
		status  int
		says    string
	}{
		{"weir", []string{"live", "-i", "nosuch0"}, 2, `interface "nosuch0"`},
		{"capd", []string{"-config", conf, "-i", "nosuch0"}, 1, "interface nosuch0: no such interface"},
		{"weir", []string{"live", "-i", "s0", "-filter", "tcp portt 22"}, 2, `filter "tcp portt 22": column 5`},
		{"weir", []string{"live", "-i", "s0", "-filter", "port ssh"}, 2, `"ssh" is no port`},
		{"weir", []string{"live", "-i", "s0", "-threads", "65"}, 2, "-threads 65"},
		{"weir", []string{"live"}, 2, "-i eth0"},
	} {
		status, out, errs := e2e.Start(t, l.server.Command(e2e.Program(t, tt.program), tt.args...)).Wait(t)
		if status != tt.status || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, tt.says) {
			t.Errorf("%s %q = status %d, output %q, want status %d and one line with %s:\n%s", tt.program, tt.args, status, out, tt.status, tt.says, errs)
		}
	}
}
