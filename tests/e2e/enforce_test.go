package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/tests/netns"
	"weir/tests/traffic"
)

// TestEnforce: the sets in the kernel hold exactly what the rules make of the
// traffic, whatever the number of workers.
func TestEnforce(t *testing.T) {
	c := Capture(t, Household)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	for _, workers := range []int{1, 2, 4} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			ns := netns.New(t)
			enforce(t, ns, path, c, "-workers", strconv.Itoa(workers))
			sets := WantSets(t, ns, HouseholdSets)
			if t.Failed() {
				return
			}
			types := map[string]string{
				"video4": "ipv4_addr . ipv4_addr . inet_service", "video6": "ipv6_addr . ipv6_addr . inet_service",
				"clients": "ipv4_addr", "cards": "ether_addr", "services": "ipv4_addr . inet_proto . inet_service",
				"live": "ipv4_addr . inet_service",
			}
			for name, want := range types {
				if got := sets[name].Type; got != want {
					t.Errorf("set %s has type %q, want %q", name, got, want)
				}
			}
			for _, key := range HouseholdSets["video4"] {
				wantLifetime(t, sets["video4"], key, time.Hour)
			}
			wantLifetime(t, sets["video6"], HouseholdSets["video6"][0], time.Hour)
			wantLifetime(t, sets["clients"], "192.0.2.12", 30*time.Minute)
			wantLifetime(t, sets["cards"], "02:00:c0:00:02:0c", 2*time.Hour)
			if got, want := sets["video4"].Elements[HouseholdSets["video4"][0]].Comment, "weir: video"; got != want {
				t.Errorf("comment is %q, want %q", got, want)
			}
			if flags := sets["live"].Flags; len(flags) != 0 {
				t.Errorf("set live has flags %q, want none: its elements have no timeout", flags)
			}
		})
	}
}

// TestEnforceAgain: a later run finds what an earlier one left, doubles nothing, and
// takes away what nobody wants any more, but for what lives out its timeout.
func TestEnforceAgain(t *testing.T) {
	ns := netns.New(t)
	c := Capture(t, Household)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	enforce(t, ns, path, c)
	before := WantSets(t, ns, HouseholdSets)
	enforce(t, ns, path, c)
	after := WantSets(t, ns, HouseholdSets)
	if a, b := len(before["video4"].Elements), len(after["video4"].Elements); a != b {
		t.Errorf("%d elements after the second run, %d after the first", b, a)
	}

	t.Run("other traffic", func(t *testing.T) {
		// What an earlier run left in the way of a set of living flows: those are over.
		ns.NFT(t, `add element inet weir live { 192.0.2.99 . 1 comment "weir: all" }`)
		enforce(t, ns, path, Capture(t, []traffic.Conversation{
			{Client: ap("192.0.2.20:40000"), Server: ap("198.51.100.9:443"), Kind: traffic.TLS, Name: "video.example.org"},
		}))
		want := maps.Clone(HouseholdSets) // they live out their timeouts
		want["video4"] = append(slices.Clone(want["video4"]), "192.0.2.20 . 198.51.100.9 . 443")
		WantSets(t, ns, want)
	})

	t.Run("other rules", func(t *testing.T) {
		// Without rule web its elements go at once; without set video6 the set goes.
		rules := HouseholdRules[:strings.Index(HouseholdRules, "[[rule]]")] + `
[[rule]]
name = "video"
match = 'protocol == "tls" and suffix(host, "video.example.org")'
nftset = [{ set = "video4" }, { set = "other6" }]

[[rule]]
name = "nobody"
match = 'host == "nobody.example"'
nftset = [{ set = "clients" }, { set = "cards" }, { set = "services" }, { set = "live" }]
`
		rules = strings.Replace(rules, `name = "video6"`, `name = "other6"`, 1)
		enforce(t, ns, Policy(t, "enforce", "nftables", rules), c)
		want := map[string][]string{
			"video4": {"192.0.2.10 . 198.51.100.1 . 443", "192.0.2.10 . 198.51.100.2 . 8443", "192.0.2.20 . 198.51.100.9 . 443"},
			"other6": HouseholdSets["video6"], "clients": {}, "cards": {}, "services": {}, "live": {},
		}
		WantSets(t, ns, want)
	})
}

