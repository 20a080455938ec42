package worker

import (
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/proto/event"
	"weir/proto/ids"
)

// pendingQueue are the flows that wait until every worker has passed the time of
// their first packet: only then is it certain which DNS answer came before them,
// however many workers there are. Offline only; a live flow takes what is known.
type pendingQueue struct {
	q    []pendingFlow
	head int
}

type pendingFlow struct {
	slot uint32
	id   uint64
}

func (p *pendingQueue) push(slot uint32, id uint64) { p.q = append(p.q, pendingFlow{slot, id}) }

func (p *pendingQueue) len() int { return len(p.q) - p.head }

func (p *pendingQueue) front() (pendingFlow, bool) {
	if p.head == len(p.q) {
		return pendingFlow{}, false
	}
	return p.q[p.head], true
}

func (p *pendingQueue) pop() {
	p.head++
	if p.head == len(p.q) {
		p.q, p.head = p.q[:0], 0
	} else if p.head > 4096 && p.head > len(p.q)/2 {
		p.q = p.q[:copy(p.q, p.q[p.head:])]
		p.head = 0
	}
}

// hinted stores w.desc, after a name from the hints when the flow wants one. A flow
// that cannot know yet is put aside and told by settle.
func (w *Worker) hinted(slot uint32, r *flow.Record, wants bool) {
	if wants && !r.Has(flow.Pending) {
		if w.live || w.part.Names.Passed(r.First()) {
			w.nameByHint(r)
		} else {
			r.Set(flow.Pending)
			w.pending.push(slot, r.ID())
		}
	}
	if w.store(r) {
		r.Set(flow.Dirty)
	}
}

// nameByHint names the flow in w.desc by what its client was told for the server's
// address, else by the address itself.
func (w *Worker) nameByHint(r *flow.Record) {
	r.Key(&w.key)
	client, server, cport, sport := w.key.A, w.key.B, w.key.PortA, w.key.PortB
	if r.Has(flow.ClientIsB) {
		client, server, cport, sport = w.key.B, w.key.A, w.key.PortB, w.key.PortA
	}
	if w.desc.Source == event.SourceNone || w.desc.Source == event.SourcePort {
		w.nameExpected(&server, sport, r.First())
		w.nameExpected(&client, cport, r.First())
	}
	if name, own, ok := w.part.Names.Name(hint.DNS, &client, &server, 0, r.First()); ok {
		w.count(cHinted)
		w.text.host = append(w.text.host[:0], name...)
		w.desc.Host = w.text.host
		sure := uint8(sureShared)
		if own {
			sure = sureDNS
		}
		w.weaker(event.SourceDNS, sure, "dns", "answer for the server's address")
		if w.part.Catalog != nil {
			if m, ok := w.part.Catalog.Host(w.desc.Host); ok {
				w.belongs(m)
				w.desc.Source, w.desc.Confidence = event.SourceDNS, sure
			}
		}
		return
	}
	if w.part.Catalog == nil {
		return
	}
	m, ok := w.part.Catalog.Addr(server)
	if !ok {
		m, ok = w.part.Catalog.Addr(client)
	}
	if ok {
		w.weaker(event.SourceNetwork, sureNetwork, "network", "address")
		w.belongs(m)
		w.desc.Source, w.desc.Confidence = event.SourceNetwork, sureNetwork
	}
}

// weaker notes a source that is worth less than the flow's own bytes.
func (w *Worker) weaker(s event.Source, sure uint8, what, why string) {
	if w.desc.Source == event.SourceNone || w.desc.Source == event.SourcePort {
		w.desc.Source, w.desc.Confidence = s, sure
	}
	w.evidence(what, why)
}

// nameExpected takes the protocol of a connection that another flow announced.
func (w *Worker) nameExpected(addr *[16]byte, port uint16, first uint64) {
	if port == 0 {
		return
	}
	var anyone [16]byte
	name, _, ok := w.part.Names.Name(hint.Expected, &anyone, addr, port, first)
	if !ok {
		return
	}
	for _, s := range dissect.All() {
		if s.Name == string(name) {
			w.desc.Protocol, w.desc.ProtocolID, w.desc.Category = s.Name, uint16(s.ID), s.Category
			w.desc.Source, w.desc.Confidence = event.SourceSession, sureExpected
			w.evidence(s.Name, "announced by its control connection")
			return
		}
	}
}

// settle tells the flows whose time all workers have passed.
func (w *Worker) settle() {
	for w.settles() && w.mayWrite() {
		w.begin(0)
		for w.room() && w.settleOne(false) {
		}
		w.commit(0, 0)
	}
}

// settles reports whether the flow that has waited longest waits no more.
func (w *Worker) settles() bool {
	f, ok := w.pending.front()
	if !ok {
		return false
	}
	r := w.table.Record(f.slot)
	return r.ID() != f.id || !r.Has(flow.Pending) || w.part.Names.Passed(r.First())
}

// settleOne tells the flow that has waited longest, if all workers have passed its
// time or force says not to wait. Needs Room(slack).
func (w *Worker) settleOne(force bool) bool {
	f, ok := w.pending.front()
	if !ok {
		return false
	}
	r := w.table.Record(f.slot)
	if r.ID() != f.id || !r.Has(flow.Pending) {
		w.pending.pop()
		return true
	}
	if !w.part.Names.Passed(r.First()) {
		if !force {
			return false
		}
		w.count(cUnsettled)
	}
	w.pending.pop()
	w.table.Touch(f.slot)
	w.resolve(f.slot, r)
	return true
}

// resolve names a flow that has waited, tells it, and ends it if it is over.
func (w *Worker) resolve(slot uint32, r *flow.Record) {
	r.Clear(flow.Pending)
	w.load(r)
	w.nameByHint(r)
	if s, ok := dissect.ByID(ids.Protocol(w.desc.ProtocolID)); ok && w.desc.Category == "" {
		w.desc.Category = s.Category
	}
	if w.desc.CategoryID == 0 {
		w.categoryID()
	}
	if w.store(r) {
		r.Set(flow.Dirty)
	}
	w.tell(r)
	if r.State() == flow.Ended {
		w.emit(event.FlowEnd, r, r.Reason())
		w.count(cEnded)
		w.table.Release(slot)
	}
}
