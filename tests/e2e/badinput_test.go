package e2e

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"weir/tests/netns"
)

// TestBadCaptures: each gives one clear error that names the file, an exit status,
// and nothing is left behind. What can be read is told all the same.
func TestBadCaptures(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := Capture(t, Household)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	link := bytes.Clone(b)
	link[20] = 147 // a link type for private use
	long := bytes.Clone(b)
	long[24+11] = 0x7f // the first packet claims two thousand million bytes
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(b) // to memory
	_ = z.Close()
	tests := []struct {
		name   string
		files  []string
		status int
		flows  int    // at least; 0: none
		says   string // DIR stands for the folder
	}{
		{"missing", []string{dir + "/none.pcap"}, 2, 0, "weir: capture stat DIR/none.pcap: no such file or directory"},
		{"directory", []string{dir}, 2, 0, "weir: capture DIR: is a directory; name the files in it"},
		{"empty", []string{write("empty.pcap", nil)}, 1, 0, "weir: capd: read capture DIR/empty.pcap: at byte 0: the file is empty"},
		{
			"no capture", []string{write("text.pcap", []byte("this is no capture at all\n"))}, 1, 0,
			"weir: capd: read capture DIR/text.pcap: at byte 0: not a pcap or pcapng capture: it starts with 74 68 69 73",
		},
		{"cut in the file header", []string{write("head.pcap", b[:10])}, 1, 0, "weir: capd: read capture DIR/head.pcap: at byte 0: pcap file header: cut short: 10 of 24 bytes"},
		{"cut", []string{write("cut.pcap", b[:len(b)-7])}, 1, 10, "weir: capd: read capture DIR/cut.pcap: at byte "},
		{"corrupt", []string{write("long.pcap", long)}, 1, 0, "weir: capd: read capture DIR/long.pcap: at byte 24: corrupt: packet of "},
		{"packed and cut", []string{write("cut.pcap.gz", packed.Bytes()[:packed.Len()-20])}, 1, 1, "weir: capd: read capture DIR/cut.pcap.gz: at unpacked byte "},
		{
			"unknown link type", []string{write("link.pcap", link)}, 1, 0,
			"weir: capd: read capture DIR/link.pcap: 67 of 67 frames have a link type that Weir does not read: [147], see https://www.tcpdump.org/linktypes.html",
		},
		{"one of several", []string{good, write("empty2.pcap", nil), good}, 1, 10, "weir: capd: read capture DIR/empty2.pcap: at byte 0: the file is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rings := RingDir(t)
			out, errs, err := Run(t, "weir", append([]string{"replay", "-json", "-dir", rings}, tt.files...)...)
			if status := exitStatus(t, err); status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if want := strings.ReplaceAll(tt.says, "DIR", dir); !strings.HasPrefix(errs, want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("stderr is %q, want one line that begins with %q", errs, want)
			}
			if n := len(Lines(out)); n < tt.flows || n > 0 && tt.flows == 0 {
				t.Errorf("%d flows, want at least %d", n, tt.flows)
			}
			if exists(rings) {
				t.Error("the ring directory is left behind")
			}
		})
	}
}

