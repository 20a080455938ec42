package worker

import (
	"weir/dpid/catalog"
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/proto/event"
	"weir/proto/ids"
)

// Confidences of what is not in the flow's own bytes, 0 to 100.
const (
	sureExpected = 90 // announced by a control connection
	sureDNS      = 70 // the client asked for that name
	sureShared   = 50 // another client asked for that name
	sureNetwork  = 40 // an address list
	surePort     = 10 // a port number: a guess
)

// scratch are the worker's buffers for descriptions: fixed, reused for every flow.
type scratch struct {
	host, evidence []byte
	attrs          []byte
	now, old       []byte // encoded descriptions
	of             uint64 // id of the flow that now is the description of, 0 = none
}

func (s *scratch) init() {
	s.host = make([]byte, 0, 255)
	s.evidence = make([]byte, 0, 1024) // what is longer than 255 is seen to be so, then dropped
	s.attrs = make([]byte, 0, event.MaxAttrs)
	s.now = make([]byte, 0, event.MaxFlow)
	s.old = make([]byte, 0, event.MaxFlow+event.DescriptionAt)
}

// classify stores what the chosen dissector found out and tells it. final says that
// its Detect is not going to be asked again.
func (w *Worker) classify(slot uint32, r *flow.Record, x *session, final bool) {
	spec := x.trial.Chosen()
	w.hints(r, spec)
	if r.Has(flow.Reinspected) && r.Described() && w.table.ProtocolID(r) == uint16(spec.ID) {
		w.load(r) // an earlier process saw the start: what it found is not lost
		w.join(r, spec)
	} else {
		w.describe(r, x, spec)
	}
	if final {
		w.finalise(slot, r, spec)
	}
	w.hinted(slot, r, final && w.wantsHint(spec))
	w.tell(r)
	if !x.classified {
		x.classified = true
		w.count(cClassified)
	}
}

// describe fills w.desc with what the chosen dissector found out.
func (w *Worker) describe(r *flow.Record, x *session, spec *dissect.Spec) {
	w.fresh(r, x)
	w.desc.Protocol, w.desc.ProtocolID = spec.Name, uint16(spec.ID)
	w.desc.Source = event.SourceDPI
	rule, confidence := w.out.Evidence()
	w.desc.Confidence = confidence
	w.evidence(spec.Name, rule)
	w.desc.Host = append(w.text.host[:0], w.out.Host()...)
	w.desc.Attrs = append(w.text.attrs[:0], w.out.Attrs()...)
	w.application(r, spec)
}

// finalise ends the inspection of a flow whose protocol is known.
func (w *Worker) finalise(slot uint32, r *flow.Record, spec *dissect.Spec) {
	r.Clear(flow.Inspecting)
	if w.followOf(spec) == nil {
		r.Set(flow.Final)
		w.inspect.end(slot)
		return
	}
	r.Set(flow.Follow)
	if r.IPProto() != protoTCP {
		w.inspect.end(slot)
	}
}

// finish ends an inspection that found no protocol, or that is cut short. What is
// left is a guess, and says so.
func (w *Worker) finish(slot uint32, r *flow.Record, x *session) {
	r.Clear(flow.Inspecting)
	r.Set(flow.Final)
	if r.Has(flow.Follow) {
		r.Clear(flow.Follow)
		w.inspect.end(slot)
		return
	}
	if x.classified {
		w.inspect.end(slot)
		w.conclude(slot, r)
		return
	}
	w.fresh(r, x)
	w.inspect.end(slot)
	w.guess(r)
	w.count(cGuessed)
	w.hinted(slot, r, true)
	w.tell(r)
}

// conclude ends the inspection of a flow that was classified while more was awaited:
// what did not come may be told by an answer.
func (w *Worker) conclude(slot uint32, r *flow.Record) {
	spec, ok := w.protocolOf(r)
	if !ok {
		return
	}
	if w.load(r); w.wantsHint(spec) {
		w.hinted(slot, r, true)
		w.tell(r)
	}
}

// fresh empties w.desc for a flow.
func (w *Worker) fresh(r *flow.Record, x *session) {
	w.desc = event.Description{}
	if x != nil {
		w.desc.ClientMAC, w.desc.ServerMAC, w.desc.Link = x.clientMAC, x.serverMAC, x.link
		w.neighbours(r)
	}
	w.text.evidence = w.text.evidence[:0]
	w.text.host = w.text.host[:0]
	w.text.attrs = w.text.attrs[:0]
}

// evidence adds "what: why" to the chain that explains the classification.
func (w *Worker) evidence(what, why string) {
	e := w.text.evidence
	if len(e) > 0 {
		e = append(e, "; "...)
	}
	if e = append(append(append(e, what...), ": "...), why...); len(e) <= 255 {
		w.text.evidence = e[:len(e):cap(e)]
	}
	w.desc.Evidence = w.text.evidence
}

// guess names a protocol by the server's port and says that it is a guess.
func (w *Worker) guess(r *flow.Record) {
	r.Key(&w.key)
	port := w.key.PortB
	if r.Has(flow.ClientIsB) {
		port = w.key.PortA
	}
	if spec, ok := dissect.LikelyPort(transportOf(r.IPProto()), port); ok {
		w.desc.Protocol, w.desc.ProtocolID, w.desc.Category = spec.Name, uint16(spec.ID), spec.Category
		w.desc.Source, w.desc.Confidence = event.SourcePort, surePort
		w.evidence("port", spec.Name)
	}
}

