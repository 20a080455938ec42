package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/tests/netns"
)

// mistakes are wrong policies and the one message that each must give: where, what,
// and what to do. FILE stands for the policy's name.
var mistakes = []struct{ name, rules, says string }{
	{
		name: "type error", rules: "[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = 'protocol == \"tls\" and bytes > \"5\"'\n",
		says: "FILE:7:38: rule r: match: invalid operation: > (mismatched types number and string)",
	},
	{
		name: "unknown field", rules: "[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = '''\n  protocolx == \"tls\"'''\n",
		says: `FILE:8:3: rule r: match: unknown field "protocolx": did you mean "protocol"?`,
	},
	{
		name: "unknown function", rules: "[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = 'sufix(host, \"a\")'\n",
		says: `FILE:7:10: rule r: match: unknown field "sufix": did you mean "suffix"?`,
	},
	{
		name: "unknown group", rules: "[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = 'in_group(client_ip, \"lan\")'\n",
		says: `FILE:7:30: rule r: match: there is no group "lan": define it in the table [group]`,
	},
	{
		name: "duplicate rule", rules: "[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = 'true'\n[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = 'true'\n",
		says: "FILE:8: rule r is defined already at FILE:4: choose another name",
	},
	{
		name: "duplicate set", rules: "[[set]]\nname = \"s\"\nkey = [\"mac\"]\n[[set]]\nname = \"s\"\nkey = [\"mac\"]\n",
		says: "FILE:7: set s is defined already at FILE:4: choose another name",
	},
	{
		name: "unknown key", rules: "[[rule]]\nname = \"r\"\ntag = [\"t\"]\nmatch = 'true'\nstopp = true\n",
		says: `FILE:8: rule.stopp is not a known key: did you mean "stop"?`,
	},
	{
		name: "unknown set", rules: "[[rule]]\nname = \"r\"\nmatch = 'true'\nnftset = [{ set = \"s\" }]\n",
		says: `FILE:7: rule r: nftset.set = "s": there is no such [[set]]`,
	},
}

// TestMistakes: whoever reads a wrong policy says so once, with status 2; nothing is
// started, touched or left behind.
func TestMistakes(t *testing.T) {
	c := Capture(t, Household)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			path := Policy(t, "enforce", "nftables", m.rules)
			want := strings.ReplaceAll(m.says, "FILE", path) + "\n"
			dir := RingDir(t)
			commands := [][]string{
				{"weir", "replay", "-dir", dir, "-policy", path, c},
				{"weir", "plan", "-dir", dir, "-policy", path, "-r", c},
				{"policyd", "check", "-config", path, "-root", dir},
				{"policyd", "plan", "-config", path, "-root", dir},
				{"policyd", "enforce", "-config", path, "-root", dir},
				{"policyd", "explain", "-config", path, "-root", dir, "r"},
			}
			for _, args := range commands {
				out, errs, err := Run(t, args[0], args[1:]...)
				errs = strings.TrimSuffix(errs, "policyd: configuration refused\n")
				if status := exitStatus(t, err); status != 2 || out != "" || errs != want {
					t.Errorf("%s %s: status %d, %q, want status 2 and %q", args[0], args[1], status, out+errs, want)
				}
				if exists(dir) {
					t.Errorf("%s %s made a ring directory", args[0], args[1])
				}
			}
		})
	}
}

// TestAllMistakesAtOnce: a policy with several mistakes is refused with all of them.
func TestAllMistakesAtOnce(t *testing.T) {
	path := Policy(t, "enforce", "nftables", `
[[rule]]
name = "a"
tag = ["t"]
match = 'protocolx == "tls"'
[[rule]]
name = "b"
tag = ["t"]
match = 'bytes > "x"'
`)
	_, errs, err := Run(t, "weir", "replay", "-dir", RingDir(t), "-policy", path, Capture(t, Household))
	if status := exitStatus(t, err); status != 2 || strings.Count(errs, "\n") != 2 {
		t.Errorf("status %d, want 2 and two lines:\n%s", status, errs)
	}
	for _, want := range []string{path + ":8:10: rule a: ", path + ":12:16: rule b: "} {
		if !strings.Contains(errs, want) {
			t.Errorf("the error does not say %q:\n%s", want, errs)
		}
	}
}

// TestExplain: the running policyd says why a flow is treated as it is, what a rule
// did, and that it does not know what does not exist.
func TestExplain(t *testing.T) {
	ns := netns.New(t)
	path := Policy(t, "enforce", "nftables", HouseholdRules)
	r, dir := StartSlow(t, ns, path)
	explain := func(args ...string) (status int, out, errs string) {
		t.Helper()
		cmd := exec.Command(Program(t, "policyd"), append([]string{"explain", "-config", filepath.Join(dir, "weir.toml")}, args...)...)
		return Start(t, cmd).Wait(t)
	}
	status, out, errs := explain("192.0.2.12")
	for _, want := range []string{
		"192.0.2.12:40004", "evidence    http", "protocol http", "host www.example.com", "rule        web (" + path + ":",
		"element     inet weir clients { 192.0.2.12 }: in the kernel", "expires in", "element     inet weir live { 192.0.2.12 . 40004 }: in the kernel",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("explain 192.0.2.12 does not say %q: status %d\n%s%s", want, status, out, errs)
		}
	}
	if _, out, _ := explain("web"); !strings.Contains(out, "rule web at "+path) || !strings.Contains(out, "hits    1 flows, 1 of them live") {
		t.Errorf("explain web:\n%s", out)
	}
	_, out, errs = explain("-json", "192.0.2.12")
	var flows []map[string]any
	if err := json.Unmarshal([]byte(out), &flows); err != nil || len(flows) != 1 {
		t.Errorf("explain -json: %v\n%s%s", err, out, errs)
	}
	if status, out, errs := explain("203.0.113.200"); status != 1 || out != "" || !strings.Contains(errs, "no living flow is 203.0.113.200") {
		t.Errorf("explain of an unknown address: status %d\n%s%s", status, out, errs)
	}
	StopSlow(t, r, dir)
	if status, out, errs := explain("web"); status == 0 || out != "" || strings.Count(errs, "\n") > 2 {
		t.Errorf("explain without a policyd: status %d\n%s%s", status, out, errs)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("explain made a directory")
	}
}
