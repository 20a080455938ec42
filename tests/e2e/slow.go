package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"weir/tests/netns"
	"weir/tests/traffic"
)

// Slow is the household, whose flows do not end, and one packet hours later: a replay
// at recorded speed has told all about the flows and then waits, with everything
// running.
func Slow() []traffic.Conversation {
	list := slices.Clone(Household)
	for i := range list {
		list[i].End = traffic.Never
	}
	return append(list, traffic.Conversation{
		Client: ap("192.0.2.99:40099"), Server: ap("198.51.100.99:9"), Kind: traffic.Scan, At: 3 * time.Hour,
	})
}

// SlowSets is what the household's rules make of its flows while they live.
func SlowSets() map[string][]string {
	want := map[string][]string{}
	for name, keys := range HouseholdSets {
		want[name] = slices.Clone(keys)
	}
	want["live"] = []string{
		"192.0.2.10 . 40000", "192.0.2.10 . 40001", "192.0.2.10 . 40002", "192.0.2.10 . 50000",
		"192.0.2.11 . 40003", "192.0.2.12 . 40004", "192.0.2.13 . 40005",
	}
	return want
}

// StartSlow starts a replay at recorded speed that stays, and waits until the sets
// hold what they must.
func StartSlow(t testing.TB, ns *netns.Namespace, path string, args ...string) (r *Running, dir string) {
	t.Helper()
	dir = RingDir(t)
	args = slices.Concat([]string{"replay", "-quiet", "-pace", "1", "-dir", dir, "-policy", path}, args, []string{Capture(t, Slow())})
	r = Start(t, ns.Command(Program(t, "weir"), args...))
	r.Eventually(t, "the sets hold what they must", func() bool { return Holds(t, ns, SlowSets()) })
	return r, dir
}

// Holds reports whether the sets of table inet weir hold exactly these keys.
func Holds(t testing.TB, ns *netns.Namespace, want map[string][]string) bool {
	t.Helper()
	got := ns.Sets(t, "inet", "weir")
	for name, keys := range want {
		if s, ok := got[name]; !ok || !slices.Equal(s.Keys(), keys) {
			return false
		}
	}
	return true
}

// StopSlow interrupts a replay and wants nothing left behind but the sets.
func StopSlow(t testing.TB, r *Running, dir string) {
	t.Helper()
	pids := r.Children("")
	r.Signal(t, syscall.SIGINT)
	status, _, errs := r.Wait(t)
	if status != 1 || errs == "" {
		t.Errorf("interrupted: status %d\n%s", status, errs)
	}
	LeftBehind(t, dir, pids)
}

// LeftBehind complains of processes and of a ring directory that are still there.
func LeftBehind(t testing.TB, dir string, pids []int) {
	t.Helper()
	if exists(dir) {
		t.Error("the ring directory is left behind")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d is left behind", pid)
		}
	}
}
