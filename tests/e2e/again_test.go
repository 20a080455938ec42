package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weir/shm/layout"
	"weir/tests/traffic"
)

// TestCapturesOnce: a capd that is killed after the end of its captures, before its exit
// says so, is started again by its supervisor. It must find that all is delivered, and
// not begin anew in front of workers that have left.
func TestCapturesOnce(t *testing.T) {
	dir := t.TempDir()
	capture := filepath.Join(dir, "c.pcap")
	if _, err := traffic.Write(capture, traffic.Options{Seed: 9, Flows: 50, Packets: 2}); err != nil {
		t.Fatal(err)
	}
	// Not below dir: the user that dpid becomes must be able to walk there.
	rings := fmt.Sprintf("/dev/shm/weir-test-again-%d", os.Getpid())
	t.Cleanup(func() { _ = os.RemoveAll(rings) })
	if _, stderr, err := Run(t, "weir", "replay", "-quiet", "-keep", "-dir", rings, "-workers", "2", capture); err != nil {
		t.Fatalf("replay: %v\n%s", err, stderr)
	}
	before := tails(t, rings)
	if before[0] == 0 || before[1] == 0 {
		t.Fatalf("records in the rings: %v, want some in both", before)
	}
	conf := filepath.Join(rings, "weir.toml")
	if _, stderr, err := Run(t, "capd", "-config", conf, capture); err != nil {
		t.Fatalf("capd, again: %v\n%s", err, stderr)
	}
	if after := tails(t, rings); after != before {
		t.Errorf("records in the rings after the same captures again: %v, want %v", after, before)
	}
	other := filepath.Join(dir, "other.pcap")
	if _, err := traffic.Write(other, traffic.Options{Seed: 10, Flows: 50, Packets: 2}); err != nil {
		t.Fatal(err)
	}
	if _, stderr, err := Run(t, "capd", "-config", conf, other); err != nil {
		t.Fatalf("capd, another capture: %v\n%s", err, stderr)
	}
	if after := tails(t, rings); after[0] <= before[0] || after[1] <= before[1] {
		t.Errorf("records in the rings after another capture: %v, want more than %v", after, before)
	}
}

// tails returns how many records were published in the packet rings of two workers.
func tails(t *testing.T, dir string) (n [2]uint64) {
	t.Helper()
	for w := range n {
		m, err := layout.OpenRO(layout.Root(dir).PacketRing(0, w), layout.Spec{Magic: layout.MagicPacketRing, ABIMajor: layout.ABIMajor})
		if err != nil {
			t.Fatal(err)
		}
		n[w] = m.U64(layout.OffHot).Load()
		_ = m.Close()
	}
	return n
}
