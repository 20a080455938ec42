package live

import (
	"slices"
	"strings"
	"testing"
)

// fetch gets a page over HTTP and waits until one more flow of that is told.
func (l *lab) fetch(t testing.TB, w *watcher, when string) {
	t.Helper()
	told := func() int { return strings.Count(w.Stdout(), `"hostname":"`+httpName+`"`) }
	before := told()
	l.client.Run(t, "curl", "-sSf", "-m", "20", "-o", "/dev/null", "-H", "Host: "+httpName, "http://"+server4+"/")
	w.Eventually(t, when+": the request is told", func() bool { return told() > before })
}

// TestLinkChanges: the interface goes down and up, is deleted and made again, and is
// renamed, under the same capd, whose two threads share it each time.
func TestLinkChanges(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	w := l.watch(t, "-threads", "2")
	w.Eventually(t, "both threads capture", func() bool { return w.logged("msg=capturing", 2) })
	capd := w.Children("capd")
	l.fetch(t, w, "at first")

	l.server.Run(t, "ip", "link", "set", "s0", "down")
	l.server.Run(t, "ip", "link", "set", "s0", "up")
	l.neighbours(t, l.client, "c0")
	l.neighbours(t, l.server, "s0")
	l.fetch(t, w, "after down and up")

	l.server.Run(t, "ip", "link", "del", "s0")
	w.Eventually(t, "capd has seen it go", func() bool { return w.logged("waiting for an interface", 2) })
	l.wire(t)
	w.Eventually(t, "capd captures again", func() bool { return w.logged("msg=capturing", 4) })
	l.fetch(t, w, "after it was made again")

	l.server.Run(t, "ip", "link", "set", "s0", "name", "other")
	w.Eventually(t, "the other name is told", func() bool { return w.logged("was renamed", 1) })
	l.fetch(t, w, "after it was renamed")

	if now := w.Children("capd"); !slices.Equal(now, capd) {
		t.Errorf("capd was process %v and is %v: it must go on without a restart", capd, now)
	}
	w.stop(t)
	w.lawful(t)
}

// TestKill: each daemon is killed while a connection runs and requests come; the
// launcher starts it again and requests go on to be told.
func TestKill(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	l.start(t, "Server listening", "iperf3", "-s", "--forceflush")
	w := l.watch(t)
	load := l.background(t, "iperf3", "-c", server4, "-b", "20M", "-t", "600")
	l.fetch(t, w, "at first")
	captures := 1
	for _, name := range []string{"capd", "dpid", "policyd flows", "capd", "dpid"} {
		old := w.Daemons(name)
		if len(old) != 1 {
			t.Fatalf("%d processes of %s, want 1", len(old), name)
		}
		kill(t, old[0])
		w.Eventually(t, name+" is started again", func() bool {
			now := w.Daemons(name)
			return len(now) == 1 && now[0] != old[0]
		})
		if name == "capd" { // what comes before nobody captures
			captures++
			w.Eventually(t, "capd captures again", func() bool { return w.logged("msg=capturing", captures) })
		}
		l.fetch(t, w, "after kill -9 of "+name)
	}
	if load.Ended() {
		t.Errorf("the connection that ran all the time has ended:\n%s", load.Stderr())
	}
	w.stop(t)
	if out, err := ringctl(t, w.dir, "check"); err != nil {
		t.Errorf("ringctl check: %v\n%s", err, out)
	}
}
