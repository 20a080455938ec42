package crash

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/tests/e2e"
	"weir/tests/netns"
)

// rules fill one set whose elements outlive their flows and one whose elements do not.
const rules = `
[[set]]
name = "tls"
address = "ipv4"
key = ["client_ip", "server_ip", "server_port"]
timeout = "1h"

[[set]]
name = "live"
address = "ipv4"
key = ["client_ip", "client_port", "server_ip"]
timeout = "0s"
remove = "flow_end"

[[rule]]
name = "tls"
match = 'protocol == "tls"'
nftset = [{ set = "tls" }]

[[rule]]
name = "all"
match = "true"
nftset = [{ set = "live" }]
`

// wanted is what the rules make of flows that are all over.
func wanted(t *testing.T, flows []string) map[string][]string {
	t.Helper()
	keys := map[string]bool{}
	for _, l := range flows {
		var f struct {
			ClientIP   string `json:"client_ip"`
			ServerIP   string `json:"server_ip"`
			ServerPort int    `json:"server_port"`
			Protocol   string
		}
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatal(err)
		}
		if f.Protocol == "tls" {
			keys[fmt.Sprintf("%s . %s . %d", f.ClientIP, f.ServerIP, f.ServerPort)] = true
		}
	}
	return map[string][]string{"tls": slices.Sorted(maps.Keys(keys)), "live": {}}
}

// paced is a weir replay under the rules in a namespace, at a speed at which it takes
// two seconds.
func paced(t *testing.T, ns *netns.Namespace, policy, capture, workers string) *exec.Cmd {
	t.Helper()
	return ns.Command(e2e.Program(t, "weir"), "replay", "-json", "-pace", "30", "-dir", e2e.RingDir(t),
		"-workers", workers, "-policy", policy, capture)
}

