package live

import "testing"

// TestHeaderOnly: when it is known what a flow is, its bytes stay where they are, and it
// is counted all the same; the next connection on its ports is looked at again.
func TestHeaderOnly(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.start(t, "Server listening", "iperf3", "-s", "--forceflush")
	before := l.frames(t)
	w := l.watch(t)
	for range 2 {
		l.client.Run(t, "iperf3", "-c", server4, "--cport", "40000", "-n", "8M", "-b", "100M", "-M", "1400") // never more than a ring holds
	}
	w.caughtUp(t, l, before)
	total := l.frames(t) - before
	list := w.stop(t)
	if n := w.lawful(t); n != total {
		t.Errorf("capd has counted %d frames, the interface %d", n, total)
	}
	c := w.counters(t, "capd")
	if c["header_only"] < 20 {
		t.Errorf("%d of %d frames went without their bytes", c["header_only"], c["frames"])
	}
	d := w.counters(t, "w00")
	if d["orphans"] != 0 || d["packets"] != total {
		t.Errorf("the worker has counted %d of %d packets into flows, %d are orphans", d["packets"], total, d["orphans"])
	}
	n := 0
	for i := range list {
		if list[i].ClientPort == 40000 {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d flows from port 40000, want 2", n)
	}
	t.Logf("%d frames, %d without their bytes", c["frames"], c["header_only"])
}
