package conntrack

import (
	"os/exec"
	"testing"

	"weir/capd/internal/netlab"
)

// namespace is a network namespace whose loopback traffic is tracked.
type namespace struct{ netlab.Namespace }

func host(t *testing.T) namespace {
	t.Helper()
	n := namespace{netlab.New(t)}
	n.sh(t, "ip link set lo up")
	n.sh(t, "nft 'table inet t { chain c { type filter hook output priority 0; ct state new counter; }; }'")
	return n
}

// do runs f on a thread of the namespace. Sockets that f opens stay there.
func (n namespace) do(t *testing.T, f func() error) {
	t.Helper()
	n.Inside(t, func() {
		if err := f(); err != nil {
			t.Fatalf("in a network namespace: %v", err)
		}
	})
}

// sh runs a command of the shell in the namespace.
func (n namespace) sh(t *testing.T, command string) {
	t.Helper()
	n.Inside(t, func() {
		if out, err := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	})
}
