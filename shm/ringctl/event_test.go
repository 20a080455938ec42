package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"weir/proto/event"
	"weir/shm/evtring"
)

// TestEvents prints an event of each type, and what is none.
func TestEvents(t *testing.T) {
	t.Parallel()
	attached := event.Attached{Slab: 0xabc, Adopted: 3, Reinspected: 1}
	loss := event.Loss{Packets: 7, Bytes: 700}
	snap := event.Snapshot{Generation: 2, Request: 1, Count: 9, Consumer: "policyd"}
	a, l, s := make([]byte, event.AttachedSize), make([]byte, event.LossSize), make([]byte, event.SnapshotSize)
	attached.Encode(a)
	loss.Encode(l)
	snap.Encode(s)
	flow := flowPayload(0, 1)
	question := event.Question{ID: 8, Queue: 9, Generation: 10, Thread: 11}
	asks := append(bytes.Clone(flow), make([]byte, event.QuestionSize)...)
	asks[14] |= event.FlagQuestion
	question.Encode(asks[len(flow):])
	for _, tt := range []struct {
		typ        event.Type
		payload    []byte
		text, json string
	}{
		{event.FlowStats, flow, "tcp 10.0.0.1:1001 > 10.0.0.2:443 tls example www.example.org  3+2 packets, 300+200 bytes", `"client_port":1001`},
		{event.VerdictReq, asks, "3+2 packets, 300+200 bytes, packet 8 of queue 9 waits", `"question":{"packet":8,"queue":9,"generation":10,"thread":11}`},
		{event.Epoch, a, "worker attached: 3 flows adopted, 1 inspected again", `"slab":"0000000000000abc","adopted":3,"reinspected":1`},
		{event.LostInput, l, "7 packets of 700 bytes never reached the worker", `"packets":7,"bytes":700`},
		{event.SnapEnd, s, "for policyd, request 1, generation 2, 9 flows", `"consumer":"policyd","request":1,"generation":2,"flows":9`},
		{event.FlowNew, flow[:9], "unreadable: ", `"error":"`},
		{event.Epoch, a[:3], "3 bytes", `"error":"`},
		{event.LostInput, l[:3], "3 bytes", `"error":"`},
		{event.SnapAbort, s[:3], "3 bytes", `"error":"`},
		{event.Type(99), flow[:9], "TYPE_99     9 bytes", `"type":"TYPE_99"`},
	} {
		rec := evtring.Record{Type: uint16(tt.typ), Version: event.Version, Seq: 2<<40 | 5, TS: 1, Payload: tt.payload}
		if got := string(appendEvent(nil, rec)); !strings.Contains(got, tt.text) || !strings.HasPrefix(got, "5 ") {
			t.Errorf("%s prints %q, want %q in it", tt.typ, got, tt.text)
		}
		got := appendEventJSON(nil, rec, &event.Names{})
		var o struct {
			Number, Epoch uint64
			Type          string
		}
		if err := json.Unmarshal(got, &o); err != nil || o.Number != 5 || o.Epoch != 2 || o.Type != tt.typ.String() || !strings.Contains(string(got), tt.json) {
			t.Errorf("%s prints %s, %v, want %s in it", tt.typ, got, err, tt.json)
		}
	}
	for p, want := range map[uint8]string{1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "ip/132"} {
		if got := protocol(p); got != want {
			t.Errorf("protocol(%d) = %s, want %s", p, got, want)
		}
	}
}
