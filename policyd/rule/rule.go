// Package rule compiles the [[rule]] tables of the configuration and says which of
// them match a flow.
//
// It decides and nothing else: it does no I/O, keeps no flows and knows no kernel
// object. docs/formats/rules.md describes the language.
//
// The invariant: after Compile returned no error, evaluation of any flow payload
// that event.ParseFlow accepts ends in a decision; a rule that cannot be evaluated
// does not match and is counted.
package rule

import (
	"github.com/expr-lang/expr/vm"

	"weir/proto/config"
)

// Rule is one compiled rule.
type Rule struct {
	config.Rule
	Errors uint64 // evaluations that failed; such a rule did not match

	match, exempt *vm.Program // exempt may be nil
	schedule      *schedule   // nil = always
	counters      bool        // looks at counters, so FLOW_STATS matter
}

// Set are the rules of one configuration, in order, with what evaluation needs. It
// is not safe for concurrent use: the environment and the machine are reused.
type Set struct {
	Rules []Rule

	env      map[string]any
	load     []func(*scope) // fills env with the fields that rules use
	machine  vm.VM
	scope    scope
	boxes    boxes
	hits     []int
	tags     []string
	counters bool
	ends     bool // a rule looks at the end reason
	tagsUsed bool
}

// NeedsCounters reports whether a rule looks at byte or packet counts or at the
// duration, so that FLOW_STATS can change a decision.
func (s *Set) NeedsCounters() bool { return s.counters }

// NeedsEndReason reports whether a rule looks at why a flow ended.
func (s *Set) NeedsEndReason() bool { return s.ends }

// Scheduled reports whether time alone can change a decision.
func (s *Set) Scheduled() bool {
	for i := range s.Rules {
		if s.Rules[i].schedule != nil {
			return true
		}
	}
	return false
}
