package main

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"weir/proto/event"
)

// TestKills kills policyd at random moments while flows come and go. What flows
// want that live all the time is never gone, and in the end the kernel holds what
// an undisturbed run would have left.
func TestKills(t *testing.T) {
	netns(t)
	kills := 8
	if os.Getenv("LONG") != "" {
		kills = 50
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path, root := writeConfig(t, crashPolicy)
	p := startPolicyd(t, "enforce", "-config", path)
	defer func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of the last policyd:\n%s", p.log)
		}
	}()
	k := openKernel(t, path)
	workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
	waitAttached(t, workers)

	// Flows that live to the end of the test.
	forever := map[uint64]bool{}
	for _, w := range workers {
		for range 20 {
			id := w.begin()
			w.emit(event.FlowClass, id, true)
			forever[id] = true
		}
		w.tend(t)
	}
	present := func() bool {
		got := k.content(0)
		for id := range forever {
			if !got[elementOf(id)] {
				return false
			}
		}
		return true
	}
	waitFor(t, "the first elements", present)

	for n := range kills {
		muted := rng.IntN(2) == 0 // the snapshot comes late
		for _, w := range workers {
			w.mute = muted
		}
		if rng.IntN(4) > 0 { // else it is killed while it starts
			waitAttached(t, workers)
		}
		churn(t, rng, workers, forever, 200+rng.IntN(2000))
		p.kill()
		churn(t, rng, workers, forever, rng.IntN(200))
		p = startPolicyd(t, "enforce", "-config", path)
		churn(t, rng, workers, forever, 100)
		if !present() {
			t.Fatalf("kill %d: elements of living flows are gone", n)
		}
	}
	for _, w := range workers {
		w.mute = false
	}
	settle(t, k, workers)
}

// waitAttached waits until policyd reads all rings: from then on nothing is missed.
func waitAttached(t *testing.T, workers []*worker) {
	t.Helper()
	waitFor(t, "policyd attaches", func() bool {
		for _, w := range workers {
			w.tend(t)
			if r, ok := w.p.Reader(consumer); !ok || !r.Alive {
				return false
			}
		}
		return true
	})
}

// churn lets n things happen to flows.
func churn(t *testing.T, rng *rand.Rand, workers []*worker, forever map[uint64]bool, n int) {
	t.Helper()
	for range n {
		w := workers[rng.IntN(len(workers))]
		switch rng.IntN(4) {
		case 0, 1:
			id := w.begin()
			if rng.IntN(3) > 0 {
				w.emit(event.FlowClass, id, rng.IntN(4) > 0)
			}
		case 2:
			for id := range w.live {
				if !forever[id] {
					w.end(id)
					break
				}
			}
		case 3:
			for id := range w.live {
				w.emit(event.FlowStats, id, w.everTLS[id])
				break
			}
		}
		if rng.IntN(10) == 0 {
			w.tend(t)
			time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
		}
	}
}

// settle waits until the kernel holds exactly what the flows of all workers want.
func settle(t *testing.T, k *kernelSets, workers []*worker) {
	t.Helper()
	var want, ever []string
	for _, w := range workers {
		want = append(want, elements(w.live, func(id uint64) bool { return w.everTLS[id] })...)
		ever = append(ever, elements(w.everTLS, func(uint64) bool { return true })...)
	}
	slices.Sort(want)
	slices.Sort(ever)
	var living, seen []string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		for _, w := range workers {
			w.tend(t)
		}
		living, seen = sorted(k.content(0)), sorted(k.content(1))
		if slices.Equal(living, want) && slices.Equal(seen, ever) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("set living has %d elements, want %d; set seen has %d, want %d", len(living), len(want), len(seen), len(ever))
}

// While policyd is gone, flows end and what they wanted must go when it is back,
// but not before it knows who else wants it.
func TestNothingDeletedBeforeSnapshot(t *testing.T) {
	netns(t)
	path, root := writeConfig(t, crashPolicy)
	p := startPolicyd(t, "-config", path)
	defer func() { p.kill() }()
	k := openKernel(t, path)
	workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
	waitAttached(t, workers)
	var first uint64
	for i := range 50 {
		id := workers[0].begin()
		workers[0].emit(event.FlowClass, id, true)
		if i == 0 {
			first = id
		}
	}
	tend := func() {
		for _, w := range workers {
			w.tend(t)
		}
	}
	waitFor(t, "all elements", func() bool { tend(); return len(k.content(0)) == 50 })
	p.kill()
	workers[0].mute = true
	workers[0].end(first)
	tend()
	p = startPolicyd(t, "-config", path)
	waitFor(t, "policyd reads on", func() bool {
		tend()
		r, ok := workers[0].p.Reader(consumer)
		return ok && r.Lag == 0
	})
	if got := len(k.content(0)); got != 50 {
		t.Errorf("%d elements before the snapshot, want 50", got)
	}
	workers[0].mute = false
	waitFor(t, "the element of the ended flow to go", func() bool { tend(); return len(k.content(0)) == 49 })
	if k.content(0)[elementOf(first)] {
		t.Error("the wrong element went")
	}
}

// A drained policyd leaves the same sets behind, killed in the middle or not.
func TestDrainAfterKill(t *testing.T) {
	run := func(t *testing.T, kill bool) (living, seen []string) {
		netns(t)
		path, root := writeConfig(t, crashPolicy)
		workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
		p := startPolicyd(t, "enforce", "-config", path, "-drain")
		k := openKernel(t, path)
		waitAttached(t, workers)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 1500 {
			w := workers[i%2]
			id := w.begin()
			w.emit(event.FlowClass, id, rng.IntN(2) == 0)
			if i%3 == 0 {
				w.end(id)
			}
			w.p.Publish()
			if kill && i == 700 {
				p.kill()
				p = startPolicyd(t, "enforce", "-config", path, "-drain")
			}
		}
		for _, w := range workers {
			for id := range w.live {
				w.end(id)
			}
			if err := w.p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.cmd.Wait(); err != nil {
			t.Fatalf("policyd: %v\n%s", err, p.log)
		}
		return sorted(k.content(0)), sorted(k.content(1))
	}
	var want, got [2][]string
	t.Run("undisturbed", func(t *testing.T) { want[0], want[1] = run(t, false) })
	t.Run("killed", func(t *testing.T) { got[0], got[1] = run(t, true) })
	for i, set := range []string{"living", "seen"} {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("set %s has %d elements after a kill, %d without", set, len(got[i]), len(want[i]))
		}
	}
	if len(want[0]) != 0 || len(want[1]) == 0 {
		t.Errorf("undisturbed: %d living, %d seen, want none and some", len(want[0]), len(want[1]))
	}
}
