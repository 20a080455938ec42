package e2e

import (
	"slices"
	"strings"
	"testing"

	"weir/tests/netns"
)

// TestHeal: what somebody else takes away comes back while flows want it, and what he
// adds stays.
func TestHeal(t *testing.T) {
	t.Parallel() // it waits most of the time
	ns := netns.New(t)
	r, dir := StartSlow(t, ns, Policy(t, "enforce", "nftables", HouseholdRules))
	ns.NFT(t, "add chain inet weir mine { type filter hook forward priority 0; }\n"+
		"add rule inet weir mine ip saddr . ip daddr . tcp dport @video4 counter\n"+
		"add element inet weir video4 { 203.0.113.1 . 203.0.113.2 . 3 }")
	theirs := SlowSets()
	theirs["video4"] = append(slices.Clone(theirs["video4"]), "203.0.113.1 . 203.0.113.2 . 3")
	tests := []struct {
		name, script string
		want         map[string][]string
	}{
		{"element", "delete element inet weir clients { 192.0.2.12 }", theirs},
		{"elements of several sets", "delete element inet weir live { 192.0.2.10 . 40000 }\ndelete element inet weir cards { 02:00:c0:00:02:0c }", theirs},
		{"set emptied", "flush set inet weir video4", SlowSets()},
		{"sets removed", "delete set inet weir services\ndelete set inet weir live", SlowSets()},
		{"table removed", "delete table inet weir", SlowSets()},
		{"everything removed", "flush ruleset", SlowSets()},
	}
	for _, tt := range tests {
		before := ns.Ruleset(t)
		ns.NFT(t, tt.script)
		if ns.Ruleset(t) == before {
			t.Fatalf("%s: nothing was taken away", tt.name)
		}
		r.Eventually(t, tt.name+": what was taken away is back", func() bool { return Holds(t, ns, tt.want) })
		if tt.name == "set emptied" && !strings.Contains(ns.Ruleset(t), "chain mine") {
			t.Errorf("%s: the user's chain is gone", tt.name)
		}
	}
	StopSlow(t, r, dir)
}

// TestHealUserSet: a set of the user's that goes away is reported, the others work on,
// and it is filled again when it is back.
func TestHealUserSet(t *testing.T) {
	t.Parallel() // it waits most of the time
	ns := netns.New(t)
	declare := "add table ip other\nadd set ip other mine { type ipv4_addr; flags timeout; }"
	ns.NFT(t, declare)
	r, dir := StartSlow(t, ns, Policy(t, "enforce", "nftables", HouseholdRules+`
[[set]]
name = "mine"
table = "other"
family = "ip"
create = false
address = "ipv4"
key = ["client_ip"]

[[rule]]
name = "also"
match = 'protocol == "http"'
nftset = [{ set = "mine" }]
`))
	filled := func() bool {
		return slices.Equal(ns.Sets(t, "ip", "other")["mine"].Keys(), []string{"192.0.2.12"})
	}
	r.Eventually(t, "the user's set is filled", filled)
	ns.NFT(t, "delete table ip other")
	r.Eventually(t, "the loss is reported", func() bool {
		return strings.Contains(r.errs.String(), "there is no such set: declare it like this: nft 'add set ip other mine { type ipv4_addr; flags timeout; size 65536; }'")
	})
	ns.NFT(t, "flush set inet weir video4")
	r.Eventually(t, "the other sets work on", func() bool { return Holds(t, ns, SlowSets()) })
	ns.NFT(t, declare)
	r.Eventually(t, "the user's set is filled again", filled)
	StopSlow(t, r, dir)
}

// TestTakenOver: somebody puts a table of our name in the place of ours. That is not
// ours to fill: the run ends with one error and leaves it as it is.
func TestTakenOver(t *testing.T) {
	t.Parallel() // it waits most of the time
	ns := netns.New(t)
	r, dir := StartSlow(t, ns, Policy(t, "enforce", "nftables", HouseholdRules))
	pids := r.Children("")
	ns.NFT(t, "delete table inet weir\nadd table inet weir\nadd set inet weir video4 { type ipv4_addr; elements = { 192.0.2.1 } }")
	before := ns.Ruleset(t)
	status, _, errs := r.Wait(t)
	if status != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "table inet weir exists but is not ours") {
		t.Errorf("status %d, want 1 and one error:\n%s", status, errs)
	}
	if after := ns.Ruleset(t); after != before {
		t.Errorf("the rules were\n%s\nand are\n%s", before, after)
	}
	LeftBehind(t, dir, pids)
}

// TestLeftInForce: an interrupted run leaves in force what lives out its timeout; the
// next takes away what no flow wants any more.
func TestLeftInForce(t *testing.T) {
	ns := netns.New(t)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	r, dir := StartSlow(t, ns, path)
	StopSlow(t, r, dir)
	left := SlowSets()
	// Whether policyd has heard the workers say goodbye when it leaves itself is chance.
	left["live"] = ns.Sets(t, "inet", "weir")["live"].Keys()
	WantSets(t, ns, left)
	enforce(t, ns, path, Capture(t, Household))
	WantSets(t, ns, HouseholdSets)
}
