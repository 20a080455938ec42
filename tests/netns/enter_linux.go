package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Name returns the name that ip(8) knows the namespace by.
func (n *Namespace) Name() string { return n.name }

// Do runs f in the namespace. A socket that f opens stays there for its life, whoever
// uses it; what f starts as goroutines does not.
func (n *Namespace) Do(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		// The thread stays in the namespace, so it must end with this goroutine:
		// it is not unlocked.
		runtime.LockOSThread()
		done <- n.enter(f)
	}()
	if err := <-done; err != nil {
		t.Fatalf("in namespace %s: %v", n.name, err)
	}
}

func (n *Namespace) enter(f func() error) error {
	ns, err := os.Open(filepath.Join("/run/netns", n.name))
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter: %w", err)
	}
	return f()
}

// Run runs a program in the namespace to its end and returns what it printed. A
// program that fails ends the test.
func (n *Namespace) Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := n.Command(program, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// NeedTool skips the test when a program is not installed.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if tool(name) == "" {
			missing(t, name+" is not installed")
		}
	}
}
