package live

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"weir/tests/netns"
)

// inject sends frames out of an interface, from one CPU: what arrives at the other end
// arrives on that one too.
func inject(t testing.TB, n *netns.Namespace, dev string, cpu int, frames [][]byte) {
	t.Helper()
	n.Do(t, func() error {
		var set unix.CPUSet
		set.Set(cpu % runtime.NumCPU())
		if err := unix.SchedSetaffinity(0, &set); err != nil { // the thread ends with this
			return err
		}
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		to := &unix.SockaddrLinklayer{Ifindex: i.Index}
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, to); err != nil {
				return fmt.Errorf("send %d bytes: %w", len(f), err)
			}
		}
		return nil
	})
}
