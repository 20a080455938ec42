package worker

import (
	"time"

	"weir/dpid/flow"
	"weir/proto/event"
)

// Timeouts are the times without a packet after which a flow ends.
type Timeouts struct {
	TCPEstablished, TCPClosing, TCPUnanswered, UDP, DNS, ICMP, Other, Active time.Duration
}

// Timeout classes.
const (
	classEstablished = iota
	classClosing
	classUnanswered
	classUDP
	classDNS
	classICMP
	classOther
	classes
)

func (w *Worker) timeouts(t Timeouts) { w.timeout, w.active = t.classes(), uint64(t.Active) }

func (t *Timeouts) classes() [classes]uint64 {
	return [classes]uint64{
		classEstablished: uint64(t.TCPEstablished), classClosing: uint64(t.TCPClosing),
		classUnanswered: uint64(t.TCPUnanswered), classUDP: uint64(t.UDP), classDNS: uint64(t.DNS),
		classICMP: uint64(t.ICMP), classOther: uint64(t.Other),
	}
}

// Deadline returns the function that tells the flow table when a flow's time is
// over: the last packet and the timeout of the flow's state.
func (t Timeouts) Deadline() func(*flow.Record) uint64 {
	c := t.classes()
	return func(r *flow.Record) uint64 { return r.Last() + c[classOf(r.IPProto(), r)] }
}

func (w *Worker) deadline(r *flow.Record) uint64 {
	return r.Last() + w.timeout[classOf(r.IPProto(), r)]
}

// classOf looks at the first line of a record only; whoever has a packet knows the
// protocol without the second.
func classOf(proto uint8, r *flow.Record) int {
	switch proto {
	case protoTCP:
		switch r.State() {
		case flow.Probation:
			return classUnanswered
		case flow.Closing:
			return classClosing
		}
		return classEstablished
	case protoUDP:
		if r.Has(flow.Answered) {
			return classDNS
		}
		return classUDP
	case protoICMP, protoICMPv6:
		return classICMP
	}
	return classOther
}

func closeReason(tcpFlags uint8) uint8 {
	if tcpFlags&tcpRST != 0 {
		return uint8(event.EndRST)
	}
	return uint8(event.EndFIN)
}
