package worker

import (
	"weir/dpid/catalog"
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/ids"
)

// store writes w.desc into the slab; false when it says what was there already.
func (w *Worker) store(r *flow.Record) bool {
	w.text.of = 0
	if r.Described() {
		w.keepConnection(r)
	}
	w.text.now = w.desc.Append(w.text.now[:0])
	if !r.Described() && string(w.text.now) == string(zeroCounters[:event.DescriptionSize]) {
		return false
	}
	changed, ok := w.table.Describe(r, w.text.now)
	if w.text.of = r.ID(); !ok {
		w.text.of = 0
		w.count(cNoDescribe)
	}
	return changed
}

// load reads the flow's description from the slab into w.desc. Strings come from
// the registry and the catalogue, the rest is copied into w.text.
func (w *Worker) load(r *flow.Record) {
	b := append(w.text.old[:0], zeroCounters[:]...)
	f, err := event.ParseFlow(w.table.Description(b, r))
	if err != nil {
		w.fresh(r, nil)
		return
	}
	d := &w.desc
	*d = event.Description{
		ClientMAC: f.ClientMAC(), ServerMAC: f.ServerMAC(), ProtocolID: f.ProtocolID(), CategoryID: f.CategoryID(),
		ApplicationID: f.ApplicationID(), Confidence: f.Confidence(), End: f.EndReason(), Source: f.Source(), Link: f.Link(),
	}
	w.text.host = append(w.text.host[:0], f.Host()...)
	w.text.evidence = append(w.text.evidence[:0], f.Evidence()...)
	w.text.attrs = append(w.text.attrs[:0], f.Attrs()...)
	d.Host, d.Evidence, d.Attrs = w.text.host, w.text.evidence, w.text.attrs
	if s, ok := dissect.ByID(ids.Protocol(d.ProtocolID)); ok {
		d.Protocol, d.Category = s.Name, s.Category
	}
	if w.part.Catalog == nil {
		return
	}
	name, category := w.part.Catalog.App(catalog.AppID(d.ApplicationID))
	if d.Application = name; name != "" {
		d.Category = category
	}
	if c := w.part.Catalog.Category(catalog.CategoryID(d.CategoryID)); c != "" {
		d.Category = c
	}
}

var zeroCounters [event.DescriptionAt]byte

func hasAttr(attrs, key []byte) bool {
	for a, rest, ok := event.NextAttr(attrs); ok; a, rest, ok = event.NextAttr(rest) {
		if string(a.Key) == string(key) {
			return true
		}
	}
	return false
}

func appendText(attrs []byte, key, value string) []byte {
	if value == "" || len(attrs)+4+len(key)+len(value) > event.MaxAttrs {
		return attrs
	}
	attrs = append(attrs, uint8(event.AttrString), uint8(len(key)), uint8(len(value)), uint8(len(value)>>8))
	return append(append(attrs, key...), value...)
}

func appendRaw(attrs []byte, kind event.AttrKind, key, value []byte) []byte {
	if len(key) > 255 || len(attrs)+4+len(key)+len(value) > event.MaxAttrs {
		return attrs
	}
	attrs = append(attrs, uint8(kind), uint8(len(key)), uint8(len(value)), uint8(len(value)>>8))
	return append(append(attrs, key...), value...)
}
