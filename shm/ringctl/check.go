package main

import (
	"flag"
	"fmt"
	"slices"
	"time"

	"weir/shm/ringctl/law"
)

func init() {
	register(command{
		name: "check", help: "check what must hold: exit 0 all well, 1 broken, 2 usage",
		flags: func(fs *flag.FlagSet) func(*env) error {
			verbose := fs.Bool("v", false, "print what holds, too")
			return func(e *env) error { return e.check(*verbose) }
		},
	})
}

// checkJSON is a line of check -json.
type checkJSON struct {
	Object string `json:"object"`
	Law    string `json:"law"`
	Result string `json:"result"` // ok, note, broken
	Detail string `json:"detail"`
}

func (e *env) check(verbose bool) error {
	found, err := e.settled()
	if err != nil {
		return err
	}
	var broken, notes int
	for _, f := range found {
		switch f.Result {
		case law.Broken:
			broken++
		case law.Note:
			notes++
		}
		switch {
		case e.json:
			if err := e.object(checkJSON{f.Object, f.Law, f.Result.String(), f.Detail}); err != nil {
				return err
			}
		case verbose || f.Result != law.OK:
			fmt.Fprintf(e.out, "%-7s %s: %s: %s\n", f.Result, f.Object, f.Law, f.Detail)
		}
	}
	if !e.json {
		fmt.Fprintf(e.out, "%d checks: %d broken, %d to know\n", len(found), broken, notes)
	}
	if broken > 0 {
		return errBroken
	}
	return nil
}

// settled checks, and checks a live instance again where something looks broken: an
// owner that leaves or comes while we look writes one word after the other.
func (e *env) settled() (found []law.Finding, err error) {
	const tries = 3
	for i := range tries {
		in, err := e.look()
		if err != nil {
			return nil, err
		}
		found = law.Check(in)
		sound := !slices.ContainsFunc(found, func(f law.Finding) bool { return f.Result == law.Broken })
		if sound || !in.AnyAlive() || i == tries-1 || !e.pause(100*time.Millisecond) {
			break
		}
	}
	return found, nil
}
