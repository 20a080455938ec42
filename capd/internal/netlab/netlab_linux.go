// Package netlab gives capd's tests network namespaces, in which they may do to the
// kernel what they like. It knows nothing of captures, and only tests import it.
//
// The invariant: a thread that entered a namespace is never given back, so no other
// goroutine finds itself there.
package netlab

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Alone moves the test to a network namespace of its own, which ends with the test's
// thread.
func Alone(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	need(t, unix.Unshare(unix.CLONE_NEWNET))
}

// Namespace is a network namespace without a name, as a file descriptor. It ends with
// its last user.
type Namespace int

// New makes a namespace.
func New(t testing.TB) Namespace {
	t.Helper()
	var fd int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	}()
	<-done
	need(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return Namespace(fd)
}

// Inside runs f on a thread of the namespace. Sockets that f opens, and children that it
// starts, stay there; t.Fatal in f ends the test.
func (n Namespace) Inside(t testing.TB, f func()) {
	t.Helper()
	done, whole := make(chan struct{}), false
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Setns(int(n), unix.CLONE_NEWNET); err != nil {
			t.Errorf("enter a network namespace: %v", err)
			return
		}
		f()
		whole = true
	}()
	<-done
	if !whole {
		t.FailNow()
	}
}

// IP runs the ip command in the namespace.
func (n Namespace) IP(t testing.TB, args string) {
	t.Helper()
	n.Inside(t, func() { IP(t, args) })
}

// IP runs the ip command in the namespace of the calling thread.
func IP(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// need skips the test where it cannot have a namespace, but for CI, where it must run.
func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("new network namespace: %v", err)
	default:
		t.Skipf("needs root for a network namespace: %v", err)
	}
}