// TestBadRingDirectory: one that cannot be made, that is there already, that nobody
// may write to, and one without room.
func TestBadRingDirectory(t *testing.T) {
	c := Capture(t, Household)
	refuse := func(t *testing.T, cmd *exec.Cmd, dir string, says ...string) {
		t.Helper()
		before := listing(t, dir)
		status, out, errs := Start(t, cmd).Wait(t)
		if status != 1 || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("status %d, want 1 and one error:\n%s%s", status, out, errs)
		}
		for _, s := range says {
			if !strings.Contains(errs, s) {
				t.Errorf("the error does not say %q: %s", s, errs)
			}
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s held %q and holds %q", dir, before, after)
		}
	}
	replay := func(dir string) *exec.Cmd { return exec.Command(Program(t, "weir"), "replay", "-dir", dir, c) }

	t.Run("there already", func(t *testing.T) {
		dir := t.TempDir()
		refuse(t, replay(dir), dir, "ring directory: mkdir "+dir+": file exists", "another instance may be using it")
	})
	t.Run("cannot be made", func(t *testing.T) {
		refuse(t, replay("/proc/weir"), t.TempDir(), "ring directory: mkdir /proc/weir: no such file or directory")
	})
	t.Run("may not be written to", func(t *testing.T) {
		dir := t.TempDir()
		cmd := replay(dir + "/rings")
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 { // whom modes do not stop
			cmd = asNobody(t, cmd)
			for d := filepath.Dir(c); len(d) > len(os.TempDir()); d = filepath.Dir(d) {
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			open(t, c)
		}
		refuse(t, cmd, dir, "ring directory: mkdir "+dir+"/rings: permission denied")
	})
	t.Run("dpid may not enter", func(t *testing.T) {
		netns.NeedRoot(t)
		dir := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		refuse(t, replay(dir+"/rings"), dir, "dpid: give up privileges: open ring directory "+dir+"/rings: permission denied: let user ")
	})
	for _, size := range []string{"64k", "256k", "1m", "2m", "3m"} {
		t.Run("full at "+size, func(t *testing.T) {
			netns.NeedRoot(t)
			dir := filepath.Dir(RingDir(t))
			// A mount of its own, which goes with the process.
			script := `mount -t tmpfs -o size=` + size + ` none "$1" && "$2" replay -json -dir "$1/rings" "$3"; status=$?; ls -A "$1"; exit $status`
			cmd := exec.Command("unshare", "-m", "sh", "-c", script, "sh", dir, Program(t, "weir"), c)
			refuse(t, cmd, dir, "no space left on device: make room there, or name another place with -dir", dir+"/rings/")
		})
	}
}

// asNobody has cmd run without privileges.
func asNobody(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	return cmd
}

// open lets everybody read a file.
func open(t *testing.T, path string) {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestTwoInstances: a daemon that finds its files owned says by whom, with the status
// that asks a service manager to try again, and disturbs nobody.
func TestTwoInstances(t *testing.T) {
	parent := filepath.Dir(RingDir(t))
	dir, conf, c := filepath.Join(parent, "rings"), filepath.Join(parent, "weir.toml"), filepath.Join(parent, "c.pcap")
	copyFile(t, c, Capture(t, Slow()))
	text := `[instance]
dir = "` + dir + `"
log_level = "warn"
[capture]
threads = 1
pace = 1.0
[workers]
count = 1
[rings]
packet_payload = "1MiB"
event_size = "2MiB"
[flow]
max_flows = 1024
[inspect]
contexts = 64
[policy]
mode = "enforce"
target = "dry-run"
`
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(parent, 0o777); err != nil { // dpid would not stay root
		t.Fatal(err)
	}
	command := func(name string, args ...string) *exec.Cmd {
		if name == "policyd" {
			args = append(args, "-config", conf)
		} else {
			args = append([]string{"-config", conf}, args...)
		}
		cmd := exec.Command(Program(t, name), args...)
		if os.Geteuid() == 0 {
			cmd = asNobody(t, cmd)
		}
		return cmd
	}
	tests := []struct {
		name, sign string
		args       []string
		says       string
		pid        bool
	}{
		{"capd", "pkt/c00-w00.ring", []string{c}, "open packet ring: attach " + dir + "/pkt/c00-w00.ring: owned by a running process (pid PID): stop it first", true},
		{"dpid", "pktcur/c00-w00.cur", nil, "open event ring: attach " + dir + "/evt/w00.ring: owned by a running process (pid PID): stop it first", true},
		{"policyd", "policyd.sock", []string{"enforce"}, "control socket " + dir + "/policyd.sock: another policyd runs on this directory: stop it first", false},
		{"policyd", "evtcur/flows.w00.cur", []string{"flows"}, "open event cursor: attach " + dir + "/evtcur/flows.w00.cur: owned by a running process (pid PID): stop it first", true},
	}
	for _, tt := range tests {
		t.Run(strings.Join(append([]string{tt.name}, tt.args...), " "), func(t *testing.T) {
			first := Start(t, command(tt.name, tt.args...))
			first.Eventually(t, "the first has "+tt.sign, func() bool { return exists(filepath.Join(dir, tt.sign)) })
			for range 2 {
				status, out, errs := Start(t, command(tt.name, tt.args...)).Wait(t)
				want := strings.ReplaceAll(tt.says, "PID", strconv.Itoa(first.PID))
				if status != 75 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
					t.Errorf("the second: status %d, want 75 and one line that says\n%s\n%s%s", status, want, out, errs)
				}
			}
			if first.Ended() {
				_, _, errs := first.Wait(t)
				t.Errorf("the first has ended:\n%s", errs)
			}
		})
	}
}