// watch looks at the set of lasting elements until stop is called, and complains of
// any that goes away: they live for an hour, and a later look must find them.
func watch(t *testing.T, ns *netns.Namespace) (stop func()) {
	t.Helper()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var before netns.Set
		looks := 0
		for ; ; looks++ {
			now := ns.Sets(t, "inet", "weir")["tls"]
			for key := range before.Elements {
				if _, ok := now.Elements[key]; !ok {
					t.Errorf("look %d: element %s has gone, %d were there and %d are", looks, key, len(before.Elements), len(now.Elements))
					return
				}
			}
			before = now
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return sync.OnceFunc(func() { close(quit); wg.Wait() })
}

// TestKillPolicyd kills the enforcing policyd at random moments. The sets at the end
// are those of an undisturbed run, nothing is there twice, and nothing went away in
// between that was still wanted. The flows that others print are untouched by it.
func TestKillPolicyd(t *testing.T) {
	netns.NeedRoot(t)
	r := chance(t)
	capture, policy := made(t, light), e2e.Policy(t, "enforce", "nftables", rules)
	want := e2e.Normal(t, e2e.Replay(t, capture))
	done, runs := 0, 0
	for ; done < kills(t) && !t.Failed(); runs++ {
		ns := netns.New(t)
		stop := watch(t, ns)
		flows, killed := disturb(t, r, paced(t, ns, policy, capture, workers(r)), []string{"policyd enforce"}, kill)
		stop()
		done += killed["policyd enforce"]
		if d := e2e.Diff(e2e.Normal(t, flows), want, 6); d != "" {
			t.Errorf("flows differ from the undisturbed run (+ disturbed, - not):\n%s", d)
		}
		e2e.WantSets(t, ns, wanted(t, want))
	}
	t.Logf("%d kills of policyd in %d runs", done, runs)
}

// TestKillAny kills all kinds in one run.
func TestKillAny(t *testing.T) {
	netns.NeedRoot(t)
	r := chance(t)
	capture, policy := made(t, light), e2e.Policy(t, "enforce", "nftables", rules)
	want := e2e.Normal(t, e2e.Replay(t, capture))
	total, again := map[string]int{}, 0
	kinds := []string{"capd", "dpid", "policyd enforce"}
	for _, n := range []string{"1", "2", "4"} {
		t.Run(n+" workers", func(t *testing.T) {
			for done := 0; done < kills(t) && !t.Failed(); {
				ns := netns.New(t)
				stop := watch(t, ns)
				flows, killed := disturb(t, r, paced(t, ns, policy, capture, n), kinds, kill)
				stop()
				again += compare(t, e2e.Normal(t, flows), want)
				// What a flow had learnt before its worker died may be more than it says now.
				e2e.WantSets(t, ns, wanted(t, flows))
				for k, v := range killed {
					done += v
					total[k] += v
				}
			}
		})
	}
	t.Logf("kills: %v, %d flows inspected again", total, again)
}

// TestStop stops processes of each kind for a while. Nobody takes that for an end, and
// nothing is lost.
func TestStop(t *testing.T) {
	netns.NeedRoot(t)
	r := chance(t)
	capture, policy := made(t, light), e2e.Policy(t, "enforce", "nftables", rules)
	want := e2e.Normal(t, e2e.Replay(t, capture))
	for _, kind := range []string{"capd", "dpid", "policyd enforce", "policyd flows"} {
		t.Run(kind, func(t *testing.T) {
			ns := netns.New(t)
			stop := watch(t, ns)
			flows, stopped := disturb(t, r, paced(t, ns, policy, capture, workers(r)), []string{kind}, func(pid int) bool {
				if syscall.Kill(pid, syscall.SIGSTOP) != nil {
					return false
				}
				time.Sleep(pause(r)) // this is what is tested: standing still
				_ = syscall.Kill(pid, syscall.SIGCONT)
				return true
			})
			stop()
			if d := e2e.Diff(e2e.Normal(t, flows), want, 6); d != "" {
				t.Errorf("flows differ from the undisturbed run (+ disturbed, - not):\n%s", d)
			}
			e2e.WantSets(t, ns, wanted(t, want))
			t.Logf("stopped %d times", stopped[kind])
		})
	}
}

// TestNothingDeletedBeforeSnapshot: a policyd that was killed knows no flow when it
// starts again. While the workers cannot tell it, everything stays, what nobody wants
// included; when they have told, that goes, and nothing else.
func TestNothingDeletedBeforeSnapshot(t *testing.T) {
	ns := netns.New(t)
	run, dir := e2e.StartSlow(t, ns, e2e.Policy(t, "enforce", "nftables", e2e.HouseholdRules), "-workers", "2")
	// Somebody's flow that has ended meanwhile.
	ns.NFT(t, `add element inet weir live { 192.0.2.200 . 1 comment "weir: all" }`)
	held := e2e.SlowSets()
	held["live"] = append(held["live"], "192.0.2.200 . 1")
	// A policyd that knows all takes it for ours that nobody wants.
	run.Eventually(t, "what nobody wants is gone", func() bool { return e2e.Holds(t, ns, e2e.SlowSets()) })

	workers := run.Daemons("dpid")
	if len(workers) != 2 {
		t.Fatalf("%d workers, want 2", len(workers))
	}
	signal(t, syscall.SIGSTOP, workers...)
	ns.NFT(t, `add element inet weir live { 192.0.2.200 . 1 comment "weir: all" }`)
	for i := range max(kills(t)/4, 2) {
		killed := run.Daemons("policyd enforce")
		signal(t, syscall.SIGKILL, killed...)
		run.Eventually(t, "policyd is back and its view incomplete", func() bool {
			s, ok := status(t, dir)
			return ok && !slices.Contains(killed, s.PID) && s.stale() == 2
		})
		ns.NFT(t, fmt.Sprintf("add table ip reason%d", i)) // to look at all sets again
		run.Eventually(t, "policyd has looked at the sets", func() bool {
			s, ok := status(t, dir)
			return ok && s.Counts.Reconciled > 0 && s.stale() == 2
		})
		if !e2e.Holds(t, ns, held) {
			t.Fatalf("with no worker to ask the sets hold %v, want %v", ns.Sets(t, "inet", "weir"), held)
		}
	}
	signal(t, syscall.SIGCONT, workers...)
	run.Eventually(t, "the view is whole", func() bool {
		s, ok := status(t, dir)
		return ok && len(s.Workers) == 2 && s.stale() == 0
	})
	run.Eventually(t, "what nobody wants is gone", func() bool { return e2e.Holds(t, ns, e2e.SlowSets()) })
	e2e.StopSlow(t, run, dir)
}

func signal(t *testing.T, sig syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
}

// state is what policyd says of itself.
type state struct {
	PID     int
	Workers []struct{ Stale bool }
	Counts  struct {
		Reconciled uint64 `json:"reconciliations"`
	}
}

// stale is how many workers there are whose flows it may not know.
func (s state) stale() (n int) {
	for _, w := range s.Workers {
		if w.Stale {
			n++
		}
	}
	return n
}

// status asks the running policyd; not ok when there is none at the moment.
func status(t *testing.T, dir string) (s state, ok bool) {
	t.Helper()
	cmd := exec.Command(e2e.Program(t, "policyd"), "status", "-json", "-config", filepath.Join(dir, "weir.toml"))
	code, out, _ := e2e.Start(t, cmd).Wait(t)
	return s, code == 0 && json.Unmarshal([]byte(out), &s) == nil
}
