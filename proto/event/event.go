// Package event is the layout of what dpid tells the world about flows: the
// payloads of the records in the event rings, and their JSON form.
//
// It holds layouts, accessors and formatting only. The ring header before a
// payload (length, type, sequence, time, CRC) belongs to shm/evtring. A payload
// comes from the process that parses hostile bytes: ParseFlow checks every length
// once, the accessors rely on it.
//
//	flow payload, little-endian, 144 bytes and a variable part
//	   0 u64 flow id            worker<<56 | slab epoch<<40 | counter
//	   8 u32 revision           grows with each event of the flow
//	  12 u16 worker
//	  14 u16 flags              Flag bits
//	  16 u64 first packet, ns   24 u64 last packet, ns
//	  32 [16] client address    48 [16] server address   (IPv4 as ::ffff:a.b.c.d)
//	  64 u16 client port        66 u16 server port
//	  68 u8  IP protocol        69 u8  IP version        70 u16 VLAN id
//	  72 u16 interface in       74 u16 interface out     76 u32 netfilter mark
//	  80 u64 packets from the client    88 u64 packets from the server
//	  96 u64 bytes from the client     104 u64 bytes from the server
//	 112 [6] client MAC        118 [6] server MAC
//	 124 u16 protocol id       126 u16 category id       128 u32 application id
//	 132 u8  confidence, 0..100
//	 133 u8  end reason        134 u8  source            135 u8  link (tunnel kind)
//	 136 u8 x 5 lengths of protocol, application, category, host name, evidence
//	 141 u8  places            142 u16 length of the attributes
//	 144 the five strings, then the attributes
//
// Bytes 112 to the end are the flow's description: dpid keeps them in the slab as
// they are. These constants are part of the format, do not change; new fields take
// reserved bytes or become attributes.
package event

import "fmt"

// Version is the version of the payload layout, stored in each ring record.
const Version = 1

// Type is the type of an event.
type Type uint16

// Types of events. Their numbers are part of the format.
const (
	FlowNew    Type = 1  // first packet of a flow
	FlowClass  Type = 2  // the flow is classified, for good unless FlagMore
	FlowUpdate Type = 3  // more metadata of a classified flow
	FlowEnd    Type = 4  // the flow is over; counters are final
	SnapBegin  Type = 5  // a snapshot for one consumer begins (Snapshot payload)
	SnapFlow   Type = 6  // a live flow, in a snapshot
	SnapEnd    Type = 7  // the snapshot is complete
	SnapAbort  Type = 8  // the snapshot was given up
	Epoch      Type = 9  // a worker attached; its flow table was adopted or is new
	LostInput  Type = 10 // capd lost packets before they reached the worker
	FlowStats  Type = 11 // counters of a living flow
	VerdictReq Type = 12 // a packet waits for a verdict on its flow (Question); else as FlowUpdate, but never shed
)

// String returns the name of the type as documentation and tools write it.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("TYPE_%d", uint16(t))
}

var typeNames = [...]string{
	FlowNew: "FLOW_NEW", FlowClass: "FLOW_CLASS", FlowUpdate: "FLOW_UPDATE", FlowEnd: "FLOW_END",
	SnapBegin: "SNAP_BEGIN", SnapFlow: "SNAP_FLOW", SnapEnd: "SNAP_END", SnapAbort: "SNAP_ABORT",
	Epoch: "EPOCH", LostInput: "LOST_INPUT", FlowStats: "FLOW_STATS", VerdictReq: "VERDICT_REQ",
}

// HasFlow reports whether the payload of type t is a flow payload.
func (t Type) HasFlow() bool {
	switch t {
	case FlowNew, FlowClass, FlowUpdate, FlowEnd, SnapFlow, FlowStats, VerdictReq:
		return true
	}
	return false
}

// Flags of a flow.
const (
	FlagFinal       = 1 << 0 // inspection is over
	FlagMore        = 1 << 1 // classified, more metadata may follow
	FlagMidstream   = 1 << 2 // the start of the flow was not seen
	FlagReinspected = 1 << 3 // inspection began again after a restart
	FlagIfPair      = 1 << 4 // interface in and out differ
	FlagAccounted   = 1 << 5 // packets and bytes are conntrack's: those that passed in the kernel are among them
	FlagQuestion    = 1 << 7 // a Question stands behind the flow
)

// EndReason says why a flow ended.
type EndReason uint8

// Reasons. Their numbers are part of the format.
const (
	EndNone     EndReason = iota
	EndFIN                // both sides closed
	EndRST                // a reset
	EndIdle               // no packet for the timeout of the flow's state
	EndActive             // lived longer than the active timeout
	EndEvicted            // the table was full and this flow was the least valuable
	EndShutdown           // the capture ended or the worker was told to stop
)

// String returns the reason as it stands in JSON.
func (r EndReason) String() string {
	if int(r) < len(endNames) {
		return endNames[r]
	}
	return "unknown"
}

var endNames = [...]string{"", "fin", "rst", "idle", "active", "evicted", "shutdown"}

// Source says where a flow's name came from, best first (the order of truth).
type Source uint8

// Sources. Their numbers are part of the format.
const (
	SourceNone    Source = iota
	SourceDPI            // the bytes of the flow themselves
	SourceName           // certificate, SNI, ALPN, Host
	SourceSession        // a session seen earlier
	SourceDNS            // a DNS answer the client got
	SourceNetwork        // an address list
	SourcePort           // a port number: a guess
)

// String returns the source as it stands in JSON.
func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "unknown"
}

var sourceNames = [...]string{"none", "dpi", "name", "session", "dns", "network", "port"}
