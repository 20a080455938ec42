package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"weir/policyd/engine"
	"weir/policyd/feed"
	"weir/policyd/rule"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
)

// plan says what the rules would have done to flows: those of rings, or those of a
// file of flow records. Nothing is touched.
func (a *app) plan(ctx context.Context, _ daemon.Signals) error {
	root := layout.Root(a.Config.Instance.Dir)
	p := &planner{backend: &planBackend{elements: map[string]*planSet{}}}
	f := feed.New(root, "plan", a.workers, a.Log)
	table := &interfaces{path: root.Topology()}
	names, role := table.name, table.role
	var nums numbers
	if a.flows != "" {
		names, role = nums.name, nums.role
	}
	rules := a.compile(a.Config)
	e, err := engine.New(a.Config, rules, p.backend, noWorkers{}, engine.Options{
		Name: "plan", Workers: config.MaxWorkers, MaxFlows: maxFlows(a.Config), Interface: names, Role: role,
		Now: time.Now, Offline: true, Trial: true, Log: a.Log, Ended: p.ended,
	})
	if err != nil {
		return err
	}
	p.Engine, p.set, p.rules = e, rules, make([]planRule, len(rules.Rules))
	if err := e.Start(); err != nil {
		return err
	}
	if a.flows != "" {
		err = p.read(a.flows, &nums)
	} else {
		err = f.Run(ctx, p, a.drain)
	}
	if err != nil {
		return err
	}
	return p.report(rules, a.json)
}

// noWorkers is for those who need no snapshot: a plan counts what ends.
type noWorkers struct{}

// Resync implements engine.Workers.
func (noWorkers) Resync(int, uint32) uint32 { return 0 }

// ResyncDone implements engine.Workers.
func (noWorkers) ResyncDone(int, uint32) {}

// planner is the engine with a backend that remembers, and with the sums by rule.
type planner struct {
	*engine.Engine
	backend *planBackend
	rules   []planRule
	set     *rule.Set
	flows   uint64
	bytes   uint64
}

// planRule is what one rule would have done.
type planRule struct {
	Rule    string   `json:"rule"`
	At      string   `json:"at"`
	Flows   uint64   `json:"flows"`
	Packets uint64   `json:"packets"`
	Bytes   uint64   `json:"bytes"`
	Verdict string   `json:"verdict,omitempty"`
	Decided uint64   `json:"decided,omitempty"` // flows on which its verdict is the one that counts
	Example []string `json:"examples,omitempty"`
}

const planExamples = 5

// Event implements feed.Handler. Each event is carried out at once: an element that
// comes and goes within one batch is still told.
func (p *planner) Event(w int, r *evtring.Record) {
	p.Engine.Event(w, r)
	_ = p.Commit() // the backend below never fails
}

// ended sums up a flow for each rule that it met.
func (p *planner) ended(f event.Flow, rules []int) {
	p.flows++
	p.bytes += f.ClientBytes() + f.ServerBytes()
	if i := p.set.Decider(rules); i >= 0 {
		p.rules[i].Decided++
	}
	for _, i := range rules {
		r := &p.rules[i]
		r.Flows++
		r.Packets += f.ClientPackets() + f.ServerPackets()
		r.Bytes += f.ClientBytes() + f.ServerBytes()
		if len(r.Example) < planExamples {
			r.Example = append(r.Example, fmt.Sprintf("%s %s %s (%s)", engine.Tuple(f), f.Protocol(), f.Host(), f.Evidence()))
		}
	}
}

// read takes flow records, one a line, as if each flow came and ended.
func (p *planner) read(name string, nums *numbers) error {
	in := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read flow records: %w", err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		f, err := event.ParseJSON(lines.Bytes(), nums.jsonNumbers())
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
		w := int(f.ID() >> 56)
		if w >= config.MaxWorkers {
			return fmt.Errorf("%s:%d: flow_id %016x: there are at most %d workers", name, n, f.ID(), config.MaxWorkers)
		}
		for _, t := range []event.Type{event.FlowClass, event.FlowEnd} {
			p.Event(w, &evtring.Record{Type: uint16(t), TS: f.First(), Payload: f})
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read flow records: %s: %w", name, err)
	}
	return nil
}

func (p *planner) report(rules *rule.Set, asJSON bool) error {
	for i := range p.rules {
		r := &rules.Rules[i]
		p.rules[i].Rule, p.rules[i].At, p.rules[i].Verdict = r.Name, r.Pos.String(), r.Rule.Verdict
	}
	sets := p.backend.result()
	out := bufio.NewWriter(os.Stdout)
	if asJSON {
		enc := json.NewEncoder(out)
		for i := range p.rules {
			_ = enc.Encode(&p.rules[i]) // Flush reports the error
		}
		for _, s := range sets {
			_ = enc.Encode(s)
		}
		return out.Flush()
	}
	p.write(out, sets)
	return out.Flush()
}

func (p *planner) write(out io.Writer, sets []*planSet) {
	fmt.Fprintf(out, "%d flows, %s\n", p.flows, amount(p.bytes))
	for i := range p.rules {
		r := &p.rules[i]
		fmt.Fprintf(out, "\nrule %s (%s): %d flows, %d packets, %s\n", r.Rule, r.At, r.Flows, r.Packets, amount(r.Bytes))
		if r.Verdict != "" {
			fmt.Fprintf(out, "    verdict %s on %d of them\n", r.Verdict, r.Decided)
		}
		for _, x := range r.Example {
			fmt.Fprintf(out, "    %s\n", printable(x))
		}
		if left := r.Flows - uint64(len(r.Example)); left > 0 {
			fmt.Fprintf(out, "    and %d more\n", left)
		}
	}
	for _, s := range sets {
		fmt.Fprintf(out, "\nset %s { %s }: %d elements, at most %d at once\n", s.Set, s.Type, s.Elements, s.Most)
		for i, k := range s.Keys {
			if i == planExamples {
				fmt.Fprintf(out, "    and %d more\n", len(s.Keys)-i)
				break
			}
			fmt.Fprintf(out, "    %s  by rule %s\n", k, s.ever[k])
		}
	}
}