// TestUserSets: sets that the user declared are filled, and nothing else.
func TestUserSets(t *testing.T) {
	const set = `
[[set]]
name = "mine"
table = "filter"
family = "inet"
create = false
address = "ipv4"
key = ["client_ip"]
timeout = "1h"

[[rule]]
name = "web"
match = 'protocol == "http"'
nftset = [{ set = "mine" }]
`
	c := Capture(t, Household)
	path := Policy(t, "enforce", "nftables", set)

	t.Run("filled", func(t *testing.T) {
		ns := netns.New(t)
		ns.NFT(t, `add table inet filter
add chain inet filter forward { type filter hook forward priority 0; }
add set inet filter mine { type ipv4_addr; flags timeout; }
add rule inet filter forward ip saddr @mine counter
add element inet filter mine { 203.0.113.1, 203.0.113.2 timeout 1d comment "by hand" }`)
		enforce(t, ns, path, c)
		mine := ns.Sets(t, "inet", "filter")["mine"]
		if got, want := mine.Keys(), []string{"192.0.2.12", "203.0.113.1", "203.0.113.2"}; !slices.Equal(got, want) {
			t.Errorf("set mine holds %q, want %q", got, want)
		}
		wantLifetime(t, mine, "192.0.2.12", time.Hour)
		if e := mine.Elements["203.0.113.1"]; e != (netns.Element{}) {
			t.Errorf("the user's element is %+v now", e)
		}

		// flush takes ours out, and nothing else.
		flush(t, ns, path, "removed table inet weir; removed 1 elements from sets of yours\n")
		if got, want := ns.Sets(t, "inet", "filter")["mine"].Keys(), []string{"203.0.113.1", "203.0.113.2"}; !slices.Equal(got, want) {
			t.Errorf("after the flush set mine holds %q, want %q", got, want)
		}
		if ns.Sets(t, "inet", "weir") != nil {
			t.Error("after the flush there is a table inet weir")
		}
		flush(t, ns, path, "there was no table inet weir; removed 0 elements from sets of yours\n")
	})

	declare := `declare it like this: nft 'add set inet filter mine { type ipv4_addr; flags timeout; size 65536; }'`
	tests := []struct{ name, rules, says string }{
		{"missing", "add table inet filter", "there is no such set"},
		{"no table", "add table inet other", "there is no such set"},
		{"wrong type", "add table inet filter\nadd set inet filter mine { type ipv6_addr; flags timeout; }", `its type is "ipv6_addr", the configuration fills "ipv4_addr"`},
		{"no timeouts", "add table inet filter\nadd set inet filter mine { type ipv4_addr; }", "it has no flags timeout"},
		{"a map", "add table inet filter\nadd map inet filter mine { type ipv4_addr : mark; flags timeout; }", "it is a map, not a set"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ns := netns.New(t)
			ns.NFT(t, tt.rules)
			refused(t, ns, path, c, tt.says, declare)
		})
	}
}

// refused replays, wants status 1 and one line that says all of these, and that
// nothing was touched or left behind.
func refused(t *testing.T, ns *netns.Namespace, path, capture string, says ...string) {
	t.Helper()
	before, dir := ns.Ruleset(t), RingDir(t)
	r := Start(t, ns.Command(Program(t, "weir"), "replay", "-dir", dir, "-policy", path, capture))
	status, out, errs := r.Wait(t)
	if status != 1 || out != "" || strings.Count(errs, "\n") != 1 {
		t.Errorf("status %d, want 1 and one line:\n%s%s", status, out, errs)
	}
	for _, s := range says {
		if !strings.Contains(errs, s) {
			t.Errorf("the error does not say %q:\n%s", s, errs)
		}
	}
	if after := ns.Ruleset(t); after != before {
		t.Errorf("the rules were\n%s\nand are\n%s", before, after)
	}
	if exists(dir) {
		t.Error("the ring directory is left behind")
	}
}

