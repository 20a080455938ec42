package queue

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/tests/e2e"
)

// echo answers datagrams at the server and returns a socket of the client's to it.
func (l *lab) echo(t *testing.T) (c *net.UDPConn) {
	t.Helper()
	l.server.Do(t, func() error {
		s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(server4), Port: 7})
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = s.Close() })
		go func() {
			var b [64]byte
			for {
				n, from, err := s.ReadFromUDP(b[:])
				if err != nil {
					return // it was closed
				}
				_, _ = s.WriteToUDP(b[:n], from) // the client sees what is missing
			}
		}()
		return nil
	})
	l.client.Do(t, func() (err error) {
		c, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(server4), Port: 7})
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pings sends n datagrams, one after the other, and returns how many were answered
// within patience each.
func pings(t *testing.T, c *net.UDPConn, n int, patience time.Duration) (answered int) {
	t.Helper()
	for i := range n {
		if _, err := fmt.Fprintf(c, "ping %d", i); err != nil {
			t.Fatal(err)
		}
		if answers(t, c, 1, patience) == 1 {
			answered++
		}
	}
	return answered
}

// still reports whether a process was stopped, with all of its threads.
func still(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is good
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil || !strings.Contains(string(b), ") T ") {
			return false
		}
	}
	return len(tasks) > 0
}

// answers reads up to n answers.
func answers(t *testing.T, c *net.UDPConn, n int, patience time.Duration) int {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	for i := range n {
		if _, err := c.Read(b[:]); err != nil {
			return i
		}
	}
	return n
}

// What a full queue does while capd stands still is up to fail_open: everything but
// what is stuck in it passes, or nothing does. What was stuck goes when capd does.
func TestFailOpen(t *testing.T) {
	t.Parallel()
	const length, sent = 4, 12
	for _, tt := range []struct {
		open        bool
		while, late int
	}{
		{true, sent - length, length},
		{false, 0, length},
	} {
		t.Run(fmt.Sprint(tt.open), func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c := l.echo(t)
			path := filepath.Join(t.TempDir(), "weir.toml")
			conf := fmt.Sprintf("[instance]\ndir = %q\n[capture]\nsource = \"nfqueue\"\n[capture.nfqueue]\nrules = \"forward\"\npackets = 0\nqueue_length = %d\nfail_open = %v\n",
				e2e.RingDir(t), length, tt.open)
			if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
				t.Fatal(err)
			}
			capd := e2e.Start(t, l.gateway.Command(e2e.Program(t, "capd"), "-config", path))
			capd.Eventually(t, "the rules are there", l.hasTable)
			capd.Eventually(t, "capd passes packets", func() bool { return pings(t, c, 1, time.Second) == 1 })
			for answers(t, c, 1, 100*time.Millisecond) > 0 { // of those before
			}
			capd.Signal(t, syscall.SIGSTOP)
			capd.Eventually(t, "capd stands still", func() bool { return still(capd.PID) })
			if n := pings(t, c, sent, 500*time.Millisecond); n != tt.while {
				t.Errorf("%d of %d packets passed while capd stood still, want %d", n, sent, tt.while)
			}
			capd.Signal(t, syscall.SIGCONT)
			if n := answers(t, c, sent, 2*time.Second); n != tt.late {
				t.Errorf("%d packets were let go when capd went on, want the %d of the queue", n, tt.late)
			}
			if n := pings(t, c, 3, 10*time.Second); n != 3 {
				t.Errorf("%d of 3 packets passed after that, want all", n)
			}
			capd.Signal(t, syscall.SIGTERM)
			if status, _, errs := capd.Wait(t); status != 0 {
				t.Errorf("capd = %d\n%s", status, errs)
			}
		})
	}
}

// A capd that hangs, as a whole or with its capture thread alone, is ended and started
// again.
func TestHung(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serveAll(t)
	w := l.inline(t, "drop", 20*time.Millisecond)
	for _, tt := range []struct {
		name, says string
		hang       func(t *testing.T, pid int) (done func())
	}{
		{"all of it", "capd has stood still", func(t *testing.T, pid int) func() {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			return func() {}
		}},
		{"one thread", "a capture thread hangs", hangThread},
	} {
		pids := w.Children("capd")
		if len(pids) != 1 {
			t.Fatalf("capd runs as %v, want one process", pids)
		}
		done := tt.hang(t, pids[0])
		w.Eventually(t, tt.name+": capd is another", func() bool {
			now := w.Children("capd")
			return len(now) == 1 && now[0] != pids[0]
		})
		done()
		if !strings.Contains(w.Stderr(), tt.says) {
			t.Errorf("%s: nobody said %q:\n%s", tt.name, tt.says, w.Stderr())
		}
		if n := l.tries(t, allowedHost, server4, 5, 20*time.Second, 0); n != 5 {
			t.Errorf("%s: %d of 5 connections were served afterwards", tt.name, n)
		}
		w.Eventually(t, tt.name+": names are blocked again", func() bool {
			return l.tries(t, blockedHost, blocked4, 3, 300*time.Millisecond, 0) == 0
		})
	}
	w.stop(t)
}

// hangThread stops the thread of a process that waits in ppoll for one file, as only the
// capture thread does: who listens to conntrack waits for several. A thread that is traced and stopped cannot be told from one that hangs
// in the kernel.
func hangThread(t *testing.T, pid int) (done func()) {
	t.Helper()
	hangs, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the tracer is a thread, which ends with this goroutine
		defer close(ended)
		tid, err := seize(pid)
		hangs <- err
		if err == nil {
			_, _ = syscall.Wait4(tid, nil, unix.WALL, nil) // it stops
			_, _ = syscall.Wait4(tid, nil, unix.WALL, nil) // it is gone with its process
		}
	}()
	if err := <-hangs; err != nil {
		t.Fatal(err)
	}
	return func() { <-ended }
}

func seize(pid int) (tid int, err error) {
	for range 1000 {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		if err != nil {
			return 0, err
		}
		for _, task := range tasks {
			b, err := os.ReadFile(task + "/syscall")
			f := strings.Fields(string(b))
			if err != nil || len(f) < 3 || f[0] != strconv.Itoa(unix.SYS_PPOLL) || f[2] != "0x1" {
				continue // it works, or has ended, or is another
			}
			if _, err := fmt.Sscan(filepath.Base(task), &tid); err != nil {
				return 0, err
			}
			if err := unix.PtraceSeize(tid); err != nil {
				return 0, fmt.Errorf("trace thread %d: %w", tid, err)
			}
			return tid, unix.PtraceInterrupt(tid)
		}
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("process %d has no thread in ppoll for one file", pid)
}
