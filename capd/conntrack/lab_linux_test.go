package conntrack

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace that ends with its last user.
type namespace int // file descriptor

// host makes one whose loopback traffic is tracked.
func host(t *testing.T) namespace {
	t.Helper()
	var fd int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
	}()
	<-done
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("new network namespace: %v", err)
		}
		t.Skipf("needs root for a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	n := namespace(fd)
	n.sh(t, "ip link set lo up")
	n.sh(t, "nft 'table inet t { chain c { type filter hook output priority 0; ct state new counter; }; }'")
	return n
}

// do runs f on a thread of the namespace. Sockets that f opens stay there.
func (n namespace) do(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(n), unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("in a network namespace: %v", err)
	}
}

// sh runs a command of the shell in the namespace.
func (n namespace) sh(t *testing.T, command string) {
	t.Helper()
	n.do(t, func() error {
		cmd := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+command)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s", command, out)
		}
		return err
	})
}
