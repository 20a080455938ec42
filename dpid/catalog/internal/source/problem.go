package source

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is a mistake in an input, at the place where it stands.
type Problem struct {
	Place   Place
	Text    string
	Warning bool // the input is usable all the same
}

// Place is a file and a line; line 0 stands for the whole file.
type Place struct {
	File string
	Line int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

func (p Problem) Error() string {
	if p.Warning {
		return p.Place.String() + ": warning: " + p.Text
	}
	return p.Place.String() + ": " + p.Text
}

// maxProblems bounds a report: a list in a wrong format has one mistake a
// line, and there may be millions of lines.
const maxProblems = 200

// Problems collects mistakes.
type Problems struct {
	all   []Problem
	extra int // errors beyond maxProblems
}

// Errorf adds a mistake.
func (ps *Problems) Errorf(at Place, format string, args ...any) {
	if len(ps.all) >= maxProblems {
		ps.extra++
		return
	}
	ps.all = append(ps.all, Problem{Place: at, Text: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning.
func (ps *Problems) Warnf(at Place, format string, args ...any) {
	if len(ps.all) < maxProblems {
		ps.all = append(ps.all, Problem{Place: at, Text: fmt.Sprintf(format, args...), Warning: true})
	}
}

// Warnings returns the warnings in order of place.
func (ps *Problems) Warnings() []Problem {
	return ps.sorted(true)
}

// Err returns nil when there is no mistake, else all of them in one error,
// one a line in order of place.
func (ps *Problems) Err() error {
	errs := ps.sorted(false)
	if len(errs) == 0 {
		return nil
	}
	return &Error{Problems: errs, More: ps.extra}
}

func (ps *Problems) sorted(warnings bool) []Problem {
	var out []Problem
	for _, p := range ps.all {
		if p.Warning == warnings {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int {
		if c := strings.Compare(a.Place.File, b.Place.File); c != 0 {
			return c
		}
		return a.Place.Line - b.Place.Line
	})
	return out
}

// Error is all that is wrong with an input.
type Error struct {
	Problems []Problem
	More     int // further ones that were only counted
}

func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", e.More)
	}
	return b.String()
}
