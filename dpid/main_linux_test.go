package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/proto/event"
	"weir/proto/pkt"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// selfVariable makes this test binary the program.
const selfVariable = "WEIR_DPID_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(selfVariable) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// dpid is the program, not yet started.
func dpid(args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), selfVariable+"=1")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// status waits for the program, at most 20 s, and returns its exit status.
func status(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		t.Fatalf("%v does not end", cmd.Args)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// household is a ring directory of a small instance, open to the user that dpid
// becomes, and its configuration file.
func household(t *testing.T, extra string) (dir, conf string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ring")
	if err := layout.Root(dir).Make(0o755); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf = filepath.Join(dir, "weir.toml")
	text := fmt.Sprintf(`[instance]
dir = %q
log_level = "debug"
[capture]
source = "pcap"
threads = 1
[rings]
packet_descriptors = 1024
packet_payload = "1MiB"
event_size = "256KiB"
[flow]
max_flows = 1024
metadata = "1MiB"
[hint]
dns_entries = 1024
%s`, dir, extra)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, conf
}

// TestCommandLine runs what ends before anything is opened.
func TestCommandLine(t *testing.T) {
	_, good := household(t, "[workers]\ncount = 2")
	_, bad := household(t, "[workers]\ncuont = 2")
	for _, tt := range []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // substrings
	}{
		{"version", []string{"-version"}, 0, "slab 1", ""},
		{"help", []string{"-help"}, 0, "-worker", ""},
		{"check", []string{"-check", "-config", good}, 0, "dpid: configuration is good", ""},
		{"check of a mistake", []string{"-check", "-config", bad}, 1, "", "workers.cuont"},
		{"start with a mistake", []string{"-config", bad}, 2, "", "workers.cuont"},
		{"print", []string{"-print", "-config", good}, 0, "max_flows = 1024", ""},
		{"unknown flag", []string{"-wroker", "1"}, 2, "", "-wroker"},
		{"no number", []string{"-worker", "one"}, 2, "", "-worker"},
		{"negative number", []string{"-config", good, "-worker", "-1"}, 2, "", "-worker -1: must be 0 to 255"},
		{"large number", []string{"-check", "-config", good, "-worker", "256"}, 1, "", "-worker 256: must be 0 to 255"},
		{"no such worker", []string{"-config", good, "-worker", "2"}, 2, "", "no such worker"},
		{"argument", []string{"-config", good, "capture.pcap"}, 2, "", `unexpected argument "capture.pcap"`},
		{"missing file", []string{"-config", good + ".none"}, 2, "", "no such file"},
		{"catalog without a command", []string{"catalog"}, 2, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd, stdout, stderr := dpid(tt.args...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if got := status(t, cmd); got != tt.status {
				t.Errorf("dpid %q: status %d, want %d\n%s", tt.args, got, tt.status, stderr)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("dpid %q: stdout %q, stderr %q, want %q, %q in them", tt.args, stdout, stderr, tt.stdout, tt.stderr)
			}
		})
	}
}

// TestMissingDirectory: one error that names the place.
func TestMissingDirectory(t *testing.T) {
	_, conf := household(t, "[workers]\ncount = 1")
	none := filepath.Join(t.TempDir(), "none")
	cmd, _, stderr := dpid("-config", conf, "-root", none)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := status(t, cmd); got == 0 || !strings.Contains(stderr.String(), none) || strings.Count(stderr.String(), "level=ERROR") > 1 {
		t.Errorf("status %d, want a failure and one error that names %s:\n%s", got, none, stderr)
	}
	if _, err := os.Stat(none); err == nil {
		t.Errorf("dpid made %s", none)
	}
}

// whole skips the test where this build cannot be closed in.
func whole(t *testing.T) {
	t.Helper()
	if _, _, e := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); e == syscall.ENOTSUP {
		t.Skip("system calls for all threads need a binary without cgo: CGO_ENABLED=0 go test")
	}
}

// capture makes the packet ring of worker 0, as capd would.
func capture(t *testing.T, dir string) *pktring.Producer { return captureRing(t, dir, true) }

