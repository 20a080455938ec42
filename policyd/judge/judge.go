// Package judge answers the questions about flows whose packets wait in a netfilter
// queue: it asks the rules about the flow as the event describes it, and puts the
// verdict into the ring of the capture thread that holds the packets.
//
// It is a reader of the events of its own, beside the engine's, with rules of its own:
// it keeps no flows, knows no kernel object and waits for nothing but events, so that
// nothing that enforcement waits for makes a packet wait.
//
// The invariant: every question is counted once, by what became of it.
package judge

import (
	"log/slog"
	"sync"
	"time"

	"weir/policyd/rule"
	"weir/proto/event"
	"weir/proto/mark"
	"weir/proto/verdict"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// Consumer is the name of the event cursors.
const Consumer = "verdict"

// Config is what a Judge works with.
type Config struct {
	Root      layout.Root
	Threads   int // capture threads
	Layout    mark.Layout
	Enforce   bool                  // false: every verdict is accept; what it would have been is counted
	Interface func(i uint16) string // name of an interface table index
	Role      func(i uint16) string // its role; nil: none has one
	Now       func() time.Time      // the clock on the wall, for schedules
	Log       *slog.Logger
}

// Counts are what became of questions.
type Counts struct {
	Questions uint64 `json:"questions"`
	Accepted  uint64 `json:"accepted"`
	Dropped   uint64 `json:"dropped"`
	Rejected  uint64 `json:"rejected"`

	// Of the accepted: what they would have been, were policy.mode not observe.
	WouldDrop   uint64 `json:"would_drop"`
	WouldReject uint64 `json:"would_reject"`

	Unanswered uint64 `json:"unanswered"` // no ring, or no room in it: the packet is held until it expires
	Bad        uint64 `json:"bad"`        // events with a question that cannot be read
}

// Judge is a feed.Handler. It belongs to one goroutine, but for Counts.
type Judge struct {
	cfg     Config
	rules   *rule.Set
	rings   []*pktring.Producer
	counts  Counts
	flow    rule.Flow
	record  [verdict.Size]byte
	touched []bool

	mu    sync.Mutex // guards what follows
	shown Counts     // counts as of the last Commit
}

// New opens the rings to all capture threads. rules belong to the Judge.
func New(cfg Config, rules *rule.Set) (*Judge, error) {
	j := &Judge{cfg: cfg, rules: rules, touched: make([]bool, cfg.Threads)}
	for c := range cfg.Threads {
		p, err := pktring.OpenProducer(pktring.Config{
			Path: cfg.Root.PolicyVerdictRing(c), CursorPath: cfg.Root.PolicyVerdictCursor(c), Descriptors: verdict.RingRecords,
			PayloadBytes: pktring.MinPayload, Producer: fromPolicy, Consumer: uint16(c), Mode: 0o640,
		})
		if err != nil {
			_ = j.Close() // the first error says more
			return nil, err
		}
		j.rings = append(j.rings, p)
	}
	return j, nil
}

// fromPolicy is who policyd is among the producers of verdict rings, which are workers
// else.
const fromPolicy = 1<<16 - 1

// Close closes the rings. Packets are not held for us any more.
func (j *Judge) Close() (err error) {
	for _, p := range j.rings {
		if e := p.Close(); err == nil {
			err = e
		}
	}
	j.rings = nil
	return err
}

// Use takes other rules into use.
func (j *Judge) Use(rules *rule.Set) { j.rules = rules }

// Counts returns what became of the questions up to the last Commit. Anybody may call
// it.
func (j *Judge) Counts() Counts {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.shown
}

// Attached implements feed.Handler.
func (j *Judge) Attached(int, bool) {}

// Lost implements feed.Handler: the packets of questions that were lost expire.
func (j *Judge) Lost(int, uint64) {}

// Closed implements feed.Handler.
func (j *Judge) Closed(int) {}

// Event implements feed.Handler.
func (j *Judge) Event(_ int, r *evtring.Record) {
	if !event.Type(r.Type).HasFlow() {
		return
	}
	f, err := event.ParseFlow(r.Payload)
	if err != nil {
		return // the engine counts it
	}
	if f.Flags()&event.FlagQuestion == 0 {
		return
	}
	j.counts.Questions++
	q, ok := event.ParseQuestion(r.Payload, f)
	if !ok {
		j.counts.Bad++
		return
	}
	j.answer(&q, f, r.TS)
}

// answer puts the verdict on f into the ring of the thread that asks.
func (j *Judge) answer(q *event.Question, f event.Flow, ts uint64) {
	if int(q.Thread) >= len(j.rings) {
		j.counts.Unanswered++
		return
	}
	v := j.verdict(f)
	final := f.Flags()&event.FlagFinal != 0
	a := verdict.Flow(q, ts, v, j.cfg.Layout.Encode(mark.State{Final: final, Verdict: v}))
	a.Encode(j.record[:])
	if !j.rings[q.Thread].Put(j.record[:], nil, nil) {
		j.rings[q.Thread].Drop(1, 0)
		j.counts.Unanswered++
		return
	}
	j.touched[q.Thread] = true
	switch v {
	case mark.Accept:
		j.counts.Accepted++
	case mark.Drop:
		j.counts.Dropped++
	case mark.Reject:
		j.counts.Rejected++
	}
}

// verdict returns that of the first rule that has one for f.
func (j *Judge) verdict(f event.Flow) mark.Verdict {
	j.flow.Flow, j.flow.Interface, j.flow.Now = f, j.cfg.Interface(f.In()), j.cfg.Now()
	j.flow.Role = f.Role(j.cfg.Role)
	hits, _ := j.rules.Match(&j.flow)
	v := j.rules.Verdict(hits)
	if j.cfg.Enforce {
		return v
	}
	switch v {
	case mark.Drop:
		j.counts.WouldDrop++
	case mark.Reject:
		j.counts.WouldReject++
	}
	return mark.Accept
}

// Commit implements feed.Handler: it shows the answers, and that we live. It is called
// every 100 ms at least.
func (j *Judge) Commit() error {
	for c, p := range j.rings {
		if j.touched[c] {
			j.touched[c] = false
			p.Publish()
		}
		rebuilt, err := p.Housekeeping()
		if err != nil {
			return err
		}
		if rebuilt {
			j.cfg.Log.Warn("a verdict ring was deleted while it was in use, and is made anew", "thread", c)
		}
	}
	j.mu.Lock()
	j.shown = j.counts
	j.mu.Unlock()
	return nil
}
