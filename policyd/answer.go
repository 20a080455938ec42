package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"weir/policyd/control"
	"weir/policyd/engine"
	"weir/policyd/feed"
	"weir/policyd/judge"
)

// state is the answer to "status".
type state struct {
	Instance string        `json:"instance"`
	Mode     string        `json:"mode"`
	Target   string        `json:"target"`
	PID      int           `json:"pid"`
	UptimeS  int64         `json:"uptime_s"`
	Rings    []feed.Status `json:"rings"`
	Verdicts *judge.Counts `json:"verdicts,omitempty"`
	engine.Status
}

func (r *runner) state() state {
	return state{
		Instance: r.Config.Instance.Name, Mode: r.Config.Policy.Mode, Target: r.target(), PID: os.Getpid(),
		UptimeS: int64(time.Since(r.started).Seconds()), Rings: r.feed.Status(),
		Verdicts: r.verdicts.counts(), Status: r.engine.Status(),
	}
}

// answer serves the control socket. The loop is asked, between two batches.
func (r *runner) answer(ctx context.Context, q control.Request) (data any, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ask := func() {
		switch q.Cmd {
		case "status":
			data = r.state()
		case "rules":
			data = r.engine.Rules()
		case "explain":
			data, err = r.why(q.Arg)
		default:
			err = fmt.Errorf("unknown command %q: known are status, rules, explain", q.Cmd)
		}
	}
	if !r.feed.Do(ctx, ask) {
		return nil, errors.New("policyd is busy or stopping: try again")
	}
	return data, err
}

// why explains a rule by its name, or flows.
func (r *runner) why(what string) (any, error) {
	if s, ok := r.engine.ExplainRule(what); ok {
		return s, nil
	}
	flows, err := r.engine.Explain(what)
	if err != nil {
		return nil, fmt.Errorf("there is no rule of this name, and %w", err)
	}
	if len(flows) == 0 {
		return nil, fmt.Errorf("no living flow is %s", what)
	}
	return flows, nil
}
