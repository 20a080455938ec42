package conntrack

import (
	"bytes"
	"log/slog"
	"os"
)

// Files of /proc/sys are those of the network namespace of the thread that opens them.
const (
	acctFile   = "/proc/sys/net/netfilter/nf_conntrack_acct"
	eventsFile = "/proc/sys/net/netfilter/nf_conntrack_events"
)

// CountPackets switches conntrack's counters on. Connections that exist already stay
// uncounted. It stays on: others may have begun to rely on it. without says what is
// missing where that is not allowed.
func CountPackets(log *slog.Logger, without string) {
	if value(acctFile) == "1" {
		return
	}
	if err := os.WriteFile(acctFile, []byte("1"), 0); err != nil {
		log.Warn("conntrack does not count packets, so "+without+": set net.netfilter.nf_conntrack_acct to 1 (sysctl -w net.netfilter.nf_conntrack_acct=1)", "err", err)
		return
	}
	log.Info("switched on net.netfilter.nf_conntrack_acct: conntrack counts packets and bytes of new connections")
}

// sendEvents switches conntrack's events on where they are wholly off.
func sendEvents(log *slog.Logger) {
	if value(eventsFile) != "0" {
		return
	}
	if err := os.WriteFile(eventsFile, []byte("1"), 0); err != nil {
		log.Warn("conntrack tells of no events, so ends of connections are seen late: set net.netfilter.nf_conntrack_events to 1 (sysctl -w net.netfilter.nf_conntrack_events=1)", "err", err)
		return
	}
	log.Info("switched on net.netfilter.nf_conntrack_events: conntrack tells of new connections and their ends")
}

func value(file string) string {
	b, _ := os.ReadFile(file) // what cannot be read is not on
	return string(bytes.TrimSpace(b))
}
