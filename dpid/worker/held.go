package worker

import (
	"fmt"
	"time"

	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/pkt"
	"weir/proto/verdict"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// Inline, capd holds packets until somebody answers for them (pkt.FlagNFQ). For each
// of them the worker does one of three things: it asks policyd, by a question behind
// the flow's next event; it says go on, to capd itself; or it says nothing.
//
// The invariant: "go on" lets all packets of the flow up to the one it names go, so it
// is never said while an earlier one waits for something: for the rest of a flight
// that can name the flow, for the bytes before it, or for policyd.
type held struct {
	rings []*pktring.Producer // of verdicts, by capture thread; none: nobody waits
	hold  uint64              // ns after which capd waits no more
	asked []question          // by slot of the flow table
	peek  *dissect.Result     // of a look that changes nothing

	// The packet at hand.
	waits  bool
	d      pkt.Descriptor
	q      event.Question
	thread int    // its capture thread
	flow   uint64 // id of its flow, 0 while there is none
	slot   uint32
	ended  bool // it is the last of a flight
	repeat bool // the question tells nothing that policyd was not told
	done   bool // policyd was asked
}

// question is when policyd was last told something new about a flow and asked: the
// time in ns, 0 = never, and in its lowest bit whether that was the flow's final
// classification. It is private: after a restart policyd is asked again.
type question uint64

// renew is after how long policyd is asked again about a flow that may still change
// but has not: its answer to that, which is not final, is known to nobody.
const renew = uint64(time.Second)

func (h *held) init(rings []*pktring.Producer, hold time.Duration, flows int) {
	if hold <= 0 || len(rings) == 0 {
		return
	}
	h.rings, h.hold = rings, uint64(hold)
	h.asked, h.peek = make([]question, flows), new(dissect.Result)
}

// take begins with a packet.
func (h *held) take(thread int, d pkt.Descriptor) {
	if h.rings == nil || d.Flags()&pkt.FlagNFQ == 0 || thread >= len(h.rings) {
		return
	}
	h.waits, h.d, h.thread, h.flow = true, d, thread, 0
	h.ended, h.repeat, h.done = false, false, false
	h.q = event.Question{
		HashLo: d.HashLo(), HashHi: d.HashHi(), ID: d.NFQID(), Queue: d.Queue(), Generation: d.Generation(),
		Thread: uint16(thread),
	}
}

// met tells the flow of the packet at hand.
func (h *held) met(slot uint32, r *flow.Record) {
	if h.waits {
		h.slot, h.flow = slot, r.ID()
	}
}

// begun tells that a slot has a new flow.
func (h *held) begun(slot uint32) {
	if h.asked != nil {
		h.asked[slot] = 0
	}
}

// pending reports whether policyd's answer to q may still come.
func (h *held) pending(q question, now uint64) bool {
	return q != 0 && now < uint64(q)+h.hold
}

// asks reports whether an event of type t about r is to carry the question of the
// packet at hand.
func (w *Worker) asks(t event.Type, r *flow.Record) bool {
	h := &w.held
	if !h.waits || h.done || r.ID() != h.flow {
		return false
	}
	switch t {
	case event.FlowClass, event.FlowUpdate, event.VerdictReq:
		return r.Has(flow.Final) || !w.unfinished(h.slot)
	}
	return false
}

// wasAsked notes that the question of the packet at hand was put.
func (w *Worker) wasAsked(r *flow.Record) {
	h := &w.held
	if h.done = true; h.repeat {
		return
	}
	h.asked[h.slot] = question(w.ts &^ 1)
	if r.Has(flow.Final) {
		h.asked[h.slot] |= 1
	}
}

// unfinished reports whether packets of a flow wait for later ones: its dissector is
// in the middle of a flight, or there is a hole in front of bytes that came.
func (w *Worker) unfinished(slot uint32) bool {
	x := w.inspect.get(slot)
	return x != nil && (x.flight || x.stream[client].Hole() || x.stream[server].Hole())
}

// answer does what is due for the packet at hand, when it waits.
func (w *Worker) answer() {
	h := &w.held
	if !h.waits {
		return
	}
	switch {
	case h.done:
	case h.flow == 0: // not parsed, without a flow, left out
		w.goOn()
	case w.unfinished(h.slot):
		w.withhold()
	default:
		w.judge(w.table.Record(h.slot), h.asked[h.slot])
	}
	if h.done {
		w.count(cAsked)
	}
	h.waits = false
}

// judge decides about a packet that brought nothing new, by what policyd was asked
// last. It remembers its answer to a final question, and only that: all packets that
// are held have it, while of those of a flow that may still change each needs one.
func (w *Worker) judge(r *flow.Record, last question) {
	h := &w.held
	pending := h.pending(last, w.ts)
	switch {
	case r.Has(flow.Final):
		if pending && last&1 != 0 {
			w.withhold()
			return
		}
	case !r.Has(flow.Classified):
		w.goOn()
		return
	case last == 0 || h.ended:
	case pending:
		h.repeat = true
	case w.ts < uint64(last)+renew:
		w.goOn()
		return
	}
	w.table.Touch(h.slot)
	w.emit(event.VerdictReq, r, 0)
}

// goOn lets the packet at hand go, and all of its flow before it.
func (w *Worker) goOn() {
	h := &w.held
	var b [verdict.Size]byte
	f := verdict.GoOn(h.d)
	f.Encode(b[:])
	if !h.rings[h.thread].Put(b[:], nil, nil) {
		w.count(cUnanswered) // capd does not read: it waits no more, either
		return
	}
	w.count(cGoneOn)
}

// withhold says nothing. A session remembers what to ask about, should it be cut short.
func (w *Worker) withhold() {
	w.count(cWithheld)
	if x := w.inspect.get(w.held.slot); x != nil {
		x.held, x.holds = w.held.q, true
	}
}

// cutShort ends the inspection of a flow that is not that of the packet at hand. Those
// of its packets that wait do so no more in vain.
func (w *Worker) cutShort(x *session) {
	r := w.table.Touch(x.slot)
	now := w.held
	w.held.waits, w.held.done, w.held.repeat = x.holds, false, false
	w.held.q, w.held.slot, w.held.flow = x.held, x.slot, r.ID()
	if w.finish(x.slot, r, x); w.held.waits && !w.held.done {
		w.emit(event.VerdictReq, r, 0)
	}
	w.held = now
}

// publish shows the answers of a transaction to capd.
func (h *held) publish(thread int) {
	if h.rings != nil && thread < len(h.rings) {
		h.rings[thread].Publish()
	}
}

// housekeeping beats the hearts: capd does not wait for a worker without one.
func (h *held) housekeeping() error {
	for i, p := range h.rings {
		if _, err := p.Housekeeping(); err != nil {
			return fmt.Errorf("%w: verdict ring for capture thread %d: %w", layout.ErrRingLost, i, err)
		}
	}
	return nil
}
