// Package e2e tests the real programs together, as their user runs them. The files
// that are no tests are what tests of whole processes share.
package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Replay runs weir replay -json and returns the flows, one JSON object each.
func Replay(t testing.TB, args ...string) []string {
	t.Helper()
	out, stderr, err := Run(t, "weir", append([]string{"replay", "-json"}, args...)...)
	if err != nil {
		t.Fatalf("weir replay %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	if stderr != "" {
		t.Errorf("weir replay %s: unexpected output on stderr:\n%s", strings.Join(args, " "), stderr)
	}
	return Lines(out)
}

// Lines splits output into lines without the last, empty one.
func Lines(out string) []string {
	out = strings.TrimSuffix(out, "\n")
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

// Run runs one of our programs and returns what it printed.
func Run(t testing.TB, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(Program(t, program), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Normal turns flow lines into a form in which the same flows of two runs are equal:
// sorted, without the two fields that name the worker.
func Normal(t testing.TB, lines []string) []string {
	t.Helper()
	out := make([]string, len(lines))
	for i, l := range lines {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("flow line %q: %v", l, err)
		}
		delete(m, "flow_id")
		delete(m, "worker")
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = string(b)
	}
	slices.Sort(out)
	return out
}

// Diff says how two sorted lists differ, at most n lines of it; "" when they do not.
func Diff(got, want []string, n int) string {
	var b strings.Builder
	line := func(sign, l string) {
		if n--; n >= 0 {
			fmt.Fprintf(&b, "%s %s\n", sign, l)
		}
	}
	i, j := 0, 0
	for i < len(got) || j < len(want) {
		switch {
		case j == len(want) || i < len(got) && got[i] < want[j]:
			line("+", got[i])
			i++
		case i == len(got) || want[j] < got[i]:
			line("-", want[j])
			j++
		default:
			i++
			j++
		}
	}
	if n < 0 {
		fmt.Fprintf(&b, "and %d more\n", -n)
	}
	return b.String()
}
