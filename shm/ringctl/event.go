package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"weir/proto/event"
	"weir/shm/evtring"
)

// appendEventJSON appends an event as one JSON object: what the ring says of it,
// and its payload under a key of its own.
func appendEventJSON(b []byte, rec evtring.Record, names *event.Names) []byte {
	t := event.Type(rec.Type)
	b = fmt.Appendf(b, `{"number":%d,"epoch":%d,"type":"%s","time":%q,"low_priority":%t,"snapshot":%t`,
		evtring.Counter(rec.Seq), evtring.Epoch(rec.Seq), t, stamp(rec.TS),
		rec.Flags&evtring.FlagLow != 0, rec.Flags&evtring.FlagSnapshot != 0)
	var err error
	switch {
	case t.HasFlow():
		var f event.Flow
		if f, err = event.ParseFlow(rec.Payload); err == nil {
			b = fmt.Appendf(b, `,"revision":%d,"flow":`, f.Rev())
			b = event.AppendJSON(b, f, names)
			if q, asks := event.ParseQuestion(rec.Payload, f); asks {
				b = fmt.Appendf(b, `,"question":{"packet":%d,"queue":%d,"generation":%d,"thread":%d}`, q.ID, q.Queue, q.Generation, q.Thread)
			}
		}
	case t == event.Epoch:
		var a event.Attached
		if a, err = event.ParseAttached(rec.Payload); err == nil {
			b = fmt.Appendf(b, `,"slab":"%016x","adopted":%d,"reinspected":%d`, a.Slab, a.Adopted, a.Reinspected)
		}
	case t == event.LostInput:
		var l event.Loss
		if l, err = event.ParseLoss(rec.Payload); err == nil {
			b = fmt.Appendf(b, `,"packets":%d,"bytes":%d`, l.Packets, l.Bytes)
		}
	case t >= event.SnapBegin && t <= event.SnapAbort:
		var s event.Snapshot
		if s, err = event.ParseSnapshot(rec.Payload); err == nil {
			b = fmt.Appendf(b, `,"consumer":%s,"request":%d,"generation":%d,"flows":%d`, quote(s.Consumer), s.Request, s.Generation, s.Count)
		}
	}
	if err != nil {
		b = fmt.Appendf(b, `,"error":%s`, quote(err.Error()))
	}
	return append(b, '}')
}

// appendEvent appends an event as a line for people.
func appendEvent(b []byte, rec evtring.Record) []byte {
	t := event.Type(rec.Type)
	b = fmt.Appendf(b, "%-6d %s  %-11s ", evtring.Counter(rec.Seq), stamp(rec.TS), t)
	switch {
	case t.HasFlow():
		f, err := event.ParseFlow(rec.Payload)
		if err != nil {
			return fmt.Appendf(b, "unreadable: %v", err)
		}
		b = appendFlow(b, f)
		if q, asks := event.ParseQuestion(rec.Payload, f); asks {
			b = fmt.Appendf(b, ", packet %d of queue %d waits", q.ID, q.Queue)
		}
		return b
	case t == event.Epoch:
		if a, err := event.ParseAttached(rec.Payload); err == nil {
			return fmt.Appendf(b, "worker attached: %d flows adopted, %d inspected again", a.Adopted, a.Reinspected)
		}
	case t == event.LostInput:
		if l, err := event.ParseLoss(rec.Payload); err == nil {
			return fmt.Appendf(b, "%d packets of %d bytes never reached the worker", l.Packets, l.Bytes)
		}
	case t >= event.SnapBegin && t <= event.SnapAbort:
		if s, err := event.ParseSnapshot(rec.Payload); err == nil {
			return fmt.Appendf(b, "for %s, request %d, generation %d, %d flows", s.Consumer, s.Request, s.Generation, s.Count)
		}
	}
	return fmt.Appendf(b, "%d bytes", len(rec.Payload))
}

func appendFlow(b []byte, f event.Flow) []byte {
	b = event.AppendFlowID(b, f.ID())
	b = fmt.Appendf(b, " %s %s > %s", protocol(f.IPProto()), netip.AddrPortFrom(f.ClientAddr(), f.ClientPort()),
		netip.AddrPortFrom(f.ServerAddr(), f.ServerPort()))
	for _, s := range [][]byte{f.Protocol(), f.Application(), f.Category(), f.Host()} {
		if len(s) > 0 {
			b = fmt.Appendf(b, " %s", s)
		}
	}
	b = fmt.Appendf(b, "  %d+%d packets, %d+%d bytes", f.ClientPackets(), f.ServerPackets(), f.ClientBytes(), f.ServerBytes())
	if f.EndReason() != event.EndNone {
		b = fmt.Appendf(b, ", end %s", f.EndReason())
	}
	return b
}

func protocol(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "icmpv6"
	}
	return "ip/" + strconv.Itoa(int(p))
}

func stamp(ns uint64) string {
	return time.Unix(0, int64(ns)).UTC().Format("2006-01-02T15:04:05.000000000Z")
}

// quote writes a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""` // strings always can be written
	}
	return string(b)
}
