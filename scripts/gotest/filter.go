package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of go test -json, see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

type testKey struct{ pkg, test string }

// skip is one test that did not run.
type skip struct {
	pkg, test, reason string
}

// filter copies what matters from the events in r to w and returns the skips.
func filter(r io.Reader, w io.Writer, verbose bool) ([]skip, error) {
	var skips []skip
	held := map[testKey][]string{} // output of tests whose result is not known
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			skips = one(line, w, verbose, held, skips)
		}
		if err == io.EOF {
			return skips, nil
		}
		if err != nil {
			return skips, err
		}
	}
}

// one handles a line; lines that are not events come from go itself.
func one(line string, w io.Writer, verbose bool, held map[testKey][]string, skips []skip) []skip {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(w, line)
		return skips
	}
	k := testKey{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "output":
		if verbose || e.Test == "" && closing(e.Output) {
			fmt.Fprint(w, e.Output)
			if e.Test == "" {
				break
			}
		}
		held[k] = append(held[k], e.Output)
	case "skip":
		if e.Test != "" {
			skips = append(skips, skip{e.Package, e.Test, reason(held[k])})
		}
		delete(held, k)
	case "pass":
		delete(held, k)
	case "fail":
		tell(w, verbose, held, k)
		if e.Test == "" { // tests that a crash has left without a result
			for _, k := range unfinished(held, e.Package) {
				tell(w, verbose, held, k)
			}
		}
	}
	return skips
}

// tell prints the output of what failed, once.
func tell(w io.Writer, verbose bool, held map[testKey][]string, k testKey) {
	if !verbose {
		fmt.Fprint(w, strings.Join(held[k], ""))
	}
	delete(held, k)
}

func unfinished(held map[testKey][]string, pkg string) []testKey {
	var keys []testKey
	for k := range held {
		if k.pkg == pkg {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b testKey) int { return strings.Compare(a.test, b.test) })
	return keys
}

// closing reports whether a line of a package, outside of its tests, is its result.
func closing(line string) bool {
	for _, p := range []string{"ok  \t", "FAIL\t", "panic: "} {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return false
}

// reason finds what the test said when it gave up: "    file_test.go:12: why".
func reason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") || line == "" {
			continue
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, why, ok := strings.Cut(after, ": "); ok {
				return why
			}
		}
		return line
	}
	return "no reason given"
}
