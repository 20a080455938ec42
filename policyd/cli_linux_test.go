package main

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/proto/event"
	"weir/shm/layout"
)

var update = flag.Bool("update", false, "write golden files anew")

// invoke runs policyd to its end.
func invoke(t *testing.T, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.Command(policyd, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, d)
	}
}

func TestCheck(t *testing.T) {
	const rule = "[[rule]]\nname = \"a\"\nlog = true\n"
	tests := []struct {
		name, text string
		status     int
		want       string // in the output, after the file's name
	}{
		{"good", rule + "match = 'protocol == \"tls\"'\n", 0, "policyd: 1 rules, 0 sets: good\n"},
		{"unknown field", rule + "match = 'port == 5'\n", 2, ":4:10: rule a: match: unknown field \"port\""},
		{"type error in a long text", rule + "match = '''\nprotocol == \"tls\" and\n  vlan == \"x\"\n'''\n", 2, ":6:8: rule a: match: invalid operation: == (mismatched types int and string)"},
		{"exempt", rule + "match = 'true'\nexempt = \"sni == 1\"\n", 2, ":5:15: rule a: exempt: invalid operation"},
		{"duplicate name", rule + "match = 'true'\n" + rule + "match = 'false'\n", 2, "is defined already at"},
		{"unknown key", rule + "match = 'true'\nmatsch = 'x'\n", 2, "did you mean \"match\"?"},
		{"warning", rule + "match = 'true'\nstop = true\n[[rule]]\nname = \"b\"\nlog = true\nmatch = 'vlan == 1'\n", 0, ":9:10: warning: rule b: match: is never reached: rule a at"},
		{"six parts", "[[set]]\nname = \"s\"\nkey = [\"mark\", \"mac\", \"client_port\", \"server_port\", \"ip_protocol\", \"interface\"]\n", 2, "key has 6 parts: nftables joins at most 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "weir.toml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, errs, status := invoke(t, "", "check", "-config", path)
			if status != tt.status || !strings.Contains(out+errs, tt.want) {
				t.Errorf("check = %d, %s%s, want %d, %s", status, out, errs, tt.status, tt.want)
			}
			if tt.status == 2 && !strings.Contains(errs, path) {
				t.Errorf("check does not name the file: %s", errs)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"explain"}, 2, "0 arguments given, want 1"},
		{[]string{"status", "x"}, 2, "1 arguments given, want 0"},
		{[]string{"-workers", "99"}, 2, "-workers 99: must be 1 to 64"},
		{[]string{"-config", "/no/such/file"}, 2, "no such file"},
		{[]string{"status", "-root", "/no/such/dir"}, 1, "is it running on this directory"},
		{[]string{"plan", "-flows", "/no/such/file"}, 1, "no such file"},
		{[]string{"-version"}, 0, "policyd "},
		{[]string{"-help"}, 0, "usage: policyd [enforce|check|plan"},
		{[]string{"enforce", "-root", "/proc/weir"}, 1, "make ring directory"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			out, errs, status := invoke(t, "", tt.args...)
			if status != tt.status || !strings.Contains(out+errs, tt.want) {
				t.Errorf("policyd %v = %d, %s%s, want %d, %s", tt.args, status, out, errs, tt.status, tt.want)
			}
		})
	}
}

func TestPlanOfRecords(t *testing.T) {
	policy, err := filepath.Abs("testdata/plan.toml")
	if err != nil {
		t.Fatal(err)
	}
	records, err := os.ReadFile("testdata/flows.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plan.txt", "plan.json"} {
		t.Run(name, func(t *testing.T) {
			args := []string{"plan", "-config", policy, "-flows", "-"}
			if name == "plan.json" {
				args = append(args, "-json")
			}
			out, errs, status := invoke(t, string(records), args...)
			if status != 0 {
				t.Fatalf("plan = %d: %s", status, errs)
			}
			golden(t, name, strings.ReplaceAll(out, policy, "plan.toml"))
		})
	}
	_, errs, status := invoke(t, "\n{\"client_ip\":\"x\"}\n", "plan", "-config", policy, "-flows", "-")
	if status != 1 || !strings.Contains(errs, "-:2: flow record: ") {
		t.Errorf("plan of a broken record = %d, %s", status, errs)
	}
}

// closedRings makes the rings of two workers that have ended.
func closedRings(t *testing.T, root layout.Root) {
	t.Helper()
	for n := range 2 {
		w := newWorker(t, root, n, true)
		for i := range 3 {
			id := w.begin()
			w.emit(event.FlowClass, id, i < 2)
			w.end(id)
		}
		if err := w.p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFlows(t *testing.T) {
	for _, name := range []string{"flows.txt", "flows.json"} {
		t.Run(name, func(t *testing.T) {
			path, root := writeConfig(t, crashPolicy)
			closedRings(t, root)
			args := []string{"flows", "-config", path, "-drain"}
			if name == "flows.json" {
				args = append(args, "-json")
			}
			out, errs, status := invoke(t, "", args...)
			if status != 0 {
				t.Fatalf("flows = %d: %s", status, errs)
			}
			golden(t, name, out)
			for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
				if name == "flows.json" && !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %s", line)
				}
			}
		})
	}
}

func TestPlanOfRings(t *testing.T) {
	path, root := writeConfig(t, crashPolicy)
	closedRings(t, root)
	out, errs, status := invoke(t, "", "plan", "-config", path, "-drain")
	const want = "set inet weir seen { ipv4_addr . inet_service }: 4 elements, at most 4 at once"
	if status != 0 || !strings.Contains(out, want) || !strings.Contains(out, "set inet weir living { ipv4_addr . inet_service }: 4 elements, at most 1 at once") {
		t.Errorf("plan = %d, %s%s, want %s", status, out, errs, want)
	}
}

