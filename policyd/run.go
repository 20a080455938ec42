package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"weir/policyd/control"
	"weir/policyd/engine"
	"weir/policyd/feed"
	"weir/policyd/rule"
	"weir/policyd/target"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/shm/layout"
)

// consumer is what workers call the cursor of the enforcing policyd.
const consumer = "policyd"

// calm is how long an event may wait for the next where many short flows are judged
// one by one. What sets and counters say is as much behind.
const calm = 2 * time.Millisecond

// socket names the control socket.
func (a *app) socket() string { return filepath.Join(a.Config.Instance.Dir, "policyd.sock") }

// enforce applies the rules to the events until it is told to stop. What it put into
// the kernel stays there.
func (a *app) enforce(ctx context.Context, sig daemon.Signals) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	root := layout.Root(a.Config.Instance.Dir)
	if err := root.Make(0o750); err != nil {
		return err
	}
	f := feed.New(root, consumer, a.workers, a.Log)
	e, err := a.newEngine(f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	v, err := a.judgeFlows(ctx, cancel)
	if err != nil {
		return err
	}
	defer func() {
		cancel(nil)
		err = errors.Join(err, v.close())
	}()
	r := &runner{app: a, feed: f, engine: e, verdicts: v, started: time.Now()}
	server, err := control.Listen(a.socket(), r.answer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	go server.Serve(ctx)
	if err := e.Start(); err != nil {
		return err
	}
	a.Log.Info("policy in force", "mode", a.Config.Policy.Mode, "target", a.target(), "rules", len(e.Rules()), "workers", a.workers)
	f.OnBeat(r.beat)
	if holds(a.Config) { // wakes for the questions about held packets are enough
		f.Calm(calm)
	}
	go r.watchdog(ctx)
	go r.signals(ctx, sig)
	err = f.Run(ctx, e, a.drain)
	_ = a.Systemd.Stopping() // who does not listen misses nothing
	r.dump()
	return err
}

func (a *app) newEngine(f *feed.Feed) (*engine.Engine, error) {
	b, err := a.backend()
	if err != nil {
		return nil, err
	}
	names := &interfaces{path: layout.Root(a.Config.Instance.Dir).Topology()}
	return engine.New(a.Config, a.compile(a.Config), b, f, engine.Options{
		Name: consumer, Workers: a.workers, MaxFlows: maxFlows(a.Config), Interface: names.name, Role: names.role,
		Now: time.Now, Offline: offline(a.Config), Log: a.Log,
	})
}

// maxFlows leaves room for the flows of a worker and for as many orphans.
func maxFlows(c *config.Config) int { return 2*c.Flow.MaxFlows + 1024 }

// offline reports whether the events speak of captured traffic.
func offline(c *config.Config) bool { return c.Capture.Source == config.SourcePCAP }

// target names what changes are done to.
func (a *app) target() string {
	if a.Config.Policy.Mode == config.ModeObserve {
		return "none"
	}
	return a.Config.Policy.Target
}

func (a *app) backend() (engine.Backend, error) {
	switch a.target() {
	case config.TargetNFTables:
		return target.NewNFT(a.Config.Policy.Table, a.Config.Instance.Name)
	case config.TargetDryRun:
		return target.NewDry(os.Stdout), nil
	}
	return target.NewDry(io.Discard), nil // observe: decide and count, touch nothing
}

// runner is the running enforcement, as others may ask about it.
type runner struct {
	*app
	feed     *feed.Feed
	engine   *engine.Engine
	verdicts verdicts
	started  time.Time
	beats    atomic.Uint64
}

// beat is called with every turn of the loop. Rings that exist are attached by the
// second.
func (r *runner) beat() {
	if r.beats.Add(1) == 2 {
		if err := r.Systemd.Ready(); err != nil {
			r.Log.Warn("service manager", "error", err)
		}
	}
}

func (r *runner) watchdog(ctx context.Context) {
	last := uint64(0)
	err := r.Systemd.Watchdog(ctx, func() bool {
		now := r.beats.Load()
		moved := now != last
		last = now
		return moved
	})
	if err != nil {
		r.Log.Warn("watchdog", "error", err)
	}
}

func (r *runner) signals(ctx context.Context, sig daemon.Signals) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-sig.Dump:
			r.feed.Do(ctx, r.dump)
		case <-sig.Reload:
			r.feed.Do(ctx, func() { r.reload(ctx) })
		}
	}
}

// dump logs how everything stands.
func (r *runner) dump() {
	s := r.state()
	for _, f := range s.Rings {
		r.Log.Info("ring", "worker", f.Worker, "state", f.State, "lag", f.Lag, "events", f.Events, "lost", f.Lost)
	}
	for _, w := range s.Workers {
		r.Log.Info("view", "worker", w.Worker, "flows", w.Flows, "stale", w.Stale)
	}
	for _, t := range s.Sets {
		r.Log.Info("set "+t.Set, "wanted", t.Wanted, "in_kernel", t.InKernel, "refused", t.Full, "suspended", t.Suspended)
	}
	for _, u := range r.engine.Rules() {
		r.Log.Info("rule "+u.Rule, "hits", u.Hits, "live", u.Live, "errors", u.Errors)
	}
	c := s.Counts
	r.Log.Info("state", "events", c.Events, "evaluations", c.Evaluations, "transactions", c.Transactions,
		"added", c.Added, "refreshed", c.Refreshed, "deleted", c.Deleted, "failures", c.Failures, "bad", c.Bad+c.Foreign+c.Unknown)
}

// reload reads the configuration again and takes rules, groups, schedules and sets
// into use, all or nothing.
func (r *runner) reload(ctx context.Context) {
	_ = r.Systemd.Reloading()
	defer func() { _ = r.Systemd.Ready() }()
	c, err := r.Reload(r.program, r.args)
	if err != nil {
		r.Log.Error("configuration not reloaded, the old one stays", "error", err)
		return
	}
	if c.Policy != r.Config.Policy || c.Instance != r.Config.Instance || c.Workers.Count != r.Config.Workers.Count {
		r.Log.Warn("changes of policy.*, instance.* and workers.count need a restart; the rest is taken into use")
		c.Policy, c.Instance = r.Config.Policy, r.Config.Instance
	}
	rules, _ := rule.Compile(c)
	if err := r.engine.Reload(c, rules); err != nil {
		r.Log.Error("configuration not reloaded, the old one stays", "error", err)
		return
	}
	own, _ := rule.Compile(c)
	r.verdicts.use(ctx, own)
	r.Config = c
	r.Log.Info("configuration reloaded", "rules", len(rules.Rules), "sets", len(c.Sets))
}
