package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

// ringctl runs the program and returns what it printed.
func ringctl(t testing.TB, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), status
}

var inodes = regexp.MustCompile(`(inode"?:? *)\d+`)

func TestGolden(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	for _, line := range []string{
		"status", "status -json", "ls", "ls -json", "lag", "lag -json", "check -v", "check -json",
		"info c00-w01", "info w00", "info w00 -json", "info policyd.w00", "info capd -json",
		"tail w00", "tail w00 -from 3 -json", "tail w00 -type flow_end", "dump c00-w01", "dump c00-w01 -unread -json",
	} {
		name := strings.NewReplacer(" -", "-", " ", "-").Replace(line)
		t.Run(name, func(t *testing.T) {
			out, errs, status := ringctl(t, append([]string{"-root", dir}, strings.Fields(line)...)...)
			if status != exitOK || errs != "" {
				t.Fatalf("ringctl %s: status %d, %s", line, status, errs)
			}
			got := inodes.ReplaceAllString(strings.ReplaceAll(out, dir, "DIR"), "${1}N")
			golden(t, name, got)
		})
	}
	out, _, _ := ringctl(t, "help")
	golden(t, "help", out)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, d)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	for _, tt := range []struct {
		args   string
		status int
		says   string // on stderr
	}{
		{"-root DIR check", exitOK, ""},
		{"check -root DIR", exitOK, ""},
		{"-root DIR", exitOK, ""},
		{"-h", exitOK, "Without a command"},
		{"check -h", exitOK, "usage: ringctl check"},
		{"-version", exitOK, ""},
		{"nonsense", exitUsage, `no command "nonsense"`},
		{"-nonsense", exitUsage, "not defined"},
		{"check -nonsense", exitUsage, "not defined"},
		{"check extra", exitUsage, "usage: ringctl check"},
		{"info", exitUsage, "usage: ringctl info NAME"},
		{"stat -w 0s", exitUsage, "must be more than 0"},
		{"retire w00", exitUsage, "say ringctl -write retire"},
		{"tail capd", exitUsage, "those are called wNN"},
		{"tail w00 -root DIR -type FLOW", exitUsage, "the types are FLOW_NEW"},
		{"tail w00 -root DIR -from yesterday", exitUsage, "must be oldest, now, or the number"},
		{"-root DIR/nothing", exitBroken, "is an instance running there?"},
		{"-root DIR/topology.json", exitBroken, "not a directory"},
		{"-root DIR info w09", exitBroken, `called "w09"`},
		{"-root DIR tail w09", exitBroken, "not there yet"},
		{"-root DIR dump w00", exitBroken, "not a packet ring"},
		{"-root DIR dump c00-w09", exitBroken, `no packet ring called "c00-w09"`},
		{"-root DIR dump c00-w00 -pcapng DIR/no/such/file", exitBroken, "no such file"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			_, errs, status := ringctl(t, strings.Fields(strings.ReplaceAll(tt.args, "DIR", dir))...)
			if status != tt.status || !strings.Contains(errs, tt.says) {
				t.Errorf("status %d, stderr %q, want %d and %q", status, errs, tt.status, tt.says)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &plain{w: &out}
	for _, s := range []string{"a\x1b[31m\tb\n", "\xc2", "\x9b2J \x7f é\r"} {
		if n, err := p.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write() = %d, %v, want %d", n, err, len(s))
		}
	}
	if got, want := out.String(), "a?[31m\tb\n\xc2\xbf2J ? é?"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
