package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake puts a shell script where a daemon is expected. It runs in the ring directory.
func fake(t *testing.T, j *job, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(j.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Scripts of daemons that do their duty. A worker is done when capd is, the printer
// when the worker is.
const (
	goodDpid    = `: > stat/w00.stat; until [ -e read ]; do sleep 0.01; done; : > told`
	goodPolicyd = `: > evtcur/$1.w00.cur; until [ -e told ]; do sleep 0.01; done; echo "$1 has all"`
	goodCapd    = `: > read`
)

// faked is a job whose daemons are scripts, with what it prints.
func faked(t *testing.T, dpid, policyd, capd string) (j *job, printed func() (out, errs string)) {
	t.Helper()
	j = prepared(t, "")
	j.Workers = 1
	if err := os.Remove(j.Dir); err != nil {
		t.Fatal(err)
	}
	fake(t, j, "dpid", dpid)
	fake(t, j, "policyd", policyd)
	fake(t, j, "capd", capd)
	files := [2]*os.File{}
	for i := range files {
		f, err := os.CreateTemp(t.TempDir(), "out")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files[i] = f
	}
	j.Stdout, j.Stderr = files[0], files[1]
	return j, func() (string, string) { return contents(t, files[0]), contents(t, files[1]) }
}

func contents(t *testing.T, f *os.File) string {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const stopLine = `echo 'time=T level=ERROR msg=stopped daemon=X worker=0 error="%"' >&2; exit 1`

func TestRun(t *testing.T) {
	stop := func(why string) string { return strings.Replace(stopLine, "%", why, 1) }
	tests := []struct {
		name                string
		dpid, policyd, capd string
		err, out, errs      string
		policy              bool
	}{
		{name: "good", dpid: goodDpid, policyd: goodPolicyd, capd: goodCapd, out: "flows has all\n"},
		{
			name: "warnings are passed on", dpid: `echo careful >&2; ` + goodDpid, policyd: goodPolicyd, capd: goodCapd,
			out: "flows has all\n", errs: "careful\n",
		},
		{
			name: "killed twice", dpid: goodDpid, policyd: goodPolicyd, out: "flows has all\n",
			capd: `echo life >> lives; [ $(wc -l < lives) -ge 3 ] || kill -9 $$; ` + goodCapd,
		},
		{
			name: "ring taken for a while", policyd: goodPolicyd, capd: goodCapd, out: "flows has all\n",
			dpid: `echo life >> lives; [ $(wc -l < lives) -ge 3 ] || exit 75; ` + goodDpid,
		},
		{
			name: "a worker cannot start", dpid: stop(`no \"room\"`), policyd: `: > evtcur/flows.w00.cur; exec sleep 60`, capd: goodCapd,
			err: `dpid: no "room"`,
		},
		{
			name: "a full place", dpid: stop(`create x: allocate: no space left on device`), policyd: `exec sleep 60`, capd: goodCapd,
			err: `dpid: create x: allocate: no space left on device: make room there, or name another place with -dir`,
		},
		{
			name: "nobody says why", dpid: goodDpid, policyd: `exit 3`, capd: goodCapd,
			err: "policyd ended with status 3",
		},
		{
			name: "capd fails before it has rings", dpid: goodDpid, policyd: goodPolicyd, capd: stop("bad"),
			err: "capd: bad",
		},
		{
			name: "others fail because one did", policyd: `: > evtcur/flows.w00.cur; trap "` + strings.ReplaceAll(stop("me too"), `"`, `\"`) + `" TERM; until [ -e gone ]; do sleep 0.01; done`,
			dpid: `: > stat/w00.stat; until [ -e started ]; do sleep 0.01; done; ` + stop("first"), capd: `: > started; exec sleep 60`,
			err: "dpid: first",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j, printed := faked(t, tt.dpid, tt.policyd, tt.capd)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			got := ""
			if err := j.run(ctx); err != nil {
				got = err.Error()
			}
			if got != tt.err {
				t.Errorf("run() = %q, want %q", got, tt.err)
			}
			if out, errs := printed(); out != tt.out || errs != tt.errs {
				t.Errorf("printed %q and %q, want %q and %q", out, errs, tt.out, tt.errs)
			}
			if exists(j.Dir) {
				t.Error("the ring directory is left behind")
			}
		})
	}
}

func TestRunKeep(t *testing.T) {
	j, printed := faked(t, goodDpid, goodPolicyd, goodCapd)
	j.Keep = true
	if err := j.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, errs := printed(); errs != "weir: the rings are kept in "+j.Dir+"\n" {
		t.Errorf("printed %q, want the folder", errs)
	}
	if !exists(filepath.Join(j.Dir, "weir.toml")) {
		t.Error("nothing was kept")
	}
}

func TestRunInterrupted(t *testing.T) {
	for _, at := range []string{"while starting", "while running"} {
		t.Run(at, func(t *testing.T) {
			policyd, sign, want := `exec sleep 60`, "stat/w00.stat", ""
			if at == "while running" {
				policyd = `trap 'echo half; exit 0' TERM; : > evtcur/flows.w00.cur; until [ -e gone ]; do sleep 0.01; done`
				sign, want = "started", "half\n"
			}
			j, printed := faked(t, goodDpid, policyd, `: > started; exec sleep 60`)
			dir := j.Dir // run may change j
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- j.run(ctx) }()
			for !exists(filepath.Join(dir, sign)) {
				select {
				case err := <-done:
					t.Fatalf("run() = %v before it was interrupted", err)
				case <-time.After(time.Millisecond):
				}
			}
			cancel()
			if err := <-done; !errors.Is(err, errInterrupted) {
				t.Errorf("run() = %v, want %v", err, errInterrupted)
			}
			if out, errs := printed(); out != want || errs != "" {
				t.Errorf("printed %q and %q, want %q", out, errs, want)
			}
			if exists(dir) {
				t.Error("the ring directory is left behind")
			}
		})
	}
}

func TestLastWord(t *testing.T) {
	const end = `time=2024-01-01T00:00:00Z level=ERROR msg=stopped daemon=dpid worker=3 error="a b: \"c\"\nd"` + "\n"
	tests := []struct{ name, in, passed, why string }{
		{"nothing", "", "", ""},
		{"only lines", "a\nb\n", "a\nb\n", ""},
		{"end", "a\n" + end, "a\n", "a b: \"c\"\nd"},
		{"bare word", "x level=ERROR msg=stopped daemon=d error=EOF\n", "", "EOF"},
		{"an error on the way", `level=ERROR msg="event lost" error=x` + "\n", `level=ERROR msg="event lost" error=x` + "\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 1 << 20} {
				var b bytes.Buffer
				l := &lastWord{w: &b}
				if n, err := io.CopyBuffer(struct{ io.Writer }{l}, struct{ io.Reader }{strings.NewReader(tt.in)}, make([]byte, piece)); err != nil || n != int64(len(tt.in)) {
					t.Fatal(n, err)
				}
				if b.String() != tt.passed || l.why != tt.why {
					t.Errorf("pieces of %d: passed %q, why %q, want %q, %q", piece, b.String(), l.why, tt.passed, tt.why)
				}
			}
		})
	}
}

func TestLastWordBounded(t *testing.T) {
	var b bytes.Buffer
	l := &lastWord{w: &b}
	for range 100 {
		if _, err := l.Write(make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
		if len(l.line) > maxLine {
			t.Fatalf("%d bytes kept of a line that does not end", len(l.line))
		}
	}
}
