package worker

import (
	"weir/dpid/flow"
	"weir/proto/event"
	"weir/shm/evtring"
)

// tell publishes what was found out about a flow, unless it waits for hints: its
// classification once, then what changed.
func (w *Worker) tell(r *flow.Record) {
	switch {
	case r.Has(flow.Pending):
	case !r.Has(flow.Classified):
		r.Set(flow.Classified)
		r.Clear(flow.Dirty)
		w.emit(event.FlowClass, r, 0)
	case r.Has(flow.Dirty):
		r.Clear(flow.Dirty)
		w.emit(event.FlowUpdate, r, 0)
	}
}

// emit writes an event of a flow into the ring; it is seen when the transaction is
// published. reason is the end reason. Precondition: r was touched, but for
// SnapFlow.
func (w *Worker) emit(t event.Type, r *flow.Record, reason uint8) {
	var flags uint8
	asks := w.asks(t, r)
	if asks && t == event.FlowUpdate {
		t = event.VerdictReq
	}
	if t == event.FlowUpdate || t == event.FlowStats {
		if flags = evtring.FlagLow; w.events.ShedLow() {
			w.events.Shed(1)
			w.count(cShed)
			return
		}
	}
	rev := r.Rev()
	if t == event.SnapFlow { // tells again what was told, and changes nothing
		flags = evtring.FlagSnapshot
	} else {
		r.Set(flow.Announced)
		rev = r.NextRev()
	}
	kept := w.text.of == r.ID() // most are told when they have just been found out
	size := event.DescriptionAt + len(w.text.now)
	if !kept {
		size = event.DescriptionAt + w.table.DescriptionLen(r)
	}
	at := size // of what is no part of the flow
	if asks {
		size += event.QuestionSize
	}
	b := w.events.Reserve(uint16(t), event.Version, flags, r.Last(), size)
	if b == nil {
		panic("BUG: worker: an event is larger than a ring record")
	}
	w.encode(b, r, rev, asks)
	if kept {
		copy(b[event.DescriptionAt:], w.text.now)
	} else {
		w.table.Description(b[:event.DescriptionAt:at], r)
	}
	if asks {
		w.held.q.Encode(b[at:])
		w.wasAsked(r)
	}
	b[event.DescriptionAt+21] = reason // end reason, byte 133 of the payload
	w.locate(b)
	w.emitted++
}

// encode lays out the part of an event that is not the description.
func (w *Worker) encode(b []byte, r *flow.Record, rev uint32, asks bool) {
	k := &w.told // not w.key: a flow may be told while another is being created
	r.Key(k)
	c := event.Counters{
		ID: r.ID(), Rev: rev, Worker: uint16(w.set.Worker), Flags: eventFlags(r),
		First: r.First(), Last: r.Last(), Client: k.A, Server: k.B, ClientPort: k.PortA, ServerPort: k.PortB,
		IPProto: k.Proto, IPVersion: k.Version, VLAN: k.VLAN, In: k.IfA, Out: k.IfB, Mark: r.Mark(),
		ClientPackets: r.PacketsA(), ServerPackets: r.PacketsB(), ClientBytes: r.BytesA(), ServerBytes: r.BytesB(),
	}
	if r.Has(flow.ClientIsB) {
		c.Client, c.Server, c.ClientPort, c.ServerPort = k.B, k.A, k.PortB, k.PortA
		c.ClientPackets, c.ServerPackets = c.ServerPackets, c.ClientPackets
		c.ClientBytes, c.ServerBytes = c.ServerBytes, c.ClientBytes
	}
	if asks {
		c.Flags |= event.FlagQuestion
	}
	c.Encode(b)
}

func eventFlags(r *flow.Record) (f uint16) {
	switch {
	case r.Has(flow.Final):
		f = event.FlagFinal
	case r.Has(flow.Classified):
		f = event.FlagMore
	}
	if r.Has(flow.Midstream) {
		f |= event.FlagMidstream
	}
	if r.Has(flow.Reinspected) {
		f |= event.FlagReinspected
	}
	if r.Accounted() {
		f |= event.FlagAccounted
	}
	return f
}

// end ends a flow. What it was, as far as its bytes told, is concluded first; a
// flow that waits for hints stays until they are certain.
func (w *Worker) end(slot uint32, r *flow.Record, reason event.EndReason) {
	w.table.Touch(slot)
	if r.State() == flow.Closing {
		reason = event.EndReason(r.Reason())
	}
	if x := w.inspect.get(slot); x != nil {
		w.finish(slot, r, x)
	} else if !r.Has(flow.Final | flow.Classified | flow.Follow | flow.Pending) {
		w.fresh(r, nil)
		w.guess(r)
		r.Set(flow.Final)
		w.hinted(slot, r, true)
	}
	if r.Has(flow.Pending) {
		w.detach(slot, r)
		r.SetReason(uint8(reason))
		return
	}
	w.publishEnd(slot, r, reason)
}

// endNow ends a flow without waiting for anything: its record is needed.
func (w *Worker) endNow(slot uint32, r *flow.Record, reason event.EndReason) {
	if r.State() == flow.Closing {
		reason = event.EndReason(r.Reason())
	}
	r.Clear(flow.Pending)
	w.inspect.end(slot)
	w.publishEnd(slot, r, reason)
}

func (w *Worker) publishEnd(slot uint32, r *flow.Record, reason event.EndReason) {
	w.detach(slot, r)
	w.emit(event.FlowEnd, r, uint8(reason))
	w.count(cEnded)
	w.table.Release(slot)
}
