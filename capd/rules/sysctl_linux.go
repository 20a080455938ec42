package rules

import (
	"bytes"
	"log/slog"
	"os"
)

// Files of /proc/sys are those of the network namespace of the thread that opens them.
const (
	acctFile       = "/proc/sys/net/netfilter/nf_conntrack_acct"
	bridgeCallFile = "/proc/sys/net/bridge/bridge-nf-call-"
)

// account switches conntrack's counters on, without which "ct packets" is always 0.
// Connections that exist already stay uncounted. It stays on: others may have begun
// to rely on it.
func account(log *slog.Logger) {
	if isOn(acctFile) {
		return
	}
	if err := os.WriteFile(acctFile, []byte("1"), 0); err != nil {
		log.Warn("conntrack does not count packets, so long flows without a verdict stay queued: set net.netfilter.nf_conntrack_acct to 1", "err", err)
		return
	}
	log.Info("switched on net.netfilter.nf_conntrack_acct: conntrack counts packets and bytes of new connections")
}

// bridgeCalls reports whether bridged packets pass the hooks of IPv4 and IPv6. It is
// never switched on by us: a firewall that was not written for bridged packets might
// cut the bridge.
func bridgeCalls() bool { return isOn(bridgeCallFile+"iptables") && isOn(bridgeCallFile+"ip6tables") }

func isOn(file string) bool {
	b, err := os.ReadFile(file)
	return err == nil && string(bytes.TrimSpace(b)) == "1"
}
