package engine

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"weir/policyd/target"
	"weir/proto/event"
)

// wish is an element that a matching rule wants.
type wish struct {
	action *action
	rule   int
	key    []byte // within Engine.buf
}

// decide asks the rules about a flow and changes what it wants. New wishes are noted
// before old ones are taken back, so that what stays is never given up between.
func (e *Engine) decide(f *Flow) {
	var now time.Time // nobody looks at it without schedules
	if e.timed {
		now = e.timeOf(f.TS)
	}
	e.decideAt(f, now)
}

// decideAt is decide for a certain time of day.
func (e *Engine) decideAt(f *Flow, now time.Time) {
	e.set(f, now)
	f.Changed, f.State.named = 0, e.flow.Interface != ""
	hits, tags := e.rules.Match(&e.flow)
	e.count(f, hits, tags)
	e.collect(f, hits)
	if e.same(f) {
		return
	}
	old := f.State.wants
	f.State.wants = make([]target.Element, 0, len(e.want))
	for _, w := range e.want {
		r := &e.rules.Rules[w.rule]
		f.State.wants = append(f.State.wants, e.ledger.Want(w.action.set, w.key, w.action.timeout, r.Name))
	}
	for _, x := range old {
		e.ledger.Release(x, false)
	}
}

// set makes f the flow that rules are asked about.
func (e *Engine) set(f *Flow, now time.Time) {
	e.flow.Flow, e.flow.Interface, e.flow.Now = f.Flow, e.opt.Interface(f.In()), now
	e.flow.Role = f.Role(e.opt.Role)
}

// timeOf is the time of day that schedules are asked at.
func (e *Engine) timeOf(ts uint64) time.Time {
	if !e.opt.Offline {
		return e.opt.Now()
	}
	return time.Unix(int64(ts/1e9), int64(ts%1e9))
}

// count keeps the numbers of the rules and logs first matches.
func (e *Engine) count(f *Flow, hits []int, tags []string) {
	for _, i := range f.State.now {
		e.perRule[i].Live--
	}
	f.State.now = f.State.now[:0]
	for _, i := range hits {
		f.State.now = append(f.State.now, uint16(i))
		e.perRule[i].Live++
		if slices.Contains(f.State.rules, uint16(i)) {
			continue
		}
		f.State.rules = append(f.State.rules, uint16(i))
		e.perRule[i].Hits++
		if r := &e.rules.Rules[i]; r.Log {
			e.opt.Log.LogAttrs(context.Background(), slog.LevelInfo, "matched rule "+r.Name, flowAttrs(f.Flow)...)
		}
	}
	if !slices.Equal(f.State.tags, tags) {
		f.State.tags = slices.Clone(tags)
	}
}

func flowAttrs(f event.Flow) []slog.Attr {
	return []slog.Attr{
		slog.String("flow", string(event.AppendFlowID(nil, f.ID()))), slog.String("tuple", Tuple(f)),
		slog.String("protocol", string(f.Protocol())), slog.String("application", string(f.Application())),
		slog.String("host", string(f.Host())), slog.String("evidence", string(f.Evidence())),
	}
}

// collect puts the wishes of all matching rules into e.want.
func (e *Engine) collect(f *Flow, hits []int) {
	e.want, e.buf = e.want[:0], e.buf[:0]
	for _, i := range hits {
		for j := range e.actions[i] {
			a := &e.actions[i][j]
			if a.version != 0 && a.version != f.IPVersion() {
				continue
			}
			start := len(e.buf)
			buf, ok := e.sets[a.set].AppendKey(e.buf, a.parts, f.Flow, e.flow.Interface)
			if !ok {
				e.buf = buf[:start]
				continue
			}
			e.buf = buf
			e.want = append(e.want, wish{a, i, buf[start:len(buf):len(buf)]})
		}
	}
}

// same reports whether the flow wants what it wanted before.
func (e *Engine) same(f *Flow) bool {
	return slices.EqualFunc(e.want, f.State.wants, func(w wish, x target.Element) bool {
		return x.Set() == e.sets[w.action.set] && x.Key() == string(w.key)
	})
}

// release takes all wishes of a flow back that is no longer in the view.
func (e *Engine) release(f *Flow, ended bool) {
	for _, x := range f.State.wants {
		e.ledger.Release(x, ended)
	}
	for _, i := range f.State.now {
		e.perRule[i].Live--
	}
	f.State.wants, f.State.now = nil, nil
}
