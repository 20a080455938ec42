package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"weir/policyd/control"
	"weir/policyd/engine"
	"weir/policyd/target"
	"weir/proto/config"
	"weir/proto/daemon"
)

// ask puts a question to the running policyd. With -json the answer is printed as
// it came, and v stays as it is.
func (a *app) ask(cmd, arg string, v any) (printed bool, err error) {
	data, err := control.Ask(a.socket(), control.Request{Cmd: cmd, Arg: arg})
	if err != nil {
		return false, err
	}
	if a.json {
		fmt.Println(string(data))
		return true, nil
	}
	return false, json.Unmarshal(data, v)
}

func table() *tabwriter.Writer { return tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0) }

func (a *app) status(context.Context, daemon.Signals) error {
	var s state
	if printed, err := a.ask("status", "", &s); err != nil || printed {
		return err
	}
	fmt.Printf("instance %s, mode %s, target %s, pid %d, up %d s\n\n", s.Instance, s.Mode, s.Target, s.PID, s.UptimeS)
	w := table()
	fmt.Fprintln(w, "WORKER\tRING\tALIVE\tLAG\tEVENTS\tLOST\tFLOWS\tVIEW")
	for i, r := range s.Rings {
		view, flows := "whole", 0
		if i < len(s.Workers) {
			flows = s.Workers[i].Flows
			if s.Workers[i].Stale {
				view = "incomplete: nothing is deleted"
			}
		}
		fmt.Fprintf(w, "%d\t%s\t%t\t%d\t%d\t%d\t%d\t%s\n", r.Worker, r.State, r.Alive, r.Lag, r.Events, r.Lost, flows, view)
	}
	if len(s.Sets) > 0 {
		fmt.Fprintln(w, "\nSET\tTYPE\tWANTED\tIN KERNEL\tREFUSED\tSTATE")
	}
	for _, t := range s.Sets {
		how := "good"
		if t.Suspended {
			how = "cannot be filled"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", t.Set, t.Type, t.Wanted, t.InKernel, t.Full, how)
	}
	c := s.Counts
	fmt.Fprintf(w, "\n%d transactions: %d added, %d refreshed, %d deleted, %d failed\n", c.Transactions, c.Added, c.Refreshed, c.Deleted, c.Failures)
	fmt.Fprintf(w, "%d reconciliations with the kernel in %v\n", c.Reconciled, time.Duration(c.ReconciledNS).Round(time.Millisecond))
	if v := s.Verdicts; v != nil {
		fmt.Fprintf(w, "%d questions about held packets: %d accepted, %d dropped, %d rejected, %d unanswered\n",
			v.Questions, v.Accepted, v.Dropped, v.Rejected, v.Unanswered+v.Bad)
		if n := v.WouldDrop + v.WouldReject; n > 0 || s.Mode == config.ModeObserve {
			fmt.Fprintf(w, "in force, the rules had dropped %d of them and rejected %d\n", v.WouldDrop, v.WouldReject)
		}
	}
	return w.Flush()
}

func (a *app) rules(context.Context, daemon.Signals) error {
	var list []engine.RuleStatus
	if printed, err := a.ask("rules", "", &list); err != nil || printed {
		return err
	}
	w := table()
	fmt.Fprintln(w, "RULE\tHITS\tLIVE\tERRORS\tVERDICT\tSETS\tAT")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", r.Rule, r.Hits, r.Live, r.Errors, cmp.Or(r.Verdict, "-"), cmp.Or(strings.Join(r.Sets, ", "), "-"), r.At)
	}
	return w.Flush()
}

func (a *app) explain(context.Context, daemon.Signals) error {
	var raw json.RawMessage
	if printed, err := a.ask("explain", a.Args[0], &raw); err != nil || printed {
		return err
	}
	var flows []engine.Explanation
	if err := json.Unmarshal(raw, &flows); err == nil {
		for _, x := range flows {
			writeExplanation(os.Stdout, &x)
		}
		return nil
	}
	var r engine.RuleStatus
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	fmt.Printf("rule %s at %s\n  match   %s\n", r.Rule, r.At, r.Match)
	if r.Exempt != "" {
		fmt.Printf("  exempt  %s\n", r.Exempt)
	}
	if r.Verdict != "" {
		fmt.Printf("  verdict %s\n", r.Verdict)
	}
	fmt.Printf("  hits    %d flows, %d of them live; %d evaluations failed\n", r.Hits, r.Live, r.Errors)
	for _, s := range r.Sets {
		fmt.Printf("  set     %s\n", s)
	}
	for _, x := range r.Example {
		fmt.Printf("  flow    %s\n", printable(x))
	}
	return nil
}

// writeExplanation prints the chain from bytes to kernel object.
func writeExplanation(w io.Writer, x *engine.Explanation) {
	or := func(s string) string {
		if s == "" {
			return "unknown"
		}
		return printable(s)
	}
	fmt.Fprintf(w, "flow %s  %s  worker %d\n", x.Flow, x.Tuple, x.Worker)
	fmt.Fprintf(w, "  evidence    %s (source %s, confidence %d %%)\n", or(x.Evidence), x.Source, x.Percent)
	fmt.Fprintf(w, "  therefore   protocol %s, application %s, category %s, host %s\n", or(x.Protocol), or(x.App), or(x.Category), or(x.Host))
	for _, r := range x.Rules {
		fmt.Fprintf(w, "  rule        %s (%s): %s\n", r.Rule, r.At, r.Outcome)
	}
	if x.Decider != "" {
		fmt.Fprintf(w, "  verdict     %s, by rule %s, where packets are held\n", x.Verdict, x.Decider)
	}
	if len(x.Tags) > 0 {
		fmt.Fprintf(w, "  tags        %s\n", strings.Join(x.Tags, ", "))
	}
	for _, e := range x.Elements {
		where := "not in the kernel"
		if e.InKernel {
			where = "in the kernel"
			if e.Expires != "" {
				where += ", expires in " + e.Expires + " unless refreshed"
			}
		}
		fmt.Fprintf(w, "  element     %s { %s }: %s\n", e.Set, e.Key, where)
	}
}

// flush removes everything of ours from the kernel.
func (a *app) flush(context.Context, daemon.Signals) error {
	sets, err := engine.Sets(a.Config)
	if err != nil {
		return err
	}
	n, err := target.NewNFT(a.Config.Policy.Table, a.Config.Instance.Name)
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	found, elements, err := n.Flush(sets)
	if err != nil {
		return err
	}
	what := "there was no table inet " + a.Config.Policy.Table
	if found {
		what = "removed table inet " + a.Config.Policy.Table
	}
	fmt.Printf("%s; removed %d elements from sets of yours\n", what, elements)
	return nil
}
