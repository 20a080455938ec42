// Package engine turns the events of flows into elements of sets: it keeps the view,
// asks the rules, counts, and has the target make true what they want.
//
// It does no I/O of its own: events come from a feed, changes go to a backend.
//
// The invariants: rules are asked once per event that can change their answer, never
// per packet; nothing is deleted while the view of some worker may lack flows; an
// event that is delivered again changes nothing.
package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/policyd/rule"
	"weir/policyd/target"
	"weir/policyd/view"
	"weir/proto/config"
	"weir/proto/event"
)

// Backend is where elements go to. Package target has two.
type Backend interface {
	// Open makes sure that the sets can be filled. It may be called again.
	Open(sets []*target.Set) error
	// Commit makes all of the changes, in one transaction, or none.
	Commit(changes []target.Change) error
	// Dump returns what is in a set.
	Dump(s *target.Set) ([]target.Found, error)
	// Changed reports whether somebody else may have changed what is ours.
	Changed() (bool, error)
	// Limit is how many changes one transaction may have.
	Limit() int
	Close() error
}

// Workers is what asks workers for snapshots; the feed does.
type Workers interface {
	Resync(w int, reason uint32) (request uint32)
	ResyncDone(w int, request uint32)
}

// Options are what an engine needs to know beside the configuration.
type Options struct {
	Name      string                // of this consumer, as snapshots name it
	Workers   int                   // how many there are
	MaxFlows  int                   // of one worker in the view; more are not taken in
	Interface func(i uint16) string // name of an interface table index
	Role      func(i uint16) string // its role; nil: none has one
	Now       func() time.Time      // the clock on the wall, which kernel timeouts run by
	Offline   bool                  // time of day is packet time, for schedules too
	Trial     bool                  // nothing is real: no snapshot is awaited before a deletion
	Log       *slog.Logger
	Ended     func(f event.Flow, rules []int) // told of each flow that ended and the rules it met; may be nil
}

// Flow is a flow in the engine's view.
type Flow = view.Flow[state]

// state is what the engine keeps with a flow.
type state struct {
	wants []target.Element
	rules []uint16 // rules that matched at some time, in the order they first did
	now   []uint16 // rules that match at present
	tags  []string

	named bool // the interface had a name when the rules were asked
}

// action is one nftset table of a rule, resolved.
type action struct {
	set     int
	parts   []string
	timeout time.Duration
	version uint8 // of IP; 0 = both
}

// Engine is the whole. It is not safe for concurrent use.
type Engine struct {
	opt     Options
	rules   *rule.Set
	actions [][]action // of each rule
	sets    []*target.Set
	view    *view.View[state]
	ledger  *target.Ledger
	backend Backend
	workers Workers
	resyncs []resync

	counts  Counts
	perRule []RuleCount
	latest  uint64 // newest event time, ns
	ticks   ticks
	buf     []byte
	want    []wish // scratch of decide
	flow    rule.Flow

	reads view.Parts // of a flow that can change what the rules say
	timed bool       // time alone can change it
}

// RuleCount is what a rule did since the start.
type RuleCount struct {
	Hits uint64 // flows that matched it
	Live int    // flows that match it now
}

// New returns the engine for the rules and sets of c, which rule.Compile made rules
// of. Start must follow.
func New(c *config.Config, rules *rule.Set, backend Backend, workers Workers, opt Options) (*Engine, error) {
	e := &Engine{opt: opt, backend: backend, workers: workers, resyncs: make([]resync, opt.Workers)}
	e.view = view.New[state](opt.Workers, opt.MaxFlows)
	if err := e.use(c, rules); err != nil {
		return nil, err
	}
	return e, nil
}

// use takes rules and sets into use. On an error nothing has changed.
func (e *Engine) use(c *config.Config, rules *rule.Set) error {
	sets, err := Sets(c)
	if err != nil {
		return err
	}
	actions := make([][]action, len(rules.Rules))
	for i := range rules.Rules {
		for _, a := range rules.Rules[i].NFTSet {
			actions[i] = append(actions[i], newAction(sets, a))
		}
	}
	e.rules, e.sets, e.actions = rules, sets, actions
	e.read()
	e.ledger = target.NewLedger(sets)
	e.perRule = make([]RuleCount, len(rules.Rules))
	return nil
}

// read notes what the rules look at.
func (e *Engine) read() {
	e.reads, e.timed = view.Rest, e.rules.Scheduled()
	if e.rules.NeedsCounters() {
		e.reads |= view.Counters
	}
	if e.rules.NeedsEndReason() {
		e.reads |= view.EndReason
	}
}

// Sets returns the sets of c in the form that targets take.
func Sets(c *config.Config) (sets []*target.Set, err error) {
	var errs []error
	for i := range c.Sets {
		var timeouts []time.Duration
		for _, r := range c.Rules {
			for _, a := range r.NFTSet {
				if a.Set == c.Sets[i].Name {
					timeouts = append(timeouts, a.Timeout)
				}
			}
		}
		s, err := target.NewSet(c.Sets[i], c.Policy.Table, timeouts...)
		errs = append(errs, err)
		sets = append(sets, s)
	}
	return sets, errors.Join(errs...)
}

func newAction(sets []*target.Set, c config.NFTSetAction) action {
	a := action{parts: c.Key, timeout: c.Timeout}
	for i, s := range sets {
		if s.Name == c.Set {
			a.set = i
		}
	}
	if len(a.parts) == 0 {
		a.parts = sets[a.set].Key
	}
	switch c.Family {
	case config.FamilyIPv4:
		a.version = 4
	case config.FamilyIPv6:
		a.version = 6
	}
	return a
}

// Start opens the sets and compares them with nothing wanted yet: what an earlier
// life left there stays until the first snapshots are whole.
func (e *Engine) Start() error {
	err := e.backend.Open(e.sets)
	// Somebody may be busy with the ruleset at this very moment.
	for range maxDiverged {
		if errors.Is(err, target.ErrDiverged) {
			err = e.backend.Open(e.sets)
		}
	}
	if err != nil {
		return err
	}
	err = e.dump()
	if errors.Is(err, target.ErrDiverged) {
		e.ticks.owed, err = true, nil
	}
	return err
}

// Reload takes other rules and sets into use and asks them about all flows. On an
// error the old ones stay.
func (e *Engine) Reload(c *config.Config, rules *rule.Set) error {
	old := *e
	if err := e.use(c, rules); err != nil {
		return err
	}
	if err := e.backend.Open(e.sets); err != nil {
		e.rules, e.sets, e.actions, e.ledger, e.perRule = old.rules, old.sets, old.actions, old.ledger, old.perRule
		e.read()
		return errors.Join(fmt.Errorf("reload: %w", err), e.backend.Open(e.sets))
	}
	for f := range e.view.All() {
		f.State = state{}
		e.decide(f)
	}
	return e.dump()
}

// Close lets the backend go. What is enforced stays enforced.
func (e *Engine) Close() error { return e.backend.Close() }
