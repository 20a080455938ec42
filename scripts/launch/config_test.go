package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/proto/config"
)

// prepared is a job with a ring directory, ready to be configured.
func prepared(t *testing.T, policy string) *job {
	t.Helper()
	dir := t.TempDir()
	j := &job{
		Captures: []string{write(t, dir, "a.pcap", make([]byte, 1000))}, Workers: 2, Pace: 2, LogLevel: "info",
		Dir: filepath.Join(dir, `rings "of" mine`), Stdout: os.Stdout, Stderr: os.Stderr, bin: filepath.Join(dir, "bin"),
	}
	if policy != "" {
		j.Policy = write(t, dir, "policy.toml", []byte(policy))
	}
	for _, d := range []string{j.Dir, j.bin} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.check(); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestConfigure(t *testing.T) {
	j := prepared(t, "")
	write(t, j.bin, "catalog.weir", nil)
	if err := j.configure(context.Background()); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(j.conf)
	if err != nil {
		t.Fatal(err)
	}
	if c.Instance.Dir != j.Dir || c.Instance.LogLevel != "info" || c.Workers.Count != 2 || c.Capture.Pace != 2 || c.Capture.Threads != 1 {
		t.Errorf("configuration has %+v, %+v, %+v", c.Instance, c.Workers, c.Capture)
	}
	if c.Flow.MaxFlows != 1<<10 || c.Flow.Probation != 1 || c.Flow.StatsInterval != 0 || c.Rings.PacketPayload != config.Size(mib) {
		t.Errorf("sizes are %+v, %+v", c.Flow, c.Rings)
	}
	if want := filepath.Join(j.bin, "catalog.weir"); c.Catalog.File != want {
		t.Errorf("catalog.file = %q, want %q", c.Catalog.File, want)
	}
	// What is given here leaves nothing to be derived but what costs nothing.
	d := *c
	d.Derive(64<<30, 64)
	if d.Rings != c.Rings || d.Inspect != c.Inspect || d.Hint != c.Hint || d.Flow != c.Flow {
		t.Errorf("sizes depend on the machine: %+v, want %+v", d, *c)
	}
}

func TestConfigureCatalog(t *testing.T) {
	j := prepared(t, "[catalog]\nfile = \"/own/catalog.weir\"\n")
	fake(t, j, "policyd", "exit 0")
	write(t, j.bin, "catalog.weir", nil)
	if err := j.configure(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(j.conf); err != nil || c.Catalog.File != "/own/catalog.weir" {
		t.Errorf("Load() = %+v, %v, want the policy's own catalogue", c, err)
	}
}

func TestConfigureOwnNames(t *testing.T) {
	for name, policy := range map[string]string{
		"lists":        "[[catalog.lists]]\ncategory = \"mine\"\nfile = \"/own/list\"\n",
		"applications": "[[application]]\nname = \"mine\"\ncategory = \"web\"\ndomains = [\"mine.test\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			j := prepared(t, policy)
			fake(t, j, "policyd", "exit 0")
			fake(t, j, "dpid", `echo "$@" > "$4"`)
			if err := j.configure(context.Background()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(j.Dir, "catalog.weir")
			if c, err := config.Load(j.conf); err != nil || c.Catalog.File != path {
				t.Errorf("Load() = %+v, %v, want catalogue %s", c, err, path)
			}
			asked, err := os.ReadFile(path)
			if want := "catalog compile -o " + path + " -config " + j.conf + "\n"; err != nil || string(asked) != want {
				t.Errorf("dpid was asked %q, %v, want %q", asked, err, want)
			}
		})
	}
}

// TestConfigureRefuses: mistakes are told with the policy's own name, and are told
// apart from trouble.
func TestConfigureRefuses(t *testing.T) {
	tests := []struct {
		name, policy, policyd, dpid string
		want                        string // POLICY stands for the file
	}{
		{name: "unknown key", policy: "[policy]\nmod = \"enforce\"\n", want: `POLICY:2: policy.mod is not a known key: did you mean "mode"?`},
		{name: "what the job decides", policy: "[workers]\ncount = 3\n", want: "POLICY:2: workers.count is set already at CONF:"},
		{
			name: "what policyd finds", policyd: "echo weir.toml:3:4: no >&2; echo policyd: configuration refused >&2; exit 2",
			policy: "# rules\n", want: "weir.toml:3:4: no",
		},
		{
			name: "what the catalogue finds", policyd: "exit 0", dpid: "echo catalog: weir.toml:1: no >&2; exit 1",
			policy: "[[application]]\nname = \"mine\"\ndomains = [\"a..b\"]\n", want: "weir.toml:1: no",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := prepared(t, tt.policy)
			fake(t, j, "policyd", tt.policyd)
			fake(t, j, "dpid", tt.dpid)
			err := j.configure(context.Background())
			var p *policyError
			if !errors.As(err, &p) {
				t.Fatalf("configure() = %v, want a policyError", err)
			}
			got := strings.NewReplacer(j.Policy, "POLICY", j.conf, "CONF").Replace(err.Error())
			if !strings.HasPrefix(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("configure() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFloat(t *testing.T) {
	for f, want := range map[float64]string{0: "0.0", 1: "1.0", 0.25: "0.25", 1e6: "1000000.0"} {
		if got := float(f); got != want {
			t.Errorf("float(%v) = %q, want %q", f, got, want)
		}
	}
}
