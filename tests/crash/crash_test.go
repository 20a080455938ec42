package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"weir/tests/e2e"
	"weir/tests/traffic"
)

// scratch is a folder for what the tests share.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	status := m.Run()
	_ = os.RemoveAll(dir) // no more than tidy
	os.Exit(status)
}

// heavy is a capture that keeps all processes busy for some tenths of a second.
var heavy = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "heavy.pcap")
	_, err := traffic.Write(path, traffic.Options{Seed: 11, Flows: 20000, Packets: 8})
	return path, err
})

// light is a capture of one minute that policyd fills sets from.
var light = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "light.pcap")
	_, err := traffic.Write(path, traffic.Options{Seed: 12, Flows: 6000, Packets: 4})
	return path, err
})

func made(t *testing.T, capture func() (string, error)) string {
	t.Helper()
	path, err := capture()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKill kills workers, or capd, at random moments of a replay. The run goes on with
// the restarted process; the flows at the end are those of a run that nobody
// disturbed, packets and bytes included. Flows that were under inspection when their
// worker died may have learnt less, and say so.
func TestKill(t *testing.T) {
	r := chance(t)
	capture := made(t, heavy)
	want := e2e.Normal(t, e2e.Replay(t, "-workers", "2", capture))
	for _, victim := range []string{"dpid", "capd"} {
		t.Run(victim, func(t *testing.T) {
			done, again, runs := 0, 0, 0
			for ; done < kills(t) && !t.Failed(); runs++ {
				n := workers(r)
				flows, killed := disturb(t, r, replay(t, "-workers", n, capture), []string{victim}, kill)
				done += killed[victim]
				again += compare(t, e2e.Normal(t, flows), want)
				if t.Failed() {
					t.Logf("%s workers, kills: %v", n, killed)
				}
			}
			t.Logf("%d kills of %s in %d runs, %d flows inspected again", done, victim, runs, again)
			if victim == "capd" && again > 0 {
				t.Errorf("%d flows were inspected again though no worker died", again)
			}
		})
	}
}
