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

// printFlows prints flows as they end, or with -classified as soon as it is known
// what they are: with -json each as an object, else in a table, which with -drain comes at
// the end, well aligned and in order. It has cursors of its own and disturbs nobody.
func (a *app) printFlows(ctx context.Context, _ daemon.Signals) error {
	root := layout.Root(a.Config.Instance.Dir)
	p := &flowPrinter{
		out: bufio.NewWriterSize(os.Stdout, 1<<16), names: (&interfaces{path: root.Topology()}).jsonNames(),
		json: a.json, live: !a.drain, early: a.early, totals: map[string]*total{}, alive: map[uint64]living{}, progress: newProgress(os.Stderr),
	}
	if p.live && !p.json {
		p.header()
	}
	err := feed.New(root, "flows", a.workers, a.Log).Run(ctx, p, a.drain)
	p.progress.clear()
	p.leave()
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
	live     bool              // print as they come: there may be no end
	early    bool              // print when classified
	alive    map[uint64]living // with early, by id
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
	typ := event.Type(r.Type)
	if typ != event.FlowEnd && !(p.early && typ.HasFlow()) {
		return
	}
	f, err := event.ParseFlow(r.Payload)
	if err != nil {
		p.bad++
		return
	}
	if !p.early {
		p.count(f)
		p.print(f)
		return
	}
	a, known := p.alive[f.ID()]
	if !a.printed && due(typ, f, known) {
		p.print(f)
		a.printed = true
	}
	p.follow(typ, f, a, known)
}

// due reports whether a flow that was not printed yet is to be printed now: a first
// classification without a host name waits for one until it is final, but not beyond
// the next counters of the flow, nor its end. A flow that is not known was there
// before us, or is one too many to know: it had its turn if it was classified.
func due(typ event.Type, f event.Flow, known bool) bool {
	final := f.Flags()&event.FlagFinal != 0
	switch typ {
	case event.FlowClass, event.FlowUpdate, event.VerdictReq:
		return final || len(f.Host()) > 0
	case event.FlowEnd:
		return known || !classified(f)
	}
	return known && classified(f)
}

// classified reports whether a FLOW_CLASS of f was there.
func classified(f event.Flow) bool { return f.Flags()&(event.FlagFinal|event.FlagMore) != 0 }

// living is a flow that has not ended.
type living struct {
	last    event.Flow // the last that was said of it
	printed bool
}

// maxAlive bounds the flows that are known while they live.
const maxAlive = 1 << 16

// follow counts a flow when it ends, and keeps what was said last of one that lives:
// there may be no other end than ours.
func (p *flowPrinter) follow(typ event.Type, f event.Flow, a living, known bool) {
	if typ == event.FlowEnd {
		delete(p.alive, f.ID())
		p.count(f)
	} else if known || len(p.alive) < maxAlive {
		a.last = append(a.last[:0], f...)
		p.alive[f.ID()] = a
	}
}

// leave counts the flows that did not end, and prints those that nothing more will be
// heard of.
func (p *flowPrinter) leave() {
	for _, a := range p.alive {
		if !a.printed && classified(a.last) {
			p.print(a.last)
		}
		p.count(a.last)
	}
	clear(p.alive)
}

// print prints f, or keeps it for the table at the end.
func (p *flowPrinter) print(f event.Flow) {
	switch {
	case p.json:
		p.line = event.AppendJSON(p.line[:0], f, p.names)
		p.line = append(p.line, '\n')
		_, _ = p.out.Write(p.line) // Flush in Commit reports the error
	case p.live:
		r := newRow(f)
		p.liveRow(r.cells())
	default:
		p.rows = append(p.rows, newRow(f))
	}
}

// Commit implements feed.Handler: cursors move when the lines are out.
func (p *flowPrinter) Commit() error {
	p.progress.show(p.sum.flows, p.sum.bytes)
	return p.out.Flush()
}
