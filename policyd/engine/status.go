package engine

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"weir/policyd/rule"
	"weir/proto/event"
)

// Status is how the engine stands.
type Status struct {
	Counts  Counts         `json:"counts"`
	Workers []WorkerStatus `json:"workers"`
	Sets    []SetStatus    `json:"sets"`
	Pending int            `json:"pending_changes"`
}

// WorkerStatus is the view of one worker.
type WorkerStatus struct {
	Worker int  `json:"worker"`
	Flows  int  `json:"flows"`
	Stale  bool `json:"stale"` // the view may lack flows: nothing is deleted
}

// SetStatus is how one set stands.
type SetStatus struct {
	Set       string `json:"set"`
	Type      string `json:"type"`
	Wanted    int    `json:"wanted"`
	InKernel  int    `json:"in_kernel"`
	Full      uint64 `json:"refused_full"`
	Suspended bool   `json:"suspended"` // cannot be filled at present
}

// RuleStatus is what one rule did.
type RuleStatus struct {
	Rule    string   `json:"rule"`
	At      string   `json:"at"`
	Match   string   `json:"match"`
	Exempt  string   `json:"exempt,omitempty"`
	Hits    uint64   `json:"hits"` // flows that matched it
	Live    int      `json:"live"` // flows that match it now
	Errors  uint64   `json:"errors"`
	Sets    []string `json:"sets,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Verdict string   `json:"verdict,omitempty"`
	Stop    bool     `json:"stop,omitempty"`
	Example []string `json:"examples,omitempty"` // flows that match it now
}

// Status returns how the engine stands.
func (e *Engine) Status() Status {
	s := Status{Counts: e.counts, Pending: e.ledger.Pending()}
	for w := range e.opt.Workers {
		s.Workers = append(s.Workers, WorkerStatus{w, e.view.Len(w), e.view.Stale(w)})
	}
	for i, set := range e.sets {
		wanted, kernel, full := e.ledger.Count(i)
		s.Sets = append(s.Sets, SetStatus{set.String(), set.Type(), wanted, kernel, full, e.ledger.Suspended(i)})
	}
	return s
}

// Rules returns what all rules did.
func (e *Engine) Rules() []RuleStatus {
	out := make([]RuleStatus, len(e.rules.Rules))
	for i := range out {
		out[i] = e.ruleStatus(i)
	}
	return out
}

func (e *Engine) ruleStatus(i int) RuleStatus {
	r, n := &e.rules.Rules[i], e.perRule[i]
	s := RuleStatus{
		Rule: r.Name, At: r.Pos.String(), Match: r.Match, Exempt: r.Exempt, Hits: n.Hits, Live: n.Live,
		Errors: r.Errors, Tags: r.Tag, Verdict: r.Rule.Verdict, Stop: r.Stop,
	}
	for _, a := range e.actions[i] {
		s.Sets = append(s.Sets, e.sets[a.set].String())
	}
	return s
}

// maxExamples bounds what an explanation lists.
const maxExamples = 10

// ExplainRule returns what the rule called name did, with examples.
func (e *Engine) ExplainRule(name string) (RuleStatus, bool) {
	for i := range e.rules.Rules {
		if e.rules.Rules[i].Name != name {
			continue
		}
		s := e.ruleStatus(i)
		for f := range e.view.All() {
			for _, j := range f.State.now {
				if int(j) == i && len(s.Example) < maxExamples {
					s.Example = append(s.Example, fmt.Sprintf("%016x %s %s", f.ID(), Tuple(f.Flow), f.Host()))
				}
			}
		}
		return s, true
	}
	return RuleStatus{}, false
}

// Explanation is the chain from what dpid saw to what the kernel holds.
type Explanation struct {
	Flow     string         `json:"flow_id"`
	Tuple    string         `json:"tuple"`
	Worker   uint16         `json:"worker"`
	Protocol string         `json:"protocol"`
	App      string         `json:"application"`
	Category string         `json:"category"`
	Host     string         `json:"hostname"`
	Source   string         `json:"source"`
	Evidence string         `json:"evidence"`
	Percent  uint8          `json:"confidence"`
	Tags     []string       `json:"tags,omitempty"`
	Orphan   bool           `json:"orphan,omitempty"`
	Verdict  string         `json:"verdict"`              // on its packets, if they are held
	Decider  string         `json:"decided_by,omitempty"` // the rule that says so; empty: none does
	Rules    []RuleOutcome  `json:"rules"`
	Elements []ElementState `json:"elements"`
}

// RuleOutcome is what became of one rule for a flow.
type RuleOutcome struct {
	Rule    string       `json:"rule"`
	At      string       `json:"at"`
	Outcome rule.Outcome `json:"outcome"`
}

// ElementState is an element that a flow wants.
type ElementState struct {
	Set      string `json:"set"`
	Key      string `json:"key"`
	InKernel bool   `json:"in_kernel"`
	Expires  string `json:"expires,omitempty"` // from now, unless refreshed
}

// Explain returns the chains of the flows that query names: a flow id, an address, or
// two ends "192.0.2.1:51000-203.0.113.7:443" in either order; at most a few.
func (e *Engine) Explain(query string) ([]Explanation, error) {
	match, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	var out []Explanation
	for f := range e.view.All() {
		if match(f.Flow) {
			out = append(out, e.explain(f))
		}
		if len(out) == maxExamples {
			break
		}
	}
	return out, nil
}

func (e *Engine) explain(f *Flow) Explanation {
	x := Explanation{
		Flow: string(event.AppendFlowID(nil, f.ID())), Tuple: Tuple(f.Flow), Worker: f.Worker(),
		Protocol: string(f.Protocol()), App: string(f.Application()), Category: string(f.Category()), Host: string(f.Host()),
		Source: f.Source().String(), Evidence: string(f.Evidence()), Percent: f.Confidence(), Tags: f.State.tags, Orphan: f.Orphan(),
	}
	e.set(f, e.timeOf(f.TS))
	var hits []int
	for i, o := range e.rules.Trace(&e.flow) {
		r := &e.rules.Rules[i]
		x.Rules = append(x.Rules, RuleOutcome{r.Name, r.Pos.String(), o})
		if o == rule.Matched {
			hits = append(hits, i)
		}
	}
	x.Verdict = e.rules.Verdict(hits).String()
	if i := e.rules.Decider(hits); i >= 0 {
		x.Decider = e.rules.Rules[i].Name
	}
	for _, w := range f.State.wants {
		s := ElementState{Set: w.Set().String(), Key: w.Set().Format(w.Key()), InKernel: w.InKernel()}
		if t := w.Expires(); !t.IsZero() {
			s.Expires = t.Sub(e.opt.Now()).Round(time.Second).String()
		}
		x.Elements = append(x.Elements, s)
	}
	return x
}

func parseQuery(q string) (func(event.Flow) bool, error) {
	if a, err := netip.ParseAddr(q); err == nil {
		a = a.Unmap()
		return func(f event.Flow) bool { return f.ClientAddr() == a || f.ServerAddr() == a }, nil
	}
	if one, two, ok := strings.Cut(q, "-"); ok {
		a, errA := netip.ParseAddrPort(one)
		b, errB := netip.ParseAddrPort(two)
		if errA == nil && errB == nil {
			return func(f event.Flow) bool {
				c, s := netip.AddrPortFrom(f.ClientAddr(), f.ClientPort()), netip.AddrPortFrom(f.ServerAddr(), f.ServerPort())
				return c == a && s == b || c == b && s == a
			}, nil
		}
	}
	if id, err := strconv.ParseUint(q, 16, 64); err == nil {
		return func(f event.Flow) bool { return f.ID() == id }, nil
	}
	return nil, fmt.Errorf("%q is not a flow: give its id, an address, or both ends like 192.0.2.1:51000-203.0.113.7:443", q)
}

// Tuple returns a flow's ends as people read them: "192.0.2.1:51000-203.0.113.7:443/6",
// the last being the IP protocol.
func Tuple(f event.Flow) string {
	return fmt.Sprintf("%s-%s/%d", netip.AddrPortFrom(f.ClientAddr(), f.ClientPort()), netip.AddrPortFrom(f.ServerAddr(), f.ServerPort()), f.IPProto())
}
