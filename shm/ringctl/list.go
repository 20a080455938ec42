package main

import (
	"fmt"

	"weir/proto/pkt"
	"weir/shm/ringctl/look"
)

// descJSON is a line of dump -json without -pcapng.
type descJSON struct {
	Position uint64 `json:"position"`
	Unread   bool   `json:"unread"`
	Working  bool   `json:"in_work"`
	Kind     string `json:"kind"` // packet, lost, tick, end
	Time     string `json:"time"`
	Flow     string `json:"flow"` // hash of the flow
	Wire     uint32 `json:"wire_bytes"`
	Captured uint32 `json:"captured_bytes"`
	Payload  bool   `json:"payload"`
	IPProto  uint8  `json:"ip_protocol"`
	Lost     uint64 `json:"lost"` // packets, kind lost
}

// list prints the descriptors.
func (e *env) list(r *look.Ring, unread bool) error {
	var sum dumpJSON
	err := visit(r, wanted(unread), &sum, func(rec *record) error {
		d := rec.desc
		o := descJSON{
			Position: rec.pos, Unread: rec.unread, Working: rec.working, Kind: kindName(d.Kind()),
			Time: stamp(d.TS()),
		}
		switch d.Kind() {
		case pkt.KindPacket:
			o.Flow, o.Payload = fmt.Sprintf("%016x%016x", d.HashHi(), d.HashLo()), rec.payload != nil
			o.Wire, o.Captured, o.IPProto = d.WireLen(), d.CapLen(), d.IPProto()
		case pkt.KindLost:
			o.Lost = d.HashLo()
		}
		if e.json {
			return e.object(o)
		}
		state := yes(o.Working, "in work", yes(o.Unread, "unread", "read"))
		fmt.Fprintf(e.out, "%-8d %-7s %s %s", o.Position, state, o.Time, o.Kind)
		switch d.Kind() {
		case pkt.KindPacket:
			fmt.Fprintf(e.out, " proto %-3d %5d of %5d bytes%s  flow %s", o.IPProto, o.Captured, o.Wire, yes(o.Payload, "", ", no payload"), o.Flow[:16])
		case pkt.KindLost:
			fmt.Fprintf(e.out, " %d packets", o.Lost)
		}
		fmt.Fprintln(e.out)
		return nil
	})
	if err == nil && sum.Damaged > 0 {
		return fmt.Errorf("%s: %d records make no sense: see ringctl check", r.Name, sum.Damaged)
	}
	return err
}

func kindName(k pkt.Kind) string {
	switch k {
	case pkt.KindPacket:
		return "packet"
	case pkt.KindLost:
		return "lost"
	case pkt.KindAccount:
		return "account"
	case pkt.KindTick:
		return "tick"
	case pkt.KindEOF:
		return "end"
	}
	return fmt.Sprintf("kind%d", k)
}
