package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/tests/traffic"
)

// TestTiny: a capture of ten packets, from start to exit. How long it takes is told,
// not judged: the machine may be busy.
func TestTiny(t *testing.T) {
	c := Capture(t, Household[1:2])
	var times []time.Duration
	for range 5 {
		began := time.Now()
		if n := len(Replay(t, c)); n != 1 {
			t.Fatalf("%d flows, want 1", n)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	t.Logf("median %v, of %v", times[len(times)/2], times)
}

// TestInterrupt: a signal to the launcher, or as a terminal sends it to all, ends the
// run at once, and nothing is left behind.
func TestInterrupt(t *testing.T) {
	c := Capture(t, Slow())
	for _, tt := range []struct {
		name  string
		sig   syscall.Signal
		group bool
		args  []string
		says  string
	}{
		{name: "SIGINT", sig: syscall.SIGINT, args: []string{"-json"}},
		{name: "SIGTERM", sig: syscall.SIGTERM, args: []string{"-workers", "2"}, says: "APPLICATION"},
		{name: "from the keyboard", sig: syscall.SIGINT, group: true, args: []string{"-workers", "2"}, says: "APPLICATION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := RingDir(t)
			cmd := exec.Command(Program(t, "weir"), append(append([]string{"replay", "-pace", "1", "-dir", dir}, tt.args...), c)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			r := Start(t, cmd)
			r.Eventually(t, "capd has made its rings", func() bool { return exists(filepath.Join(dir, "topology.json")) })
			pids := r.Children("")
			if tt.group {
				if err := syscall.Kill(-r.PID, tt.sig); err != nil {
					t.Fatal(err)
				}
			} else {
				r.Signal(t, tt.sig)
			}
			status, out, errs := r.Wait(t)
			if status != 1 || errs != "weir: interrupted\n" || !strings.Contains(out, tt.says) {
				t.Errorf("status %d, want 1\n%s%s", status, out, errs)
			}
			LeftBehind(t, dir, pids)
		})
	}
}

// TestLauncherKilled: nobody outlives a launcher that is killed, dpid, which has
// become another user, included.
func TestLauncherKilled(t *testing.T) {
	dir := RingDir(t)
	r := Start(t, exec.Command(Program(t, "weir"), "replay", "-pace", "1", "-workers", "2", "-dir", dir, Capture(t, Slow())))
	r.Eventually(t, "both workers read", func() bool {
		return exists(filepath.Join(dir, "pktcur", "c00-w00.cur")) && exists(filepath.Join(dir, "pktcur", "c00-w01.cur"))
	})
	pids := r.Children("")
	if len(pids) != 4 {
		t.Errorf("%d processes, want capd, two dpid and policyd", len(pids))
	}
	r.Signal(t, syscall.SIGKILL)
	r.Wait(t)
	deadline := time.Now().Add(patience)
	for len(pids) > 0 && time.Now().Before(deadline) {
		pids = slices.DeleteFunc(pids, func(pid int) bool { return !alive(pid) })
		time.Sleep(time.Millisecond) // between two looks
	}
	for _, pid := range pids {
		t.Errorf("process %d outlives the launcher", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// alive reports whether the process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestKeep: -keep leaves the rings for who wants to look at them, and says where.
func TestKeep(t *testing.T) {
	dir := RingDir(t)
	_, errs, err := Run(t, "weir", "replay", "-quiet", "-keep", "-dir", dir, Capture(t, Household))
	if want := "weir: the rings are kept in " + dir + "\n"; err != nil || errs != want {
		t.Errorf("%v, %q, want %q", err, errs, want)
	}
	for _, f := range []string{"pkt/c00-w00.ring", "evt/w00.ring", "flow/w00.slab", "weir.toml"} {
		if !exists(filepath.Join(dir, f)) {
			t.Errorf("%s was not kept", f)
		}
	}
}

// TestPace: at recorded speed a capture takes no less time than it took, at ten times
// the speed no less than a tenth, and the flows are the same.
func TestPace(t *testing.T) {
	t.Parallel() // it waits most of the time
	const span = 1500 * time.Millisecond
	c := Capture(t, append(slices.Clone(Household), traffic.Conversation{
		Client: ap("192.0.2.99:40099"), Server: ap("198.51.100.99:9"), Kind: traffic.Scan, At: span,
	}))
	want := Normal(t, Replay(t, c))
	for _, pace := range []time.Duration{1, 10} {
		began := time.Now()
		got := Normal(t, Replay(t, "-pace", strconv.Itoa(int(pace)), c))
		took := time.Since(began)
		if least := span * 9 / 10 / pace; took < least {
			t.Errorf("-pace %d took %v, want at least %v", pace, took, least)
		}
		t.Logf("-pace %d of %v took %v", pace, span, took)
		if d := Diff(got, want, 6); d != "" {
			t.Errorf("-pace %d (+) and as fast as possible (-) differ:\n%s", pace, d)
		}
	}
}

// TestSeveralFiles: captures of one run are one stream, as if they were one file; a
// flow may begin in one and end in another.
func TestSeveralFiles(t *testing.T) {
	whole := Capture(t, Household)
	parts := split(t, whole, 3)
	for _, workers := range []string{"1", "2"} {
		want := Normal(t, Replay(t, "-workers", workers, whole))
		got := Normal(t, Replay(t, append([]string{"-workers", workers}, parts...)...))
		if len(want) != len(Household) {
			t.Errorf("%d flows, want %d", len(want), len(Household))
		}
		if d := Diff(got, want, 6); d != "" {
			t.Errorf("%s workers: three files (+) and one (-) differ:\n%s", workers, d)
		}
	}
}

// split cuts a classic pcap file into n, each with about as many packets.
func split(t *testing.T, path string, n int) (parts []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header, rest := b[:24], b[24:]
	var records [][]byte
	for len(rest) > 0 {
		size := 16 + int(binary.LittleEndian.Uint32(rest[8:]))
		records, rest = append(records, rest[:size]), rest[size:]
	}
	for i := range n {
		p := filepath.Join(t.TempDir(), "part.pcap")
		some := slices.Concat(records[i*len(records)/n : (i+1)*len(records)/n]...)
		if err := os.WriteFile(p, slices.Concat(header, some), 0o600); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	return parts
}

// TestProgress: on a terminal a line tells how far the run is, and is gone at the end.
func TestProgress(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script (bsdutils) is not installed")
	}
	c := Capture(t, Household)
	// A terminal that stops who writes from the background: our daemons are there.
	cmd := exec.Command(script, "-qec", "stty tostop; "+Program(t, "weir")+" replay -json "+c+" >/dev/null", "/dev/null")
	status, out, errs := Start(t, cmd).Wait(t)
	if status != 0 || !strings.Contains(out, " flows, ") || !strings.HasSuffix(out, "\r\x1b[K") {
		t.Errorf("status %d, on the terminal %q, want a line that is wiped out\n%s", status, out, errs)
	}
	if _, errs, _ := Run(t, "weir", "replay", "-json", c); errs != "" {
		t.Errorf("without a terminal: %q, want nothing", errs)
	}
}

// TestScan: a port scan is as many flows as packets, and none of them makes room for
// another, whatever the number of workers.
func TestScan(t *testing.T) {
	const packets = 30000
	var list []traffic.Conversation
	for i := range packets {
		list = append(list, traffic.Conversation{
			Client: netip.AddrPortFrom(ip("203.0.113.66"), uint16(1024+i/60000)),
			Server: netip.AddrPortFrom(ip("192.0.2.10"), uint16(1+i)), Kind: traffic.Scan, At: time.Duration(i) * 10 * time.Microsecond,
		})
	}
	c := Capture(t, list)
	for _, workers := range []string{"1", "4"} {
		ends := endReasons(t, Replay(t, "-workers", workers, c))
		if ends["shutdown"] != packets || len(ends) != 1 {
			t.Errorf("%s workers: flows by end %v, want %d by shutdown", workers, ends, packets)
		}
	}
	if corpus := os.Getenv("WEIR_CORPUS"); corpus != "" {
		if p := filepath.Join(corpus, "ndpi", "pcap", "synscan.pcap"); exists(p) {
			if ends := endReasons(t, Replay(t, p)); ends["evicted"] != 0 {
				t.Errorf("synscan.pcap: flows by end %v, want none evicted", ends)
			}
		}
	}
}

func endReasons(t *testing.T, flows []string) map[string]int {
	t.Helper()
	ends := map[string]int{}
	for _, l := range flows {
		var f struct {
			Reason string `json:"end_reason"`
		}
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatal(err)
		}
		ends[f.Reason]++
	}
	return ends
}

// TestEveryFlowIsDescribed: tables that follow the capture have room for what every
// flow has to say, and for every name that a later flow is named by.
func TestEveryFlowIsDescribed(t *testing.T) {
	const flows = 5000
	var list []traffic.Conversation
	for i := range flows {
		client := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		server := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		at := time.Duration(i) * 100 * time.Microsecond
		name := fmt.Sprintf("a-rather-long-name-for-a-host-%d.in.a.rather.long.domain.example.org", i)
		list = append(list,
			traffic.Conversation{Client: netip.AddrPortFrom(client, 50000), Server: ap("192.0.2.53:53"), Kind: traffic.DNS, Name: name, Answer: server, At: at},
			traffic.Conversation{Client: netip.AddrPortFrom(client, 40000), Server: netip.AddrPortFrom(server, 4000), Kind: traffic.Opaque, At: at + time.Second},
		)
	}
	c := Capture(t, list)
	for _, workers := range []string{"1", "2"} {
		bySource := map[string]int{}
		for _, l := range Replay(t, "-workers", workers, c) {
			var f struct{ Hostname, Source string }
			if err := json.Unmarshal([]byte(l), &f); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(f.Hostname, "a-rather-long-name") {
				bySource[f.Source]++
			}
		}
		if bySource["dpi"] != flows || bySource["dns"] != flows {
			t.Errorf("%s workers: named flows by source %v, want %d dpi and dns each", workers, bySource, flows)
		}
	}
}
