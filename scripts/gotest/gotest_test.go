package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const stream = `{"Action":"start","Package":"weir/a"}
{"Action":"run","Package":"weir/a","Test":"TestGood"}
{"Action":"output","Package":"weir/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"weir/a","Test":"TestGood","Output":"    a_test.go:7: chatter\n"}
{"Action":"pass","Package":"weir/a","Test":"TestGood"}
{"Action":"output","Package":"weir/a","Test":"TestRoot","Output":"=== RUN   TestRoot\n"}
{"Action":"output","Package":"weir/a","Test":"TestRoot","Output":"    a_test.go:12: needs root: no namespace\n"}
{"Action":"output","Package":"weir/a","Test":"TestRoot","Output":"--- SKIP: TestRoot (0.00s)\n"}
{"Action":"skip","Package":"weir/a","Test":"TestRoot"}
{"Action":"output","Package":"weir/a","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"weir/a","Test":"TestBad","Output":"    a_test.go:20: f(1) = 2, want 3\n"}
{"Action":"output","Package":"weir/a","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"weir/a","Test":"TestBad"}
{"Action":"output","Package":"weir/a","Test":"TestHung","Output":"SIGQUIT: quit\n"}
{"Action":"output","Package":"weir/a","Output":"FAIL\n"}
{"Action":"output","Package":"weir/a","Output":"FAIL\tweir/a\t0.1s\n"}
{"Action":"fail","Package":"weir/a"}
{"Action":"output","Package":"weir/b","Output":"BenchmarkX  1  12 ns/op\n"}
{"Action":"output","Package":"weir/b","Output":"PASS\n"}
{"Action":"output","Package":"weir/b","Output":"ok  \tweir/b\t0.2s\n"}
{"Action":"pass","Package":"weir/b"}
{"ImportPath":"weir/c","Action":"build-output","Output":"c.go:1: broken\n"}
{"Action":"output","Package":"weir/c","Output":"FAIL\tweir/c [build failed]\n"}
{"Action":"fail","Package":"weir/c"}
go: something of its own
`

func TestFilter(t *testing.T) {
	var out strings.Builder
	skips, err := filter(strings.NewReader(stream), &out, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := (skip{"weir/a", "TestRoot", "needs root: no namespace"}); len(skips) != 1 || skips[0] != want {
		t.Errorf("filter: skips = %v, want [%v]", skips, want)
	}
	want := "=== RUN   TestBad\n    a_test.go:20: f(1) = 2, want 3\n--- FAIL: TestBad (0.00s)\n" +
		"FAIL\tweir/a\t0.1s\nFAIL\nSIGQUIT: quit\n" +
		"ok  \tweir/b\t0.2s\n" +
		"c.go:1: broken\nFAIL\tweir/c [build failed]\n" +
		"go: something of its own\n"
	if out.String() != want {
		t.Errorf("filter: output = %q, want %q", out.String(), want)
	}
}

func TestFilterVerbose(t *testing.T) {
	var out strings.Builder
	if _, err := filter(strings.NewReader(stream), &out, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"chatter", "BenchmarkX", "want 3"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("filter -v: output lacks %q or has it twice:\n%s", want, &out)
		}
	}
}

func TestSummarize(t *testing.T) {
	dir := t.TempDir()
	path, allow := filepath.Join(dir, "skips"), filepath.Join(dir, "allow")
	if err := os.WriteFile(allow, []byte("# no corpus on this machine\nno corpus\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(strict bool, wantStatus int, want string) {
		t.Helper()
		var out strings.Builder
		status, err := summarize(&out, path, allow, strict)
		if err != nil || status != wantStatus || !strings.Contains(out.String(), want) {
			t.Errorf("summarize(strict %t) = %d, %v, %q, want %d and %q", strict, status, err, out.String(), wantStatus, want)
		}
	}
	check(true, 0, "no test was skipped")
	excused, bad := skip{"weir/a", "TestC", "no corpus of captures"}, skip{"weir/a", "TestR", "needs root"}
	for _, s := range [][]skip{{excused}, {excused}} {
		if err := appendSkips(path, s); err != nil {
			t.Fatal(err)
		}
	}
	check(true, 0, "1 tests were skipped:\n  weir/a TestC: no corpus of captures\n")
	if err := appendSkips(path, []skip{bad}); err != nil {
		t.Fatal(err)
	}
	check(false, 0, "  weir/a TestR: needs root\n")
	check(true, 1, "! weir/a TestR: needs root\n")
}
