package worker

import (
	"weir/dpid/flow"
	"weir/proto/pkt"
)

// tcp follows the connection: answer, close, reset.
func (w *Worker) tcp(slot uint32, r *flow.Record, d pkt.Descriptor, reverse bool) {
	f := d.TCPFlags()
	if r.State() == flow.Probation && (r.Has(flow.Replied) || d.L4Len() > 0) {
		w.table.Promote(slot, r)
		if f&(tcpSYN|tcpACK) == tcpSYN|tcpACK && !r.Has(flow.Final) {
			w.handshake(slot, r, d)
		}
	}
	if f&tcpSYN != 0 {
		r.Set(flow.SynSeen)
		r.Clear(flow.Midstream)
	}
	if f&(tcpFIN|tcpRST) == 0 || r.State() != flow.Alive && r.State() != flow.Probation {
		return
	}
	if f&tcpFIN != 0 {
		if reverse {
			r.Set(flow.FinB)
		} else {
			r.Set(flow.FinA)
		}
	}
	if f&tcpRST != 0 || r.Flags()&(flow.FinA|flow.FinB) == flow.FinA|flow.FinB {
		w.table.Promote(slot, r)
		r.SetState(flow.Closing)
		r.SetReason(closeReason(f))
		w.table.Rearm(slot, r)
	}
}
