package hold

import (
	"weir/capd/source"
	"weir/proto/mark"
	"weir/proto/verdict"
)

// From says whose verdict ring an answer was in. Nobody judges but policyd: a worker
// parses hostile bytes.
type From uint8

// Authors of answers.
const (
	Worker From = iota
	Policy
)

// Answer takes a record of a verdict ring. Precondition: len(r) >= verdict.Size.
func (t *Table) Answer(r verdict.Record, from From) {
	if r.Generation() != t.cfg.Generation || r.Queue() != t.cfg.Number {
		t.count.Foreign++
		return
	}
	switch k := r.Kind(); {
	case k == verdict.KindGoOn && from == Worker:
		t.goOn(r)
	case k == verdict.KindFlow && from == Policy:
		t.judge(r)
	default:
		t.count.Unreadable++
	}
}

// goOn lets the packets of a flow go, up to the one that was asked about.
func (t *Table) goOn(r verdict.Record) {
	f := t.find(r.HashLo(), r.HashHi())
	if f == none || !t.has(f, r.ID()) {
		t.count.Late++
		return
	}
	for last := false; !last; {
		p := &t.packets[t.flows[f].first]
		last = p.id == r.ID()
		t.count.WentOn++
		t.queue.Verdict(p.id, source.Verdict{Action: source.Accept})
		t.pop(f)
	}
}

// has reports whether the flow holds a packet of that number. Numbers grow within a
// queue, and turn over.
func (t *Table) has(f, id uint32) bool {
	i := t.flows[f].first
	for i != none && int32(t.packets[i].id-id) < 0 {
		i = t.packets[i].next
	}
	return i != none && t.packets[i].id == id
}

// judge treats all held packets of a flow as the verdict says, and later ones, too,
// where nobody is to be asked about them; the answer to a packet that has gone meanwhile
// still holds, unless the flow began anew behind it. A verdict that may change is one on
// the packets up to the one that was asked about: the next may name another host.
func (t *Table) judge(r verdict.Record) {
	v, bits := r.Verdict(), r.Bits()
	if v > mark.Reject {
		t.count.Unreadable++
		return
	}
	e := t.known.find(r.HashLo(), r.HashHi())
	if e != nil && int32(r.ID()-e.since) < 0 {
		t.count.Late++
		return
	}
	settled := v != mark.Accept || t.cfg.Layout.Decode(bits).Final
	if settled {
		t.known.judge(r.HashLo(), r.HashHi(), r.ID(), v, bits, t.now)
	}
	f := t.find(r.HashLo(), r.HashHi())
	if f == none || !settled && !t.has(f, r.ID()) {
		t.count.Late++
		return
	}
	for more := true; more; {
		p := &t.packets[t.flows[f].first]
		more = p.next != none && (settled || p.id != r.ID())
		t.count.Judged++
		t.treat(p.id, p.mark, v, bits)
		t.pop(f)
	}
}
