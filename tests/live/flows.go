package live

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/tests/e2e"
)

// flow is what a test compares of a flow line (docs/formats/flow-json.md).
type flow struct {
	Client        string `json:"client_ip"`
	ClientPort    int    `json:"client_port"`
	Server        string `json:"server_ip"`
	ServerPort    int    `json:"server_port"`
	IPProtocol    int    `json:"ip_protocol"`
	VLAN          int    `json:"vlan"`
	ClientPackets uint64 `json:"client_packets"`
	ServerPackets uint64 `json:"server_packets"`
	Protocol      string `json:"protocol"`
	Host          string `json:"hostname"`
	Interface     string `json:"interface"`
	Worker        int    `json:"worker"`
}

type flows []flow

func parse(t testing.TB, out string) (list flows) {
	t.Helper()
	for _, line := range e2e.Lines(out) {
		var f flow
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("flow line %q: %v", line, err)
		}
		list = append(list, f)
	}
	return list
}

// String tells who talked with whom about what, the same live and offline.
func (f *flow) String() string {
	return fmt.Sprintf("%s:%d %s:%d %d vlan %d %q %q", f.Client, f.ClientPort, f.Server, f.ServerPort, f.IPProtocol, f.VLAN, f.Protocol, f.Host)
}

// ends names a flow by its two ends, whoever began.
func (f *flow) ends() string {
	a, b := fmt.Sprintf("%s %d", f.Client, f.ClientPort), fmt.Sprintf("%s %d", f.Server, f.ServerPort)
	return min(a, b) + " - " + max(a, b)
}

// lines returns the flows as text, in order.
func (l flows) lines() []string {
	out := make([]string, len(l))
	for i := range l {
		out[i] = l[i].String()
	}
	slices.Sort(out)
	return out
}

// has reports whether there is a flow to this port of this protocol and host name.
func (l flows) has(port int, protocol, host string) bool {
	return slices.ContainsFunc(l, func(f flow) bool {
		return f.ServerPort == port && f.Protocol == protocol && f.Host == host
	})
}

func join(lines []string) string { return strings.Join(lines, "\n") }
