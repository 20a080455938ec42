package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/tests/netns"
	"weir/tests/traffic"
)

var ap, ip = netip.MustParseAddrPort, netip.MustParseAddr

// Household is a small network, said exactly, so that what a policy must make of it
// can be written down.
var Household = []traffic.Conversation{
	{Client: ap("192.0.2.10:50000"), Server: ap("192.0.2.53:53"), Kind: traffic.DNS, Name: "video.example.org", Answer: ip("198.51.100.1")},
	{Client: ap("192.0.2.10:40000"), Server: ap("198.51.100.1:443"), Kind: traffic.TLS, Name: "video.example.org", Packets: 3},
	{Client: ap("192.0.2.10:40001"), Server: ap("198.51.100.1:443"), Kind: traffic.TLS, Name: "video.example.org", Packets: 2, End: traffic.Reset},
	{Client: ap("192.0.2.10:40002"), Server: ap("198.51.100.2:8443"), Kind: traffic.TLS, Name: "cdn.video.example.org", End: traffic.Never},
	{Client: ap("192.0.2.11:40003"), Server: ap("198.51.100.3:443"), Kind: traffic.TLS, Name: "mail.example.net"},
	{Client: ap("192.0.2.12:40004"), Server: ap("198.51.100.4:80"), Kind: traffic.HTTP, Name: "www.example.com", Packets: 1},
	{Client: ap("192.0.2.13:40005"), Server: ap("198.51.100.5:7"), Kind: traffic.Opaque, Packets: 4},
	{Client: ap("203.0.113.66:40006"), Server: ap("192.0.2.10:22"), Kind: traffic.Scan},
	{Client: ap("[2001:db8::10]:40007"), Server: ap("[2001:db8:f::1]:443"), Kind: traffic.TLS, Name: "video.example.org", Packets: 3},
	{Client: ap("[2001:db8::11]:50001"), Server: ap("[2001:db8::53]:53"), Kind: traffic.DNS, Name: "www.example.com", Answer: ip("2001:db8:f::2")},
}

// HouseholdRules use every kind of key, both families, and both ways to leave.
const HouseholdRules = `
[[set]]
name = "video4"
address = "ipv4"
key = ["client_ip", "server_ip", "server_port"]
timeout = "1h"

[[set]]
name = "video6"
address = "ipv6"
key = ["client_ip", "server_ip", "server_port"]
timeout = "1h"

[[set]]
name = "clients"
address = "ipv4"
key = ["client_ip"]
timeout = "2h"

[[set]]
name = "cards"
key = ["mac"]
timeout = "2h"

[[set]]
name = "services"
address = "ipv4"
key = ["server_ip", "ip_protocol", "server_port"]
timeout = "1h"

[[set]]
name = "live"
address = "ipv4"
key = ["client_ip", "client_port"]
timeout = "0s"
remove = "flow_end"

[[rule]]
name = "video"
match = 'protocol == "tls" and suffix(host, "video.example.org")'
nftset = [{ set = "video4" }, { set = "video6" }]

[[rule]]
name = "web"
match = 'protocol == "http"'
nftset = [{ set = "clients", timeout = "30m" }, { set = "cards" }]

[[rule]]
name = "names"
match = 'protocol == "dns"'
nftset = [{ set = "services" }]

[[rule]]
name = "all"
match = "true"
nftset = [{ set = "live" }]
`

// HouseholdSets is what the rules must make of the traffic.
var HouseholdSets = map[string][]string{
	"video4":   {"192.0.2.10 . 198.51.100.1 . 443", "192.0.2.10 . 198.51.100.2 . 8443"},
	"video6":   {"2001:db8::10 . 2001:db8:f::1 . 443"},
	"clients":  {"192.0.2.12"},
	"cards":    {"02:00:c0:00:02:0c"},
	"services": {"192.0.2.53 . udp . 53"},
	"live":     {},
}

// Capture writes a capture of the conversations.
func Capture(t testing.TB, list []traffic.Conversation) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "capture.pcap")
	if _, err := traffic.WriteConversations(path, list); err != nil {
		t.Fatal(err)
	}
	return path
}

// Policy writes a policy of this mode and target.
func Policy(t testing.TB, mode, target, rest string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.toml")
	text := "[policy]\nmode = \"" + mode + "\"\ntarget = \"" + target + "\"\n" + rest
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// WantSets compares the sets of table inet weir with those wanted, by their keys.
func WantSets(t testing.TB, ns *netns.Namespace, want map[string][]string) map[string]netns.Set {
	t.Helper()
	got := ns.Sets(t, "inet", "weir")
	for name, keys := range want {
		s, ok := got[name]
		if !ok {
			t.Errorf("there is no set %s", name)
		} else if !slices.Equal(s.Keys(), keys) {
			t.Errorf("set %s holds %q, want %q", name, s.Keys(), keys)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && !strings.HasPrefix(name, "weir_owner.") {
			t.Errorf("there is a set %s that nobody asked for", name)
		}
	}
	return got
}
