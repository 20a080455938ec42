// Package crash disturbs the real programs while they work, kills and stops, and
// holds what comes out against an undisturbed run.
package crash

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"weir/tests/e2e"
)

// kills is how many processes of each kind a test kills: few in "make test", many in
// "make crash-full".
func kills(t testing.TB) int {
	t.Helper()
	if s := os.Getenv("WEIR_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("WEIR_KILLS=%s: %v", s, err)
		}
		return n
	}
	if os.Getenv("WEIR_LONG") != "" {
		return 50
	}
	return 4
}

// chance returns random numbers from a seed that is printed.
func chance(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("WEIR_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("WEIR_SEED=%s: %v", s, err)
		}
		seed = n
	}
	t.Logf("seed %d (WEIR_SEED repeats it)", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// least and most are between which a pause ends. Long enough for a restarted process to
// get somewhere: one that is killed faster than it can start makes no progress, and
// proves nothing.
const (
	least = 5 * time.Millisecond
	most  = 600 * time.Millisecond
)

func pause(r *rand.Rand) time.Duration { return least + time.Duration(r.Int64N(int64(most-least))) }

// disturb runs cmd, a weir replay, and does something to a random process of a random
// kind at random moments, until the run ends; it must end well. It returns what was
// printed and how often each kind was hurt.
func disturb(t *testing.T, r *rand.Rand, cmd *exec.Cmd, kinds []string, hurt func(pid int) bool) (flows []string, hurts map[string]int) {
	t.Helper()
	hurts = map[string]int{}
	run := e2e.Start(t, cmd)
	for !run.Ended() {
		kind := kinds[r.IntN(len(kinds))]
		wait := time.After(pause(r))
		select {
		case <-run.Done():
		case <-wait:
			if pids := run.Daemons(kind); len(pids) > 0 && hurt(pids[r.IntN(len(pids))]) {
				hurts[kind]++
			}
		}
	}
	status, out, errs := run.Wait(t)
	if status != 0 {
		t.Fatalf("replay with %v disturbed: status %d\n%s", hurts, status, errs)
	}
	return e2e.Lines(out), hurts
}

// kill ends a process as nothing else can.
func kill(pid int) bool { return syscall.Kill(pid, syscall.SIGKILL) == nil }

// replay is a weir replay that prints flows.
func replay(t testing.TB, args ...string) *exec.Cmd {
	return exec.Command(e2e.Program(t, "weir"), append([]string{"replay", "-json"}, args...)...)
}

// workers is a random number of workers, as an argument.
func workers(r *rand.Rand) string { return []string{"1", "2", "4"}[r.IntN(3)] }