// flush runs weir flush, which runs policyd flush, in a namespace.
func flush(t *testing.T, ns *netns.Namespace, path, want string) {
	t.Helper()
	status, out, errs := Start(t, ns.Command(Program(t, "weir"), "flush", "-policy", path)).Wait(t)
	if status != 0 || errs != "" || out != want {
		t.Errorf("weir flush: status %d, %q, %q, want %q", status, out, errs, want)
	}
}

// TestForeignTable: a table of our name that is not ours is refused, by enforcement
// and by flush.
func TestForeignTable(t *testing.T) {
	ns := netns.New(t)
	ns.NFT(t, `add table inet weir
add chain inet weir input { type filter hook input priority 0; }
add rule inet weir input tcp dport 22 accept
add set inet weir video4 { type ipv4_addr; elements = { 192.0.2.1 } }`)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	refused(t, ns, path, Capture(t, Household), "table inet weir exists but is not ours", "choose another policy.table")
	before := ns.Ruleset(t)
	status, _, errs := Start(t, ns.Command(Program(t, "weir"), "flush", "-policy", path)).Wait(t)
	if status != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "table inet weir exists but is not ours") {
		t.Errorf("weir flush: status %d, %q", status, errs)
	}
	if after := ns.Ruleset(t); after != before {
		t.Errorf("the rules were\n%s\nand are\n%s", before, after)
	}
}

// TestFlushLeavesOthers: flush of a table that is ours leaves all others.
func TestFlushLeavesOthers(t *testing.T) {
	ns := netns.New(t)
	ns.NFT(t, "add table inet mine\nadd set inet mine video4 { type ipv4_addr; elements = { 192.0.2.1 } }\nadd table ip weir")
	before := ns.Ruleset(t)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	enforce(t, ns, path, Capture(t, Household))
	WantSets(t, ns, HouseholdSets)
	// A live instance, which is not a replay, takes the table for somebody else's.
	made := ns.Ruleset(t)
	status, _, errs := Start(t, ns.Command(Program(t, "policyd"), "flush", "-config", path)).Wait(t)
	if status != 1 || !strings.Contains(errs, `it belongs to instance.name = "replay"`) || ns.Ruleset(t) != made {
		t.Errorf("flush of another instance: status %d, %q", status, errs)
	}
	flush(t, ns, path, "removed table inet weir; removed 0 elements from sets of yours\n")
	if after := ns.Ruleset(t); after != before {
		t.Errorf("the rules were\n%s\nand are\n%s", before, after)
	}
}

