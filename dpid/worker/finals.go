package worker

import (
	"weir/dpid/flow"
	"weir/proto/pkt"
	"weir/shm/hashset"
)

// finals tells capd which flows are final, so that their packets come without payload.
//
// Whatever kills the worker at whatever point, a flow in the set is final in the slab,
// or not there at all: it comes into the set behind the transaction that made it final,
// and leaves it before the one that ends it.
type finals struct {
	set  *hashset.Writer // nil: nobody asks
	news [batchSize]struct{ lo, hi uint64 }
	n    int
}

// note takes a flow in, when the transaction is done, whose packet came with a payload
// that nobody wants. Short ones come with it in any case.
func (f *finals) note(d pkt.Descriptor, payload []byte) {
	if f.set == nil || payload == nil || d.CapLen() <= pkt.ShortFrame || d.Flags()&pkt.FlagNFQ != 0 || f.n == len(f.news) {
		return
	}
	f.news[f.n].lo, f.news[f.n].hi = d.HashLo(), d.HashHi()
	f.n++
}

// commit takes in what was noted, but for flows that ended meanwhile: another one of the
// same ports may have begun in this very batch. A bucket that is full leaves a flow out,
// whose packets go on with payload.
func (f *finals) commit(t *flow.Table) {
	for _, h := range f.news[:f.n] {
		if slot, alive := t.Find(h.lo, h.hi); alive && t.Record(slot).Has(flow.Final) {
			f.set.Add(h.lo, h.hi)
		}
	}
	f.n = 0
}

// remove is told of a flow that ends, and of a packet without payload that cannot do
// without: the next has it.
func (f *finals) remove(lo, hi uint64) {
	if f.set != nil {
		f.set.Remove(lo, hi)
	}
}

// detach takes a flow that ends out of everybody's sight.
func (w *Worker) detach(slot uint32, r *flow.Record) {
	if r.Has(flow.Final) {
		w.finals.remove(r.HashLo(), r.HashHi())
	}
	w.table.Detach(slot, r)
}

// blind counts a packet without payload whose flow is not known: that of one that ended
// while it was under way.
func (w *Worker) blind(d pkt.Descriptor) {
	w.count(cOrphans)
	w.finals.remove(d.HashLo(), d.HashHi())
}
