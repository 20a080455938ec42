package rules

import (
	"bytes"
	"log/slog"
	"os"

	"weir/capd/conntrack"
)

// Files of /proc/sys are those of the network namespace of the thread that opens them.
const bridgeCallFile = "/proc/sys/net/bridge/bridge-nf-call-"

// account switches conntrack's counters on, without which "ct packets" is always 0.
func account(log *slog.Logger) {
	conntrack.CountPackets(log, "long flows without a verdict stay queued")
}

// bridgeCalls reports whether bridged packets pass the hooks of IPv4 and IPv6. It is
// never switched on by us: a firewall that was not written for bridged packets might
// cut the bridge.
func bridgeCalls() bool { return isOn(bridgeCallFile+"iptables") && isOn(bridgeCallFile+"ip6tables") }

func isOn(file string) bool {
	b, err := os.ReadFile(file)
	return err == nil && string(bytes.TrimSpace(b)) == "1"
}
