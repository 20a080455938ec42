package queue

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/tests/e2e"
)

// Every stage is killed while fifty connections run and others begin: all of them
// arrive, and afterwards packets are held and names blocked again.
func TestStagesKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serveAll(t)
	w := l.inline(t, "drop", 20*time.Millisecond)
	const running = 50
	downloads := e2e.Start(t, l.client.Command("curl", "-sS", "-Z", "--parallel-immediate", "--parallel-max", strconv.Itoa(running), "--limit-rate", "400k", "--max-time", "60",
		"-H", "Connection: close", "--resolve", "running.example:80:"+server4, "-o", "/dev/null", "-w", "%{size_download}\n",
		fmt.Sprintf("http://running.example/slow?[1-%d]", running)))
	begun := 0
	for _, stage := range []string{"capd", "dpid", "policyd enforce", "capd"} {
		pids := w.Daemons(stage)
		if len(pids) != 1 {
			t.Fatalf("%s runs as %v, want one process", stage, pids)
		}
		if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		begun += 20
		if n := l.tries(t, allowedHost, server4, 20, 20*time.Second, 0); n != 20 {
			t.Errorf("%d of 20 connections were served while %s came back", n, stage)
		}
		w.Eventually(t, stage+" is back", func() bool {
			now := w.Daemons(stage)
			return len(now) == 1 && now[0] != pids[0]
		})
	}
	status, out, errs := downloads.Wait(t)
	if whole := strings.Count(out, strconv.Itoa(slowFile)+"\n"); status != 0 || whole != running {
		t.Errorf("%d of %d connections brought their file (curl: %d)\n%s", whole, running, status, errs)
	}
	w.Eventually(t, "names are blocked again", func() bool {
		return l.tries(t, blockedHost, blocked4, 5, 300*time.Millisecond, 0) == 0
	})
	w.stop(t)
}
