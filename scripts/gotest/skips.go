package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

func appendSkips(path string, skips []skip) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	for _, s := range skips {
		fmt.Fprintf(f, "%s %s: %s\n", s.pkg, s.test, s.reason)
	}
	return f.Close()
}

// summarize prints the skips and returns 1 when strict and one is not excused.
func summarize(w io.Writer, path, allowPath string, strict bool) (int, error) {
	skips, err := readLines(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	slices.Sort(skips)
	skips = slices.Compact(skips)
	if len(skips) == 0 {
		fmt.Fprintln(w, "no test was skipped")
		return 0, nil
	}
	allowed, err := readPatterns(allowPath)
	if err != nil {
		return 0, err
	}
	status := 0
	fmt.Fprintf(w, "%d tests were skipped:\n", len(skips))
	for _, s := range skips {
		mark := "  "
		if strict && !slices.ContainsFunc(allowed, func(p *regexp.Regexp) bool { return p.MatchString(s) }) {
			mark, status = "! ", 1
		}
		fmt.Fprintln(w, mark+s)
	}
	if status != 0 {
		fmt.Fprintf(w, "those marked ! must run in CI; excuse one in %s, with the reason\n", allowPath)
	}
	return status, nil
}

// readPatterns reads one regular expression a line; # begins a comment line.
func readPatterns(path string) ([]*regexp.Regexp, error) {
	if path == "" {
		return nil, nil
	}
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	var list []*regexp.Regexp
	for _, l := range lines {
		if strings.HasPrefix(l, "#") {
			continue
		}
		p, err := regexp.Compile(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, p)
	}
	return list, nil
}

func readLines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if l := strings.TrimSpace(sc.Text()); l != "" {
			lines = append(lines, l)
		}
	}
	return lines, sc.Err()
}
