package daemon

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/proto/config"
)

// start runs Start with captured output.
func start(t *testing.T, p Program, args ...string) (env *Env, status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p.Name, p.Stdout, p.Stderr = "capd", &out, &errs
	env, status = p.Start(args)
	return env, status, out.String(), errs.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStart(t *testing.T) {
	good := write(t, "[instance]\nname = \"gw\"\nlog_level = \"error\"")
	bad := write(t, "[flow]\nmax_flow = 1\nprobation = 7")
	tests := []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string // regular expressions
	}{
		{"version", []string{"-version"}, ExitOK, `^capd \S+ \(commit \S+, go1\S+, linux/\w+\)\nshm abi 1\.0\n$`, `^$`},
		{"help", []string{"-help"}, ExitOK, `(?s)^usage: capd \[run\|stop\] \[flags\]\n.*-config FILE\n.*-log-level LEVEL`, `^$`},
		{"unknown flag", []string{"-x"}, ExitUsage, `^$`, `^capd: flag provided but not defined: -x; see capd -help\n$`},
		{"argument", []string{"walk"}, ExitUsage, `^$`, `^capd: unexpected argument "walk"; see capd -help\n$`},
		{"check good", []string{"-check", "-config", good}, ExitOK, `^capd: configuration is good\n$`, `^$`},
		{"check bad", []string{"-check", "-config", bad}, ExitFailure, `^$`, `weir.toml:2: flow.max_flow is not.*\n.*weir.toml:3: flow.probation = 7.*\ncapd: configuration refused\n$`},
		{"start bad", []string{"-config", bad}, ExitUsage, `^$`, `configuration refused\n$`},
		{"missing file", []string{"-config", good + ".none"}, ExitUsage, `^$`, `no such file`},
		{"bad level", []string{"-config", good, "-log-level", "loud"}, ExitUsage, `^$`, `instance.log_level = "loud": must be one of debug, info, warn, error`},
		{"own flag", []string{"-config", good, "-pace", "-1"}, ExitUsage, `^$`, `capture.pace = -1: must be 0 to`},
		{"own check", []string{"-config", good, "-pace", "13", "-root", "x"}, ExitUsage, `^$`, `(?s)13 is unlucky.*instance.dir = "x": must be`},
		{"print", []string{"-print", "-config", good, "-root", "/run/w", "-pace", "2"}, ExitOK, `(?s)name = "gw".*dir = "/run/w".*pace = 2\.0.*max_flows = [1-9]`, `^$`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var pace float64
			p := Program{
				Commands: []string{"run", "stop"},
				Formats:  []Format{{"shm abi", "1.0"}},
				Flags:    func(s *flag.FlagSet) { s.Float64Var(&pace, "pace", 0, "") },
				Configure: func(c *config.Config) error {
					c.Capture.Pace = pace
					if pace == 13 {
						return errors.New("13 is unlucky")
					}
					return nil
				},
			}
			env, status, stdout, stderr := start(t, p, tt.args...)
			if env != nil || status != tt.status {
				t.Errorf("Start(%q) = %v, %d, want nil, %d", tt.args, env, status, tt.status)
			}
			if !regexp.MustCompile(tt.stdout).MatchString(stdout) {
				t.Errorf("Start(%q): stdout = %q, want %s", tt.args, stdout, tt.stdout)
			}
			if !regexp.MustCompile(tt.stderr).MatchString(stderr) {
				t.Errorf("Start(%q): stderr = %q, want %s", tt.args, stderr, tt.stderr)
			}
		})
	}
}

func TestStartRuns(t *testing.T) {
	path := write(t, "[instance]\nlog_level = \"warn\"")
	p := Program{Commands: []string{"plan"}, Args: "FILE..."}
	env, status, _, _ := start(t, p, "plan", "-config", path, "a", "b")
	if env == nil || status != ExitOK {
		t.Fatalf("Start = %v, %d, want an Env and %d", env, status, ExitOK)
	}
	if env.Command != "plan" || len(env.Args) != 2 || env.Path != path {
		t.Errorf("Start: command %q, args %q, path %q, want plan, [a b], %q", env.Command, env.Args, env.Path, path)
	}
	if env.Config.Flow.MaxFlows == 0 || env.Config.Workers.Count == 0 {
		t.Errorf("Start: sizes are not derived: %+v %+v", env.Config.Flow, env.Config.Workers)
	}
	if got := env.Level.Level().String(); got != "WARN" {
		t.Errorf("Start: level = %s, want WARN", got)
	}
}

func TestReload(t *testing.T) {
	path := write(t, "[workers]\ncount = 2")
	p := Program{Name: "capd"}
	env, _, _, _ := start(t, p, "-config", path)
	if err := os.WriteFile(path, []byte("[workers]\ncount = 3"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := env.Reload(p, []string{"-config", path}); err != nil || c.Workers.Count != 3 {
		t.Errorf("Reload = %v, %v, want 3 workers", c, err)
	}
	if err := os.WriteFile(path, []byte("["), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := env.Reload(p, []string{"-config", path}); err == nil || c != nil {
		t.Errorf("Reload of a broken file = %v, %v, want an error", c, err)
	}
}

func TestFinish(t *testing.T) {
	errBusy := errors.New("owned")
	env, _, _, _ := start(t, Program{}, "-config", write(t, ""))
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, ExitOK},
		{fmt.Errorf("run: %w", context.Canceled), ExitOK},
		{errors.New("broken"), ExitFailure},
		{fmt.Errorf("attach: %w", errBusy), ExitTemp},
	} {
		if got := env.Finish(tt.err, errBusy); got != tt.want {
			t.Errorf("Finish(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestWatch(t *testing.T) {
	ctx, sig, stop := Watch(context.Background())
	defer stop()
	deadline := time.After(10 * time.Second)
	for _, s := range []struct {
		sig syscall.Signal
		c   <-chan os.Signal
	}{{syscall.SIGHUP, sig.Reload}, {syscall.SIGUSR1, sig.Dump}} {
		if err := syscall.Kill(os.Getpid(), s.sig); err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.c:
		case <-deadline:
			t.Fatalf("%v did not arrive", s.sig)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-deadline:
		t.Fatal("SIGTERM did not end the context")
	}
}

func TestVersionLinked(t *testing.T) {
	defer func(t, c string) { tag, commit = t, c }(tag, commit)
	tag, commit = "v1.2.3", "0123abc"
	if got := Version("dpid"); !strings.HasPrefix(got, "dpid v1.2.3 (commit 0123abc, go") {
		t.Errorf("Version = %q, want dpid v1.2.3 (commit 0123abc, go...", got)
	}
}
