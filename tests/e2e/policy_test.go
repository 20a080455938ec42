package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weir/tests/netns"
	"weir/tests/traffic"
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
	c := capture(t, household)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			path := policy(t, "enforce", "nftables", m.rules)
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
				if fileExists(dir) {
					t.Errorf("%s %s made a ring directory", args[0], args[1])
				}
			}
		})
	}
}

// TestAllMistakesAtOnce: a policy with several mistakes is refused with all of them.
func TestAllMistakesAtOnce(t *testing.T) {
	path := policy(t, "enforce", "nftables", `
[[rule]]
name = "a"
tag = ["t"]
match = 'protocolx == "tls"'
[[rule]]
name = "b"
tag = ["t"]
match = 'bytes > "x"'
`)
	_, errs, err := Run(t, "weir", "replay", "-dir", RingDir(t), "-policy", path, capture(t, household))
	if status := exitStatus(t, err); status != 2 || strings.Count(errs, "\n") != 2 {
		t.Errorf("status %d, want 2 and two lines:\n%s", status, errs)
	}
	for _, want := range []string{path + ":8:10: rule a: ", path + ":12:16: rule b: "} {
		if !strings.Contains(errs, want) {
			t.Errorf("the error does not say %q:\n%s", want, errs)
		}
	}
}

// slow are flows of the first second, and one packet hours later: a replay at recorded
// speed has told all about the flows and then waits, with everything running.
func slow() []traffic.Conversation {
	list := append([]traffic.Conversation(nil), household...)
	for i := range list {
		list[i].End = traffic.Never
	}
	return append(list, traffic.Conversation{
		Client: ap("192.0.2.99:40099"), Server: ap("198.51.100.99:9"), Kind: traffic.Scan, At: 3 * 3600e9,
	})
}

// slowSets is what living flows of the household want.
func slowSets() map[string][]string {
	want := map[string][]string{"live": {
		"192.0.2.10 . 40000", "192.0.2.10 . 40001", "192.0.2.10 . 40002", "192.0.2.10 . 50000",
		"192.0.2.11 . 40003", "192.0.2.12 . 40004", "192.0.2.13 . 40005",
	}}
	for name, keys := range householdSets {
		if name != "live" {
			want[name] = keys
		}
	}
	return want
}

// startSlow starts a replay at recorded speed that stays, and waits until the sets
// hold what they must.
func startSlow(t *testing.T, ns *netns.Namespace, path string, args ...string) (r *Running, dir string) {
	t.Helper()
	dir = RingDir(t)
	args = append([]string{"replay", "-quiet", "-pace", "1", "-dir", dir, "-policy", path}, args...)
	r = Start(t, ns.Command(Program(t, "weir"), append(args, capture(t, slow()))...))
	r.Eventually(t, "the sets hold what they must", func() bool { return holds(t, ns, slowSets()) })
	return r, dir
}

func holds(t *testing.T, ns *netns.Namespace, want map[string][]string) bool {
	t.Helper()
	got := ns.Sets(t, "inet", "weir")
	for name, keys := range want {
		if s, ok := got[name]; !ok || strings.Join(s.Keys(), ",") != strings.Join(keys, ",") {
			return false
		}
	}
	return true
}

// stopSlow interrupts a replay and wants nothing left behind but the sets.
func stopSlow(t *testing.T, r *Running, dir string) {
	t.Helper()
	pids := r.Children("")
	r.Signal(t, syscall.SIGINT)
	status, _, errs := r.Wait(t)
	if status != 1 || !strings.HasSuffix(errs, "weir: interrupted\n") {
		t.Errorf("interrupted: status %d\n%s", status, errs)
	}
	leftBehind(t, dir, pids)
}

func leftBehind(t *testing.T, dir string, pids []int) {
	t.Helper()
	if fileExists(dir) {
		t.Error("the ring directory is left behind")
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("process %d is left behind", pid)
		}
	}
}

// TestExplain: the running policyd says why a flow is treated as it is, what a rule
// did, and that it does not know what does not exist.
func TestExplain(t *testing.T) {
	ns := netns.New(t)
	path := policy(t, "enforce", "nftables", householdRules)
	r, dir := startSlow(t, ns, path)
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
	stopSlow(t, r, dir)
	if status, out, errs := explain("web"); status == 0 || out != "" || strings.Count(errs, "\n") > 2 {
		t.Errorf("explain without a policyd: status %d\n%s%s", status, out, errs)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("explain made a directory")
	}
}
