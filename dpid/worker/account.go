package worker

import (
	"encoding/binary"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/pkt"
)

// account takes what conntrack knows about a flow. The totals replace what was counted
// here; a flow whose packets pass in the kernel lives as long as they grow, and ends
// with its connection.
func (w *Worker) account(d pkt.Descriptor, payload []byte) {
	var a pkt.Account
	if len(payload) < pkt.PrefixSize || !a.Decode(payload[pkt.PrefixSize:]) {
		w.count(cUnparsed)
		return
	}
	slot := w.hunch
	if slot == noGuess || !w.table.Is(slot, d.HashLo(), d.HashHi()) {
		var ok bool
		if slot, ok = w.table.Find(d.HashLo(), d.HashHi()); !ok {
			w.count(cUnaccounted)
			return
		}
	}
	w.count(cAccounts)
	r := w.table.Touch(slot)
	if a.Flags&pkt.AccountCounted != 0 {
		more := r.Total(false, a.PacketsA, a.BytesA)
		if r.Total(true, a.PacketsB, a.BytesB) || more {
			r.Seen(d.TS())
		}
	}
	if r.State() == flow.Probation && a.PacketsA > 0 && a.PacketsB > 0 {
		w.table.Promote(slot, r)
	}
	if r.State() != flow.Probation { // what nobody answers gets no description
		w.connection(r, &a)
	}
	w.closed(slot, r, &a)
}

// closed ends a flow whose connection has left conntrack, and lets one that both sides
// closed wait for stragglers.
func (w *Worker) closed(slot uint32, r *flow.Record, a *pkt.Account) {
	reason := event.EndIdle
	switch {
	case a.Flags&pkt.AccountRST != 0:
		reason = event.EndRST
	case a.Flags&pkt.AccountFIN != 0:
		reason = event.EndFIN
	}
	switch {
	case a.Flags&pkt.AccountOver != 0:
		w.end(slot, r, reason)
	case reason != event.EndIdle && r.State() != flow.Closing:
		w.table.Promote(slot, r)
		r.SetState(flow.Closing)
		r.SetReason(uint8(reason))
		w.table.Rearm(slot, r)
	}
}

// connection keeps the id and mark of a flow's connection, and how the far side of an
// address translation sees the flow. Only the latter is worth an event of its own: the
// rest goes with the next.
func (w *Worker) connection(r *flow.Record, a *pkt.Account) {
	w.load(r)
	t := w.text.attrs
	t = setUint(t, "ct.id", uint64(a.ID))
	if a.Mark != 0 || hasAttr(t, []byte("ct.mark")) {
		t = setUint(t, "ct.mark", uint64(a.Mark))
	}
	if a.Zone != 0 {
		t = setUint(t, "ct.zone", uint64(a.Zone))
	}
	had := len(t)
	if a.Flags&pkt.AccountNAT != 0 && !hasAttr(t, []byte("nat.client_ip")) {
		t = translated(t, r.Has(flow.ClientIsB), a)
	}
	w.text.attrs, w.desc.Attrs = t, t
	if !w.store(r) {
		return
	}
	r.Set(flow.Dirty)
	if len(t) > had && r.Has(flow.Classified) {
		w.tell(r)
	}
}

// translated appends the other view of a flow.
func translated(attrs []byte, clientIsB bool, a *pkt.Account) []byte {
	client, server, cport, sport := &a.A, &a.B, a.PortA, a.PortB
	if clientIsB {
		client, server, cport, sport = server, client, sport, cport
	}
	attrs = appendRaw(attrs, event.AttrAddr, []byte("nat.client_ip"), unmapped(client))
	attrs = setUint(attrs, "nat.client_port", uint64(cport))
	attrs = appendRaw(attrs, event.AttrAddr, []byte("nat.server_ip"), unmapped(server))
	return setUint(attrs, "nat.server_port", uint64(sport))
}

// unmapped returns the bytes of an address as an attribute has them.
func unmapped(a *[16]byte) []byte {
	if [12]byte(a[:12]) == [12]byte{10: 0xff, 11: 0xff} {
		return a[12:]
	}
	return a[:]
}

// setUint replaces the value of a number, or appends it.
func setUint(attrs []byte, key string, v uint64) []byte {
	for a, rest, ok := event.NextAttr(attrs); ok; a, rest, ok = event.NextAttr(rest) {
		if string(a.Key) == key && a.Kind == event.AttrUint && len(a.Value) == 8 {
			binary.LittleEndian.PutUint64(a.Value, v)
			return attrs
		}
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return appendRaw(attrs, event.AttrUint, []byte(key), b[:])
}

// keepConnection adds to w.desc what connection stored about the flow: an inspection
// that describes it anew knows nothing of that.
func (w *Worker) keepConnection(r *flow.Record) {
	b := w.table.Description(append(w.text.old[:0], zeroCounters[:]...), r)
	f, err := event.ParseFlow(b)
	if err != nil {
		return
	}
	attrs := f.Attrs()
	for a, rest, ok := event.NextAttr(attrs); ok; a, rest, ok = event.NextAttr(rest) {
		if !ofConnection(a.Key) || hasAttr(w.desc.Attrs, a.Key) {
			continue
		}
		w.text.attrs = appendRaw(w.desc.Attrs, a.Kind, a.Key, a.Value)
		w.desc.Attrs = w.text.attrs
	}
}

func ofConnection(key []byte) bool {
	return len(key) > 3 && string(key[:3]) == "ct." || len(key) > 4 && string(key[:4]) == "nat."
}