// captureRing is capture for a capd that waits for the worker, or for a live one.
func captureRing(t *testing.T, dir string, wait bool) *pktring.Producer {
	t.Helper()
	root := layout.Root(dir)
	raw, err := layout.Seed(root.Seed())
	if err != nil {
		t.Fatal(err)
	}
	p, err := pktring.OpenProducer(pktring.Config{
		Path: root.PacketRing(0, 0), CursorPath: root.PacketCursor(0, 0), Descriptors: 1024, PayloadBytes: 1 << 20,
		Wait: wait, Tag: layout.InstanceTag(&raw, 1), Mode: 0o644,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// manager listens as a service manager does and returns its socket and the first
// message it gets.
func manager(t *testing.T) (path string, first <-chan string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ch := make(chan string, 1)
	go func() {
		b := make([]byte, 256)
		n, _ := l.Read(b)
		ch <- string(b[:n])
	}()
	return path, ch
}

// TestWorks starts a worker, which tells the service manager that it is ready, keeps
// a second one off, reads a capture to its end and leaves.
func TestWorks(t *testing.T) {
	whole(t)
	dir, conf := household(t, "[workers]\ncount = 1")
	p := capture(t, dir)
	socket, ready := manager(t)
	cmd, _, stderr := dpid("-config", conf)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	select {
	case got := <-ready:
		if got != "READY=1" {
			t.Errorf("the manager was told %q, want READY=1", got)
		}
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatalf("the manager was told nothing:\n%s", stderr)
	}

	second, _, complaint := dpid("-config", conf)
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprintf("pid %d", cmd.Process.Pid)
	if got := status(t, second); got != 75 || !strings.Contains(complaint.String(), pid) {
		t.Errorf("second worker: status %d, want 75 and %q in:\n%s", got, pid, complaint)
	}

	var d [pkt.DescSize]byte
	f := pkt.Fields{TS: 1, Kind: pkt.KindEOF}
	f.Encode(d[:])
	if !p.Put(d[:], nil, nil) {
		t.Fatal("Put() = false")
	}
	p.Publish()
	if got := status(t, cmd); got != 0 {
		t.Errorf("status %d, want 0:\n%s", got, stderr)
	}
	r, err := evtring.Tail(layout.Root(dir).EventRing(0), evtring.Oldest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if rec, err := r.Next(); err != nil || event.Type(rec.Type) != event.Epoch {
		t.Errorf("first event %v, %v, want EPOCH", event.Type(rec.Type), err)
	}
	if r.ProducerState() != layout.StateClosed {
		t.Errorf("the event ring is %v, want closed", r.ProducerState())
	}
	if strings.Contains(stderr.String(), "level=WARN") || strings.Contains(stderr.String(), "level=ERROR") {
		t.Errorf("a worker in good order complains:\n%s", stderr)
	}
}

// TestUnknownUser: one error that says what to do.
func TestUnknownUser(t *testing.T) {
	whole(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: another user stays what it is")
	}
	dir, conf := household(t, "[workers]\ncount = 1\nuser = \"no-such-user\"")
	capture(t, dir)
	cmd, _, stderr := dpid("-config", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := status(t, cmd); got != 1 || !strings.Contains(stderr.String(), "no-such-user") || !strings.Contains(stderr.String(), "workers.user") {
		t.Errorf("status %d, want 1 and the user and workers.user in:\n%s", got, stderr)
	}
}

// TestStopsWhileItWaits: nobody captures yet, and the worker is told to leave.
func TestStopsWhileItWaits(t *testing.T) {
	dir, conf := household(t, "[workers]\ncount = 1")
	cmd, _, stderr := dpid("-config", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	counters := layout.Root(dir).Stat("w00") // the last of its own files
	for end := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(counters); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the worker does not open its files:\n%s", stderr)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := status(t, cmd); got != 0 {
		t.Errorf("status %d after SIGTERM, want 0:\n%s", got, stderr)
	}
}
