package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/tests/binaries"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// Running is one of our programs at work.
type Running struct {
	PID  int
	done chan struct{} // closed at the end
	err  error
	out  text
	errs text
}

// text collects what a program prints while others look at it.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (x *text) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(b)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// Start starts cmd. What still runs at the end of the test is killed.
func Start(t testing.TB, cmd *exec.Cmd) *Running {
	t.Helper()
	r := &Running{done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &r.out
	}
	cmd.Stderr = &r.errs
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.PID = cmd.Process.Pid
	go func() {
		r.err = cmd.Wait()
		close(r.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails when it is gone already
		<-r.done
	})
	return r
}

// Stdout returns what the program has printed so far.
func (r *Running) Stdout() string { return r.out.String() }

// Stderr returns what the program has logged so far.
func (r *Running) Stderr() string { return r.errs.String() }

// Signal sends a signal to the program itself.
func (r *Running) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(r.PID, sig); err != nil {
		t.Fatalf("signal %v: %v", sig, err)
	}
}

// Done is closed when the program has ended.
func (r *Running) Done() <-chan struct{} { return r.done }

// Ended reports whether the program has ended.
func (r *Running) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end and returns exit status and output; a program that a
// signal ended has status -1.
func (r *Running) Wait(t testing.TB) (status int, stdout, stderr string) {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(4 * patience):
		t.Fatalf("the program does not end\n%s", r.errs.String())
	}
	return exitStatus(t, r.err), r.out.String(), r.errs.String()
}

func exitStatus(t testing.TB, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// Children returns the processes of that name that r started, "" for all.
func (r *Running) Children(name string) []int { return Children(r.PID, name) }

// Daemons returns the processes that r started as this program, and with this first
// argument when a second word names one, as in "policyd enforce".
func (r *Running) Daemons(command string) (pids []int) {
	name, arg, _ := strings.Cut(command, " ")
	for _, pid := range r.Children(name) {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if args := strings.Split(string(b), "\x00"); err == nil && (arg == "" || len(args) > 1 && args[1] == arg) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Eventually waits until ok. It fails the test when the program ends before, or when
// that takes too long.
func (r *Running) Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if r.Ended() {
			t.Fatalf("the program ended before: %s\n%v\n%s", what, r.err, r.errs.String())
		}
		if time.Now().After(deadline) {
			t.Fatalf("does not come: %s\n%s", what, r.errs.String())
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// Children returns the processes of that name whose parent is pid, "" for any name.
func Children(pid int, name string) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // it is gone
		}
		open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if open < 0 || end < open || name != "" && string(b[open+1:end]) != name {
			continue
		}
		f := strings.Fields(string(b[end+1:]))
		if len(f) < 2 || f[1] != strconv.Itoa(pid) {
			continue
		}
		if p, err := strconv.Atoi(filepath.Base(filepath.Dir(s))); err == nil {
			pids = append(pids, p)
		}
	}
	return pids
}

// RingDir returns the name of a directory in memory that does not exist yet. Its
// parent goes with the test.
func RingDir(t testing.TB) string {
	t.Helper()
	base := "/dev/shm"
	if st, err := os.Stat(base); err != nil || !st.IsDir() {
		base = os.TempDir()
	}
	parent, err := os.MkdirTemp(base, "weir-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o711); err != nil { // dpid passes through as another user
		t.Fatal(err)
	}
	return filepath.Join(parent, "rings")
}

// Program returns the path of one of our programs.
func Program(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(binaries.Dir(t), name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
