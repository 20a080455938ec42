// Package crash kills the real programs while they work and holds what comes out
// against an undisturbed run.
package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/tests/binaries"
	"weir/tests/e2e"
	"weir/tests/traffic"
)

// kills is how many processes of each kind a test kills: few in "make test", many in
// "make crash".
func kills(t *testing.T) int {
	if s := os.Getenv("WEIR_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("WEIR_KILLS=%s: %v", s, err)
		}
		return n
	}
	return 6
}

// TestKill kills capd, dpid and policyd at random moments of a replay. The run goes
// on with the restarted process; the flows at the end are those of a run that nobody
// disturbed, packets and bytes included. Flows that were under inspection when their
// worker died may have learnt less, and say so.
func TestKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("WEIR_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("seed %d (WEIR_SEED repeats it)", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	capture := filepath.Join(t.TempDir(), "load.pcap")
	n, err := traffic.Write(capture, traffic.Options{Seed: 11, Flows: 30000, Packets: 8})
	if err != nil {
		t.Fatal(err)
	}
	want := e2e.Normal(t, e2e.Replay(t, "-workers", "2", capture))
	t.Logf("%d packets, %d flows", n, len(want))
	for _, victim := range []string{"dpid", "capd"} {
		t.Run(victim, func(t *testing.T) {
			done, reinspected := 0, 0
			for done < kills(t) {
				got, killed := killed(t, r, victim, "-workers", "2", capture)
				done += killed
				reinspected += compare(t, e2e.Normal(t, got), want)
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("%d kills of %s, %d flows inspected again", done, victim, reinspected)
		})
	}
}

// killed replays and kills processes of one name on the way.
func killed(t *testing.T, r *rand.Rand, victim string, args ...string) (flows []string, kills int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries.Dir(t), "weir"), append([]string{"replay", "-json"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	timeout := time.After(2 * time.Minute)
	for {
		// Long enough for a restarted process to get somewhere: a process that is
		// killed faster than it can start makes no progress, and proves nothing.
		pause := time.After(time.Duration(5+r.IntN(600)) * time.Millisecond)
		select {
		case err := <-end:
			if err != nil {
				t.Fatalf("replay with %d kills of %s: %v\n%s", kills, victim, err, errs.String())
			}
			return e2e.Lines(out.String()), kills
		case <-timeout:
			_ = cmd.Process.Kill()
			t.Fatalf("replay with %d kills of %s does not end\n%s", kills, victim, errs.String())
		case <-pause:
			if pids := children(cmd.Process.Pid, victim); len(pids) > 0 {
				if syscall.Kill(pids[r.IntN(len(pids))], syscall.SIGKILL) == nil {
					kills++
				}
			}
		}
	}
}

// children returns the processes of that name whose parent is pid.
func children(pid int, name string) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if open < 0 || end < open || string(b[open+1:end]) != name {
			continue
		}
		f := strings.Fields(string(b[end+1:]))
		if len(f) < 2 || f[1] != strconv.Itoa(pid) {
			continue
		}
		if p, err := strconv.Atoi(filepath.Base(filepath.Dir(s))); err == nil {
			pids = append(pids, p)
		}
	}
	return pids
}

// compare holds flows against those of an undisturbed run and returns how many were
// inspected again; of those, only what was counted must be equal.
func compare(t *testing.T, got, want []string) (again int) {
	t.Helper()
	counts := map[string]int{}
	var wantRest []string
	reinspected := map[string]bool{}
	for _, l := range got {
		if strings.Contains(l, `"reinspected":true`) {
			reinspected[counted(t, l)] = true
			counts[counted(t, l)]++
			again++
		}
	}
	for _, l := range want {
		if k := counted(t, l); reinspected[k] {
			counts[k]--
			continue
		}
		wantRest = append(wantRest, l)
	}
	rest := slices.DeleteFunc(slices.Clone(got), func(l string) bool { return strings.Contains(l, `"reinspected":true`) })
	if d := e2e.Diff(rest, wantRest, 8); d != "" {
		t.Errorf("flows differ from the undisturbed run (+ disturbed, - not):\n%s", d)
	}
	for k, n := range counts {
		if n != 0 {
			t.Errorf("flow inspected again: %d more of it than in the undisturbed run: %s", n, k)
		}
	}
	return again
}

// counted is what the packets alone decide: the tuple, times, counters and the end.
func counted(t *testing.T, line string) string {
	t.Helper()
	var f struct {
		CIP, SIP       string
		CPort, SPort   int
		Proto          int
		First, Last    string
		CP, SP, CB, SB uint64
		End            string
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatal(err)
	}
	for k, p := range map[string]any{
		"client_ip": &f.CIP, "server_ip": &f.SIP, "client_port": &f.CPort, "server_port": &f.SPort, "ip_protocol": &f.Proto,
		"first_seen": &f.First, "last_seen": &f.Last, "client_packets": &f.CP, "server_packets": &f.SP,
		"client_bytes": &f.CB, "server_bytes": &f.SB, "end_reason": &f.End,
	} {
		if err := json.Unmarshal(m[k], p); err != nil {
			t.Fatalf("%s in %s: %v", k, line, err)
		}
	}
	return fmt.Sprintf("%+v", f)
}
