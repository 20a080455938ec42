package engine

import (
	"errors"
	"time"

	"weir/policyd/feed"
	"weir/policyd/view"
	"weir/proto/event"
	"weir/shm/evtring"
)

// grace is how long flows of a worker that lost its table are kept: longer than any
// live flow is silent by default, and time enough to be learnt again.
const grace = 2 * time.Minute

// Counts are what the engine did since its start.
type Counts struct {
	Events       uint64 `json:"events"`
	Bad          uint64 `json:"bad_events"`     // payloads that cannot be read
	Foreign      uint64 `json:"foreign_events"` // about another worker's flow
	Unknown      uint64 `json:"unknown_events"` // of a type we do not know
	Repeated     uint64 `json:"repeated_events"`
	ViewFull     uint64 `json:"view_full"` // flows not taken in
	LostEvents   uint64 `json:"lost_events"`
	LostPackets  uint64 `json:"lost_packets"` // by capd, as workers report
	Swept        uint64 `json:"swept_flows"`
	Snapshots    uint64 `json:"snapshots"`
	Evaluations  uint64 `json:"evaluations"`
	Transactions uint64 `json:"transactions"`
	Added        uint64 `json:"elements_added"`
	Refreshed    uint64 `json:"elements_refreshed"`
	Deleted      uint64 `json:"elements_deleted"`
	Failures     uint64 `json:"failed_transactions"`
	Reconciled   uint64 `json:"reconciliations"`
	ReconciledNS uint64 `json:"reconciliation_ns"`
}

// Attached implements feed.Handler. Every start owes a snapshot: the cursor spares
// us lost events, not our lost memory.
func (e *Engine) Attached(w int, resumed bool) {
	if !resumed {
		e.view.Lost(w)
	}
	if e.view.Stale(w) {
		e.resync(w, feed.ReasonStart)
	}
}

// Lost implements feed.Handler.
func (e *Engine) Lost(w int, n uint64) {
	e.counts.LostEvents += n
	e.view.Lost(w)
	e.resync(w, feed.ReasonLost)
}

// Closed implements feed.Handler.
func (e *Engine) Closed(w int) { e.sweep(e.view.Closed(w)) }

// Event implements feed.Handler.
func (e *Engine) Event(w int, r *evtring.Record) {
	e.counts.Events++
	e.latest = max(e.latest, r.TS)
	switch typ := event.Type(r.Type); {
	case typ.HasFlow():
		e.flowEvent(w, typ, r)
	case typ == event.SnapBegin, typ == event.SnapEnd, typ == event.SnapAbort:
		e.snapshotEvent(w, typ, r)
	case typ == event.Epoch:
		e.epochEvent(w, r)
	case typ == event.LostInput:
		if l, err := event.ParseLoss(r.Payload); e.ok(err) {
			e.counts.LostPackets += l.Packets
		}
	default:
		e.counts.Unknown++
	}
}

// ok counts a payload that cannot be read.
func (e *Engine) ok(err error) bool {
	if err != nil {
		e.counts.Bad++
	}
	return err == nil
}

func (e *Engine) flowEvent(w int, typ event.Type, r *evtring.Record) {
	p, err := event.ParseFlow(r.Payload)
	if !e.ok(err) {
		return
	}
	f, change, err := e.view.Merge(w, typ, r.TS, p)
	switch {
	case errors.Is(err, view.ErrFull):
		e.counts.ViewFull++
		e.opt.Log.Warn("flow not taken in", "error", err)
		return
	case err != nil:
		e.counts.Foreign++
		e.opt.Log.Error("worker out of bounds", "error", err)
		return
	case change == view.None:
		e.counts.Repeated++
		return
	}
	// Counters of a flow may come with news of the network around us.
	if e.open(f) && (typ != event.FlowStats || e.rules.NeedsCounters() || f.Changed&view.Rest != 0) {
		e.counts.Evaluations++
		e.decide(f)
	}
	if change == view.Ended {
		e.ended(f)
		return
	}
	if p.Flags()&event.FlagFinal != 0 || typ == event.FlowClass {
		if old := e.view.Relearnt(w, p); old != nil {
			e.release(old, false)
		}
	}
}

// open reports whether the rules may say something else of f than they did.
func (e *Engine) open(f *Flow) bool {
	return f.Changed&e.reads != 0 || e.timed || !f.State.named
}

// ended takes back what a flow wanted that is over.
func (e *Engine) ended(f *Flow) {
	if e.opt.Ended != nil {
		rules := make([]int, len(f.State.rules))
		for i, r := range f.State.rules {
			rules[i] = int(r)
		}
		e.opt.Ended(f.Flow, rules)
	}
	e.release(f, true)
}

// sweep takes back what flows wanted that the worker no longer knows: they ended
// and we were not told.
func (e *Engine) sweep(gone []*Flow) {
	e.counts.Swept += uint64(len(gone))
	for _, f := range gone {
		e.ended(f)
	}
}

func (e *Engine) epochEvent(w int, r *evtring.Record) {
	a, err := event.ParseAttached(r.Payload)
	if !e.ok(err) {
		return
	}
	e.opt.Log.Info("worker attached", "worker", w, "adopted", a.Adopted, "reinspected", a.Reinspected)
	if e.view.Attached(w, a.Slab, a.Adopted, e.opt.Now().Add(grace)) {
		e.resync(w, feed.ReasonTable)
	}
}

func (e *Engine) snapshotEvent(w int, typ event.Type, r *evtring.Record) {
	s, err := event.ParseSnapshot(r.Payload)
	if !e.ok(err) || s.Consumer != e.opt.Name {
		return // another reader's
	}
	k := &e.resyncs[w]
	k.progress = e.opt.Now()
	switch typ {
	case event.SnapBegin:
		e.view.Begin(w)
	case event.SnapAbort:
		e.view.Abort(w)
		e.opt.Log.Warn("snapshot given up", "worker", w, "request", s.Request)
	case event.SnapEnd:
		gone, whole := e.view.End(w)
		if !whole {
			return
		}
		e.counts.Snapshots++
		e.opt.Log.Info("view is whole", "worker", w, "flows", e.view.Len(w), "swept", len(gone))
		e.sweep(gone)
		*k = resync{}
		e.workers.ResyncDone(w, s.Request)
	}
}
