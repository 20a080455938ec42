package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"weir/policyd/engine"
	"weir/policyd/rule"
	"weir/proto/config"
	"weir/proto/daemon"
)

// configure checks what only policyd can: expressions, and what sets need. Every
// mistake is told, with file, line, column and what to do.
func (a *app) configure(c *config.Config) error {
	if a.workers < 0 || a.workers > config.MaxWorkers {
		return fmt.Errorf("-workers %d: must be 1 to %d", a.workers, config.MaxWorkers)
	}
	var errs []error
	_, problems := rule.Compile(c)
	for _, p := range problems {
		if !p.Warning {
			errs = append(errs, errors.New(describe(p)))
		}
	}
	_, err := engine.Sets(c)
	return errors.Join(append(errs, err)...)
}

// describe writes a problem with the place in the file where it is, to the column.
func describe(p *rule.Problem) string {
	where := p.Pos.String()
	if p.At == (rule.Place{}) || p.Pos.Line == 0 {
		return p.Format(where)
	}
	// The file may have gone or changed since it was read: then the rule's line must do.
	text, err := os.ReadFile(p.Pos.File)
	if err == nil {
		if at, ok := rule.Locate(text, p.Pos.Line, p.Key, p.At); ok {
			return p.Format(p.Pos.File + ":" + at.String())
		}
	}
	return p.Format(where + ": at " + p.At.String() + " of the expression")
}

// check says that all is well: otherwise configure would have spoken. Warnings are
// still to be told.
func (a *app) check(context.Context, daemon.Signals) error {
	rules, problems := rule.Compile(a.Config)
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, describe(p))
	}
	fmt.Printf("policyd: %d rules, %d sets: good\n", len(rules.Rules), len(a.Config.Sets))
	return nil
}

// compile is rule.Compile for a configuration that was checked.
func (a *app) compile(c *config.Config) *rule.Set {
	rules, problems := rule.Compile(c)
	for _, p := range problems {
		a.Log.Warn("policy", "problem", describe(p))
	}
	return rules
}
