package rules

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// reversePathFiles are the switches of the IPv4 reverse path filter, one for each
// interface, and "all", which raises those of all others (ip-sysctl, rp_filter).
const reversePathFiles = "/proc/sys/net/ipv4/conf"

// tellReversePath warns where the kernel drops packets, between the hooks prerouting
// and forward, that our rules would bring to a queue. It is never switched off by us:
// it keeps forged addresses out.
func (r *Ruleset) tellReversePath(log *slog.Logger) {
	if r.cfg.Mode == Bridge || r.cfg.Mode == Manual {
		return
	}
	names := strictReversePath(reversePathFiles)
	if len(names) == 0 {
		return
	}
	log.Warn("strict reverse path filter: the kernel drops packets whose answers would leave by another interface before they are queued; where routes are asymmetric, as with two uplinks, make it loose",
		"interfaces", strings.Join(names, ","), "remedy", "sysctl net.ipv4.conf."+strings.ReplaceAll(names[0], ".", "/")+".rp_filter=2")
}

// strictReversePath returns the interfaces that the filter is strict for: the higher
// of the two values counts, 1 is strict, 2 is loose.
func strictReversePath(dir string) (names []string) {
	value := func(name string) int {
		b, err := os.ReadFile(filepath.Join(dir, name, "rp_filter"))
		if err != nil {
			return 0 // it has gone
		}
		n, _ := strconv.Atoi(string(bytes.TrimSpace(b))) // the kernel writes numbers
		return n
	}
	entries, _ := os.ReadDir(dir) // no IPv4, nothing to filter
	all := value("all")
	for _, e := range entries {
		if n := e.Name(); n != "all" && n != "default" && n != "lo" && max(all, value(n)) == 1 {
			names = append(names, n)
		}
	}
	return names
}
