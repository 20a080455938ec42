// Package torture kills and stops real processes at both ends of real rings, at
// random moments, and checks every byte that arrives.
//
// It is not a test of the rings' logic, which their own packages have: it shows
// that what a kill can leave behind is what the crash table says. The invariants:
// no wrong byte, no gap that was not told, and what is seen twice was read and
// not yet released or committed.
package torture

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var (
	kills = flag.Int("torture.kills", envInt("WEIR_TORTURE_KILLS", 0), "kills of each test; 0: as many as fit the short time")
	short = flag.Duration("torture.time", 800*time.Millisecond, "time of each test without -torture.kills")
	seed  = flag.Uint64("seed", 0, "of the random moments; 0 takes the time")
)

func envInt(name string, def int) int {
	var n int
	if _, err := fmt.Sscan(os.Getenv(name), &n); err != nil {
		return def
	}
	return n
}

// roleEnv tells the test binary that it is one of the processes of a test.
const roleEnv = "WEIR_TORTURE_ROLE"

// roles are what a child process can be; the argument is the folder.
var roles = map[string]func(dir string) error{
	"pkt-producer":      func(dir string) error { return producePackets(dir, true) },
	"pkt-producer-drop": func(dir string) error { return producePackets(dir, false) },
	"pkt-consumer":      consumePackets,
	"evt-producer":      func(dir string) error { return produceEvents(dir, false) },
	"evt-producer-wait": func(dir string) error { return produceEvents(dir, true) },
	"evt-reader":        readEvents,
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		flag.Parse()
		os.Exit(m.Run())
	}
	if err := roles[role](os.Getenv("WEIR_TORTURE_DIR")); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}
