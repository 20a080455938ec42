package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/policyd/target"
)

const (
	tickEvery   = 100 * time.Millisecond
	lookEvery   = time.Second      // for foreign changes, and orphans
	mendEvery   = 10 * time.Second // sets that cannot be filled
	dumpShare   = 20               // reading all sets may take one part in so many of the time
	maxDiverged = 3                // transactions in a row that find another kernel than believed
)

// ticks are when things were last done that time brings.
type ticks struct {
	tick, look, mend, schedule time.Time

	reconcile time.Time // not again before, unless a transaction found the kernel changed
	owed      bool      // a reconciliation
}

// due reports whether every has passed since *last, and if so notes now.
func due(last *time.Time, now time.Time, every time.Duration) bool {
	if now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

// Commit implements feed.Handler: it makes true in the kernel what rules want. After
// it returned nil, everything handed over is applied, or noted as wanted by a set
// that cannot be filled at present.
func (e *Engine) Commit() error {
	now := e.opt.Now()
	if due(&e.ticks.tick, now, tickEvery) {
		if err := e.tick(now); err != nil {
			return err
		}
	}
	return e.apply(now)
}

func (e *Engine) tick(now time.Time) error {
	e.retryResyncs(now)
	if e.rules.Scheduled() && due(&e.ticks.schedule, e.timeOf(e.latest).Truncate(time.Minute), time.Minute) {
		for f := range e.view.All() {
			e.decideAt(f, e.timeOf(e.latest))
		}
	}
	if !due(&e.ticks.look, now, lookEvery) {
		return nil
	}
	for _, f := range e.view.Expire(now) {
		e.release(f, true)
	}
	changed, err := e.backend.Changed()
	if err != nil {
		return err
	}
	if changed || e.mending() && due(&e.ticks.mend, now, mendEvery) {
		e.ticks.owed = true
	}
	if e.ticks.owed && !now.Before(e.ticks.reconcile) {
		return e.reconcile()
	}
	return nil
}

// mending reports whether a set cannot be filled at present.
func (e *Engine) mending() bool {
	for i := range e.sets {
		if e.ledger.Suspended(i) {
			return true
		}
	}
	return false
}

// apply makes all pending changes, in one transaction unless they are too many.
func (e *Engine) apply(now time.Time) error {
	diverged := 0
	for {
		changes := e.ledger.Changes(now, !e.opt.Trial && e.view.AnyStale(), e.backend.Limit())
		if len(changes) == 0 {
			return nil
		}
		err := e.backend.Commit(changes)
		switch {
		case err == nil:
			e.done(changes)
			continue
		case errors.Is(err, target.ErrDenied):
			return err
		}
		e.counts.Failures++
		diverged++
		e.opt.Log.Warn("transaction refused", "changes", len(changes), "attempt", diverged, "error", err)
		if errors.Is(err, target.ErrDiverged) && diverged < maxDiverged {
			if err := e.reconcile(); err != nil {
				return err
			}
			continue
		}
		if err := e.isolate(changes); err != nil {
			return err
		}
	}
}

func (e *Engine) done(changes []target.Change) {
	e.ledger.Done(changes)
	e.counts.Transactions++
	tell := e.opt.Log.Enabled(context.Background(), slog.LevelDebug)
	for _, c := range changes {
		switch c.Op {
		case target.Add:
			e.counts.Added++
		case target.Refresh:
			e.counts.Refreshed++
		case target.Delete:
			e.counts.Deleted++
		}
		if tell {
			e.opt.Log.Debug("changed", "change", c.String())
		}
	}
}

// isolate makes the changes set by set, so that one set's trouble is its own. A set
// that refuses is left alone for a while.
func (e *Engine) isolate(changes []target.Change) error {
	for i, s := range e.sets {
		var mine []target.Change
		for _, c := range changes {
			if c.Set == s {
				mine = append(mine, c)
			}
		}
		if len(mine) == 0 {
			continue
		}
		if err := e.backend.Commit(mine); err != nil {
			e.opt.Log.Error("set cannot be filled", "set", s.String(), "error", err)
			e.ledger.Suspend(i, true)
			continue
		}
		e.done(mine)
	}
	return nil
}

// reconcile opens the sets anew and compares them with what is wanted. A set of the
// user's that went, or changed its type, is left alone until it is back. What others
// do to the ruleset, however often, makes us read it in a bounded share of the time.
func (e *Engine) reconcile() error {
	began := e.opt.Now()
	err := e.openAgain()
	if errors.Is(err, target.ErrDiverged) {
		e.opt.Log.Warn("sets not read: trying again", "error", err)
		err = nil
	} else if err == nil {
		e.ticks.owed = false
	}
	e.counts.Reconciled++
	took := e.opt.Now().Sub(began)
	e.counts.ReconciledNS += uint64(took)
	e.ticks.reconcile = began.Add(max(dumpShare*took, lookEvery))
	return err
}

func (e *Engine) openAgain() error {
	sets := e.sets
	err := e.backend.Open(sets)
	if err != nil {
		bad, all := target.BadSets(err)
		if !all {
			return fmt.Errorf("open sets again: %w", err)
		}
		e.opt.Log.Error("sets cannot be filled", "error", err)
		if sets = without(sets, bad); len(sets) > 0 {
			if err := e.backend.Open(sets); err != nil {
				return fmt.Errorf("open sets again: %w", err)
			}
		}
	}
	for i, s := range e.sets {
		e.ledger.Suspend(i, !contains(sets, s))
	}
	return e.dump()
}

func without(sets, bad []*target.Set) (good []*target.Set) {
	for _, s := range sets {
		if !contains(bad, s) {
			good = append(good, s)
		}
	}
	return good
}

func contains(sets []*target.Set, s *target.Set) bool {
	for _, x := range sets {
		if x == s {
			return true
		}
	}
	return false
}

// dump compares what is in the sets with what is wanted.
func (e *Engine) dump() error {
	known := map[string]bool{}
	for i := range e.rules.Rules {
		known[e.rules.Rules[i].Name] = true
	}
	for i, s := range e.sets {
		if e.ledger.Suspended(i) {
			continue
		}
		found, err := e.backend.Dump(s)
		if err != nil {
			return err
		}
		e.ledger.Reconcile(i, found, e.opt.Now(), func(r string) bool { return known[r] })
	}
	return nil
}