// TestNoPermission: without the privilege there is one error, and nothing is left.
func TestNoPermission(t *testing.T) {
	ns := netns.New(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("setpriv (util-linux) is not installed")
	}
	// What nobody may read, and where nobody may make a ring directory.
	dir := filepath.Dir(RingDir(t))
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	c, path, rings := filepath.Join(dir, "c.pcap"), filepath.Join(dir, "p.toml"), filepath.Join(dir, "rings")
	copyFile(t, c, Capture(t, Household))
	copyFile(t, path, Policy(t, "enforce", "nftables", HouseholdRules))
	before := ns.Ruleset(t)
	r := Start(t, ns.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		Program(t, "weir"), "replay", "-dir", rings, "-policy", path, c))
	status, out, errs := r.Wait(t)
	if status != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "policyd needs CAP_NET_ADMIN") {
		t.Errorf("status %d, want 1 and what is needed:\n%s%s", status, out, errs)
	}
	if after := ns.Ruleset(t); after != before {
		t.Errorf("the rules were\n%s\nand are\n%s", before, after)
	}
	if exists(rings) {
		t.Error("the ring directory is left behind")
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTouchesNothing: observe, the default, and the dry run leave the kernel alone;
// the dry run says what would be done, and the plan the same.
func TestTouchesNothing(t *testing.T) {
	ns := netns.New(t)
	c, dry := Capture(t, Household), Policy(t, "enforce", "dry-run", HouseholdRules)
	enforce(t, ns, Policy(t, "observe", "nftables", HouseholdRules), c)

	status, out, errs := Start(t, ns.Command(Program(t, "weir"), "replay", "-quiet", "-dir", RingDir(t), "-policy", dry, c)).Wait(t)
	if status != 0 || out != "" {
		t.Errorf("dry run: status %d, output %q", status, out)
	}
	got := map[string]map[string]bool{}
	for _, l := range Lines(errs) {
		verb, rest, _ := strings.Cut(l, " element inet weir ")
		name, key, _ := strings.Cut(rest, " { ")
		key = strings.TrimSuffix(strings.TrimSuffix(key, " # refresh"), " }")
		for _, end := range []string{" comment ", " timeout "} {
			key, _, _ = strings.Cut(key, end)
		}
		switch verb {
		case "add":
			if got[name] == nil {
				got[name] = map[string]bool{}
			}
			got[name][key] = true
		case "delete":
			delete(got[name], key)
		}
	}
	for name, want := range HouseholdSets {
		if keys := slices.Sorted(maps.Keys(got[name])); !slices.Equal(keys, want) {
			t.Errorf("dry run: set %s would hold %q, want %q", name, keys, want)
		}
	}
	if now := ns.Ruleset(t); now != "" {
		t.Errorf("somebody made rules:\n%s", now)
	}
}

// TestPlan: what the plan says comes into sets is what enforcement brings there.
func TestPlan(t *testing.T) {
	c := Capture(t, Household)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	out, errs, err := Run(t, "weir", "plan", "-json", "-policy", path, "-workers", "2", "-dir", RingDir(t), "-r", c)
	if err != nil || errs != "" {
		t.Fatalf("weir plan: %v\n%s", err, errs)
	}
	rules, sets := map[string]uint64{}, map[string][]string{}
	for _, l := range Lines(out) {
		var x struct {
			Rule, Set string
			Flows     uint64
			Keys      []string
		}
		if err := json.Unmarshal([]byte(l), &x); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		if x.Rule != "" {
			rules[x.Rule] = x.Flows
		} else {
			sets[strings.TrimPrefix(x.Set, "inet weir ")] = x.Keys
		}
	}
	if want := map[string]uint64{"video": 4, "web": 1, "names": 2, "all": 10}; !maps.Equal(rules, want) {
		t.Errorf("flows by rule: %v, want %v", rules, want)
	}
	for name, want := range HouseholdSets {
		if name == "live" {
			// All that ever came. Of the scan some workers tell only that it is over.
			sets[name] = slices.DeleteFunc(sets[name], func(k string) bool { return k == "203.0.113.66 . 40006" })
			want = []string{
				"192.0.2.10 . 40000", "192.0.2.10 . 40001", "192.0.2.10 . 40002", "192.0.2.10 . 50000", "192.0.2.11 . 40003",
				"192.0.2.12 . 40004", "192.0.2.13 . 40005",
			}
		}
		if !slices.Equal(sets[name], want) {
			t.Errorf("plan: set %s would get %q, want %q", name, sets[name], want)
		}
	}
}

// enforce replays a capture under a policy in a namespace; it must go well and
// quietly.
func enforce(t *testing.T, ns *netns.Namespace, path, capture string, args ...string) {
	t.Helper()
	args = slices.Concat([]string{"replay", "-quiet", "-dir", RingDir(t), "-policy", path}, args, []string{capture})
	status, out, errs := Start(t, ns.Command(Program(t, "weir"), args...)).Wait(t)
	if status != 0 || out != "" || errs != "" {
		t.Fatalf("weir %s: status %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
}

// wantLifetime checks that an element lives this long from about now.
func wantLifetime(t *testing.T, s netns.Set, key string, want time.Duration) {
	t.Helper()
	const slow = 2 * time.Minute // for a machine in a hurry elsewhere
	e, ok := s.Elements[key]
	timeout := s.Timeout
	if e.Timeout != 0 {
		timeout = e.Timeout
	}
	if !ok || timeout != want || e.Expires > want || e.Expires < want-slow {
		t.Errorf("element %q is %+v in a set with timeout %v, want one that lives for %v", key, e, s.Timeout, want)
	}
}
