package main

import (
	"context"
	"runtime"
	"time"

	"weir/policyd/feed"
	"weir/policyd/judge"
	"weir/policyd/rule"
	"weir/proto/config"
	"weir/proto/mark"
	"weir/shm/layout"
)

// verdicts answers the questions about held packets, in a loop of its own. The zero
// value answers none.
type verdicts struct {
	feed  *feed.Feed
	judge *judge.Judge
	ended chan error
}

// holds reports whether capd holds packets until we have judged their flows.
func holds(c *config.Config) bool {
	return c.Capture.Source == config.SourceNFQueue && c.Capture.NFQueue.Hold > 0
}

// judgeFlows starts to answer, where there is anything to answer. fail ends the
// process: then packets are not held, until we are back.
func (a *app) judgeFlows(ctx context.Context, fail context.CancelCauseFunc) (v verdicts, err error) {
	if !holds(a.Config) {
		return v, nil
	}
	bits, err := mark.New(a.Config.Policy.MarkMask)
	if err != nil {
		return v, err
	}
	root := layout.Root(a.Config.Instance.Dir)
	names := &interfaces{path: root.Topology()} // the engine's is the engine's
	rules, _ := rule.Compile(a.Config)          // and so are its rules; their problems were told
	v.judge, err = judge.New(judge.Config{
		Root: root, Threads: a.Config.Capture.Rings(), Layout: bits, Enforce: a.Config.Policy.Mode == config.ModeEnforce,
		Interface: names.name, Role: names.role, Now: time.Now, Log: a.Log,
	}, rules)
	if err != nil {
		return v, err
	}
	v.feed, v.ended = feed.New(root, judge.Consumer, a.workers, a.Log), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it sleeps in the kernel, and nothing waits with it
		err := v.feed.Run(ctx, v.judge, false)
		if err != nil {
			fail(err)
		}
		v.ended <- err
	}()
	return v, nil
}

// use takes other rules into use, if anybody answers.
func (v *verdicts) use(ctx context.Context, rules *rule.Set) {
	if v.judge != nil {
		v.feed.Do(ctx, func() { v.judge.Use(rules) })
	}
}

// counts returns what became of the questions; nil where nobody answers.
func (v *verdicts) counts() *judge.Counts {
	if v.judge == nil {
		return nil
	}
	c := v.judge.Counts()
	return &c
}

// close waits for the end of the loop, whose context is done.
func (v *verdicts) close() error {
	if v.judge == nil {
		return nil
	}
	err := <-v.ended
	if e := v.judge.Close(); err == nil {
		err = e
	}
	return err
}