func TestObserveTouchesNothing(t *testing.T) {
	netns(t)
	path, root := writeConfig(t, strings.Replace(crashPolicy, "enforce", "observe", 1))
	closedRings(t, root)
	_, errs, status := invoke(t, "", "enforce", "-config", path, "-drain")
	if status != 0 {
		t.Errorf("enforce = %d: %s", status, errs)
	}
	if out, err := exec.Command("nft", "list", "ruleset").CombinedOutput(); err != nil || len(out) != 0 {
		t.Errorf("the ruleset is not empty: %v: %s", err, out)
	}
}

func TestDryRun(t *testing.T) {
	path, root := writeConfig(t, strings.Replace(crashPolicy, "[policy]", "[policy]\ntarget = \"dry-run\"", 1))
	closedRings(t, root)
	out, errs, status := invoke(t, "", "enforce", "-config", path, "-drain")
	if status != 0 || strings.Count(out, "add element inet weir seen") != 4 || strings.Contains(out, "weir living {") && strings.Contains(out, "add element inet weir living") {
		t.Errorf("enforce = %d, %s%s, want four elements in seen, none in living: their flows are over", status, out, errs)
	}
}

func TestForeignTableRefused(t *testing.T) {
	netns(t)
	if out, err := exec.Command("nft", "add", "table", "inet", "weir").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path, root := writeConfig(t, crashPolicy)
	for _, cmd := range []string{"enforce", "flush"} {
		_, errs, status := invoke(t, "", cmd, "-config", path)
		if status != 1 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "table inet weir exists but is not ours") {
			t.Errorf("%s = %d, %s, want one clear error", cmd, status, errs)
		}
	}
	if _, err := os.Stat(filepath.Join(string(root), "policyd.sock")); err == nil {
		t.Error("the control socket was left behind")
	}
}

func TestControl(t *testing.T) {
	netns(t)
	path, root := writeConfig(t, crashPolicy)
	p := startPolicyd(t, "-config", path)
	defer p.kill()
	k := openKernel(t, path)
	workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
	waitAttached(t, workers)
	id := workers[0].begin()
	workers[0].emit(event.FlowClass, id, true)
	waitFor(t, "the element", func() bool { workers[0].tend(t); workers[1].tend(t); return len(k.content(0)) == 1 })

	contains := func(args []string, want ...string) {
		t.Helper()
		out, errs, status := invoke(t, "", append(args, "-config", path)...)
		for _, w := range want {
			if status != 0 || !strings.Contains(out, w) {
				t.Errorf("policyd %v = %d, %s%s, want %s", args, status, out, errs, w)
			}
		}
	}
	contains([]string{"status"}, "mode enforce, target nftables", "inet weir living", "0       attached")
	contains([]string{"rules"}, "all-tls  1     1     0")
	contains([]string{"status", "-json"}, `"in_kernel":1`)
	a, _ := ends(id)
	out, errs, status := invoke(t, "", "explain", "-config", path, a.String())
	if status != 0 || !strings.Contains(out, "rule        all-tls") || !strings.Contains(out, "in the kernel") {
		t.Errorf("explain = %d, %s%s", status, out, errs)
	}
	if out, _, status = invoke(t, "", "explain", "-config", path, "all-tls"); status != 0 || !strings.Contains(out, "hits    1 flows") {
		t.Errorf("explain of a rule = %d, %s", status, out)
	}
	if _, errs, status = invoke(t, "", "explain", "-config", path, "192.0.2.99"); status != 1 || !strings.Contains(errs, "no living flow is 192.0.2.99") {
		t.Errorf("explain of an unknown flow = %d, %s", status, errs)
	}
	if _, errs, status = invoke(t, "", "-config", path); status != 75 || !strings.Contains(errs, "another policyd runs on this directory") {
		t.Errorf("a second policyd = %d, %s, want 75", status, errs)
	}
	reloadAndStop(t, p, path, k)
	if out, errs, status = invoke(t, "", "flush", "-config", path); status != 0 || out != "removed table inet weir; removed 0 elements from sets of yours\n" {
		t.Errorf("flush = %d, %s%s", status, out, errs)
	}
}

// reloadAndStop changes the rule while policyd runs, then stops it: what is enforced
// stays.
func reloadAndStop(t *testing.T, p *process, path string, k *kernelSets) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(string(text), "protocol ==", "nonsense ==", 1))
	waitFor(t, "the bad configuration to be refused", func() bool {
		out, _, _ := invoke(t, "", "rules", "-root", filepath.Join(filepath.Dir(path), "rings"), "-json")
		return strings.Contains(out, `protocol ==`)
	})
	write(strings.Replace(string(text), `"tls"`, `"ssh"`, 1))
	waitFor(t, "the element to go", func() bool { return len(k.content(0)) == 0 })
	write(string(text))
	waitFor(t, "the element to be back", func() bool { return len(k.content(0)) == 1 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("policyd ended with %v: %s", err, p.log)
	}
	if got := len(k.content(0)); got != 1 {
		t.Errorf("%d elements after the end, want the one to stay", got)
	}
	if !strings.Contains(p.log.String(), "unknown field") {
		t.Errorf("the refused configuration was not logged: %s", p.log)
	}
}
