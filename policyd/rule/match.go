package rule

import (
	"slices"

	"github.com/expr-lang/expr/vm"

	"weir/proto/config"
	"weir/proto/mark"
)

// Match returns the indices of the rules that match f and the tags they put on it.
// Both slices are valid until the next call.
func (s *Set) Match(f *Flow) (hits []int, tags []string) {
	s.begin(f)
	for i := range s.Rules {
		r := &s.Rules[i]
		if s.outcome(r) != Matched {
			continue
		}
		s.hits = append(s.hits, i)
		s.tag(r)
		if r.Stop {
			break
		}
	}
	s.scope.Flow = Flow{} // nothing of the event stays
	return s.hits, s.tags
}

// Decider returns the first of the rules in hits, in the order of the rules, that has a
// verdict; -1 when none has.
func (s *Set) Decider(hits []int) int {
	first := -1
	for _, i := range hits {
		if s.Rules[i].Rule.Verdict != "" && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// Verdict returns what the rules in hits want done with the packets of a flow.
func (s *Set) Verdict(hits []int) mark.Verdict {
	i := s.Decider(hits)
	if i < 0 {
		return mark.Accept
	}
	switch s.Rules[i].Rule.Verdict {
	case config.VerdictDrop:
		return mark.Drop
	case config.VerdictReject:
		return mark.Reject
	}
	return mark.Accept
}

// Outcome says what became of one rule for one flow.
type Outcome string

// Outcomes of a rule.
const (
	Matched    Outcome = "matched"
	NoMatch    Outcome = "does not match"
	Exempt     Outcome = "exempt"
	OffHours   Outcome = "outside its schedule"
	NotReached Outcome = "not reached: an earlier rule stopped"
	Failed     Outcome = "cannot be evaluated"
)

// Trace returns the outcome of each rule for f. It is for people who ask why.
func (s *Set) Trace(f *Flow) []Outcome {
	out := make([]Outcome, len(s.Rules))
	s.begin(f)
	stopped := false
	for i := range s.Rules {
		r := &s.Rules[i]
		if stopped {
			out[i] = NotReached
			continue
		}
		if out[i] = s.outcome(r); out[i] == Matched {
			s.tag(r)
			stopped = r.Stop
		}
	}
	s.scope.Flow = Flow{}
	return out
}

func (s *Set) begin(f *Flow) {
	s.scope.Flow = *f
	s.hits, s.tags = s.hits[:0], s.tags[:0]
	for _, load := range s.load {
		load(&s.scope)
	}
}

// tag puts the tags of r on the flow, so that later rules see them.
func (s *Set) tag(r *Rule) {
	for _, t := range r.Tag {
		if !slices.Contains(s.tags, t) {
			s.tags = append(s.tags, t)
		}
	}
	if s.tagsUsed && len(r.Tag) > 0 {
		s.env["tags"] = s.tags
	}
}

func (s *Set) outcome(r *Rule) Outcome {
	if r.schedule != nil && !r.schedule.active(s.scope.Now) {
		return OffHours
	}
	yes, ok := s.run(r, r.match)
	switch {
	case !ok:
		return Failed
	case !yes:
		return NoMatch
	case r.exempt == nil:
		return Matched
	}
	// An exemption that cannot be evaluated exempts: harm comes from acting.
	if yes, ok := s.run(r, r.exempt); !ok || yes {
		return Exempt
	}
	return Matched
}

func (s *Set) run(r *Rule, p *vm.Program) (yes, ok bool) {
	v, err := s.machine.Run(p, s.env)
	if err != nil {
		r.Errors++
		return false, false
	}
	yes, ok = v.(bool)
	return yes, ok
}
