package main

import (
	"bufio"
	"context"
	"os"

	"weir/policyd/feed"
	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
)

// printFlows prints flows as they end: with -json each as an object, else in a table,
// which with -drain comes at the end, well aligned and in order. It has cursors of its
// own and disturbs nobody.
func (a *app) printFlows(ctx context.Context, _ daemon.Signals) error {
	root := layout.Root(a.Config.Instance.Dir)
	p := &flowPrinter{
		out: bufio.NewWriterSize(os.Stdout, 1<<16), names: (&interfaces{path: root.Topology()}).jsonNames(),
		json: a.json, live: !a.drain, totals: map[string]*total{}, progress: newProgress(os.Stderr),
	}
	if p.live && !p.json {
		p.header()
	}
	err := feed.New(root, "flows", a.workers, a.Log).Run(ctx, p, a.drain)
	p.progress.clear()
	if !a.json {
		p.summary()
	}
	if err == nil {
		err = p.out.Flush()
	}
	if p.bad > 0 {
		a.Log.Error("events that cannot be read", "count", p.bad)
	}
	return err
}

// flowPrinter takes events and keeps or prints those that end a flow.
type flowPrinter struct {
	out      *bufio.Writer
	names    *event.Names
	json     bool
	live     bool // print as they come: there may be no end
	line     []byte
	rows     []row
	totals   map[string]*total // by application
	sum      total
	lost     uint64
	bad      uint64
	progress *progress
}

// Attached implements feed.Handler.
func (p *flowPrinter) Attached(int, bool) {}

// Lost implements feed.Handler.
func (p *flowPrinter) Lost(_ int, n uint64) { p.lost += n }

// Closed implements feed.Handler.
func (p *flowPrinter) Closed(int) {}

// Event implements feed.Handler.
func (p *flowPrinter) Event(_ int, r *evtring.Record) {
	if event.Type(r.Type) != event.FlowEnd {
		return
	}
	f, err := event.ParseFlow(r.Payload)
	if err != nil {
		p.bad++
		return
	}
	p.count(f)
	switch {
	case p.json:
	case p.live:
		r := newRow(f)
		p.liveRow(r.cells())
		return
	default:
		p.rows = append(p.rows, newRow(f))
		return
	}
	p.line = event.AppendJSON(p.line[:0], f, p.names)
	p.line = append(p.line, '\n')
	_, _ = p.out.Write(p.line) // Flush in Commit reports the error
}

// Commit implements feed.Handler: cursors move when the lines are out.
func (p *flowPrinter) Commit() error {
	p.progress.show(p.sum.flows, p.sum.bytes)
	return p.out.Flush()
}