// application looks up what the flow's names belong to. The peer of a name query
// is a name server, whatever was asked for: there the application is an attribute,
// so that no rule for it ever meets the server.
func (w *Worker) application(r *flow.Record, spec *dissect.Spec) {
	if spec != nil {
		w.desc.Category = spec.Category
	}
	if w.part.Catalog == nil {
		return
	}
	m, ok := catalog.Match{}, false
	if len(w.desc.Host) > 0 {
		m, ok = w.part.Catalog.Host(w.desc.Host)
	}
	if !ok && len(w.out.JA4()) > 0 && spec != nil {
		m, ok = w.part.Catalog.JA4(w.out.JA4())
	}
	if !ok {
		w.categoryID()
		return
	}
	if spec != nil && isNaming(spec) {
		name, _ := w.part.Catalog.App(m.App)
		w.text.attrs = appendText(w.desc.Attrs, "dns.application", name)
		w.desc.Attrs = w.text.attrs
		w.categoryID()
		return
	}
	w.belongs(m)
	w.desc.Source = event.SourceName
}

// belongs takes application and category from a catalogue entry.
func (w *Worker) belongs(m catalog.Match) {
	name, category := w.part.Catalog.App(m.App)
	w.desc.ApplicationID, w.desc.Application = uint32(m.App), name
	if c := w.part.Catalog.Category(m.Category); c != "" {
		category = c
	}
	if category != "" {
		w.desc.Category = category
	}
	w.categoryID()
	e := append(w.text.evidence, "; catalog: "...)
	if e = w.part.Catalog.AppendEntry(e, m); len(e) <= 255 {
		w.text.evidence = e
		w.desc.Evidence = e
	}
}

func (w *Worker) categoryID() {
	w.desc.CategoryID = uint16(w.cats[w.desc.Category])
}

// isNaming reports whether a protocol's flows carry other hosts' names.
func isNaming(s *dissect.Spec) bool { return s.Category == "dns" }

func (w *Worker) wantsHint(spec *dissect.Spec) bool {
	return len(w.desc.Host) == 0 && w.desc.ApplicationID == 0 && !isNaming(spec) && spec.Over&dissect.IP == 0
}

// protocolOf returns the protocol a flow was classified as.
func (w *Worker) protocolOf(r *flow.Record) (*dissect.Spec, bool) {
	return dissect.ByID(ids.Protocol(w.table.ProtocolID(r)))
}

// merge adds what Follow found to the flow's description; false when nothing is new.
func (w *Worker) merge(r *flow.Record, spec *dissect.Spec) bool {
	if len(w.out.Host()) == 0 && len(w.out.Attrs()) == 0 {
		return false
	}
	w.load(r)
	return w.join(r, spec) && w.store(r)
}

// join adds to w.desc what a dissector found and w.desc does not have; false when
// that is nothing.
func (w *Worker) join(r *flow.Record, spec *dissect.Spec) (changed bool) {
	host, attrs := w.out.Host(), w.out.Attrs()
	if len(host) > 0 && w.out.IsRenamed() && string(host) != string(w.desc.Host) {
		w.desc.Host, w.desc.Application, w.desc.ApplicationID, w.desc.Source = nil, "", 0, event.SourceDPI
	}
	if len(host) > 0 && len(w.desc.Host) == 0 {
		w.desc.Host = append(w.text.host[:0], host...)
		w.application(r, spec)
		changed = true
	}
	for a, rest, ok := event.NextAttr(attrs); ok; a, rest, ok = event.NextAttr(rest) {
		if hasAttr(w.desc.Attrs, a.Key) && !(a.List && changed) {
			continue
		}
		kind := a.Kind
		if a.List {
			kind |= event.AttrList
		}
		w.text.attrs = appendRaw(w.desc.Attrs, kind, a.Key, a.Value)
		w.desc.Attrs = w.text.attrs
		changed = true
	}
	return changed
}

// hints keeps what this flow says about later ones.
func (w *Worker) hints(r *flow.Record, spec *dissect.Spec) {
	if isNaming(spec) && w.in.FromServer && !r.Has(flow.Answered) && r.IPProto() == protoUDP {
		r.Set(flow.Answered)
		w.rearm = true
	}
	var anyone [16]byte
	if name, answers := w.out.Answers(); len(answers) > 0 {
		lower(name)
		for i := range answers {
			a := &answers[i]
			w.part.Hints.Add(hint.DNS, &w.in.ClientAddr, &a.Addr, 0, name, w.ts, a.TTL)
			w.part.Hints.Add(hint.DNS, &anyone, &a.Addr, 0, name, w.ts, a.TTL)
		}
	}
	for _, e := range w.out.Expected() {
		if s, ok := dissect.ByID(e.Proto); ok {
			w.part.Hints.Add(hint.Expected, &anyone, &e.Addr, e.Port, append(w.text.host[:0], s.Name...), w.ts, 60)
		}
	}
}

func lower(b []byte) {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}
