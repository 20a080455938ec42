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
//	 141 u8  reserved (0)      142 u16 length of the attributes
//	 144 the five strings, then the attributes
//
// Bytes 112 to the end are the flow's description: dpid keeps them in the slab as
// they are. These constants are part of the format, do not change; new fields take
// reserved bytes or become attributes.
package event

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

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
	VerdictReq Type = 12 // a final flow has a packet waiting for a verdict
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

// Sizes of the parts of a flow payload in bytes.
const (
	FixedSize       = 144
	DescriptionAt   = 112                          // the description begins here
	DescriptionSize = FixedSize - DescriptionAt    // its fixed part
	MaxAttrs        = 2048                         // longest attribute list
	MaxFlow         = FixedSize + 5*255 + MaxAttrs // longest flow payload
)

// Flow is a checked flow payload. It aliases the bytes given to ParseFlow.
type Flow []byte

// ParseFlow checks that b holds a whole flow payload and returns it. Bytes after
// it are ignored, so that a later version can add some.
func ParseFlow(b []byte) (Flow, error) {
	if len(b) < FixedSize {
		return nil, fmt.Errorf("flow event: %d bytes, want at least %d", len(b), FixedSize)
	}
	n := FixedSize + int(binary.LittleEndian.Uint16(b[142:]))
	for _, l := range b[136:141] {
		n += int(l)
	}
	if n > len(b) {
		return nil, fmt.Errorf("flow event: %d bytes, its lengths add up to %d", len(b), n)
	}
	return Flow(b[:n:n]), nil
}

// ID returns the flow id: worker, slab epoch, counter.
func (f Flow) ID() uint64 { return binary.LittleEndian.Uint64(f[0:]) }

// Rev returns the revision: of two events of a flow the higher one is newer.
func (f Flow) Rev() uint32 { return binary.LittleEndian.Uint32(f[8:]) }

// Worker returns the number of the worker that owns the flow.
func (f Flow) Worker() uint16 { return binary.LittleEndian.Uint16(f[12:]) }

// Flags returns the Flag bits.
func (f Flow) Flags() uint16 { return binary.LittleEndian.Uint16(f[14:]) }

// First returns the time of the first packet in ns since the epoch.
func (f Flow) First() uint64 { return binary.LittleEndian.Uint64(f[16:]) }

// Last returns the time of the last packet in ns since the epoch.
func (f Flow) Last() uint64 { return binary.LittleEndian.Uint64(f[24:]) }

// ClientAddr returns the client's address, IPv4 unmapped.
func (f Flow) ClientAddr() netip.Addr { return f.addr(32) }

// ServerAddr returns the server's address, IPv4 unmapped.
func (f Flow) ServerAddr() netip.Addr { return f.addr(48) }

func (f Flow) addr(off int) netip.Addr {
	a := netip.AddrFrom16([16]byte(f[off : off+16]))
	if f[69] == 4 {
		return a.Unmap()
	}
	return a
}

// ClientPort returns the client's port.
func (f Flow) ClientPort() uint16 { return binary.LittleEndian.Uint16(f[64:]) }

// ServerPort returns the server's port.
func (f Flow) ServerPort() uint16 { return binary.LittleEndian.Uint16(f[66:]) }

// IPProto returns the IP protocol number.
func (f Flow) IPProto() uint8 { return f[68] }

// IPVersion returns 4 or 6.
func (f Flow) IPVersion() uint8 { return f[69] }

// VLAN returns the VLAN id, 0 without one.
func (f Flow) VLAN() uint16 { return binary.LittleEndian.Uint16(f[70:]) }

// In returns the interface table index of the flow (of the pair, the lower).
func (f Flow) In() uint16 { return binary.LittleEndian.Uint16(f[72:]) }

// Out returns the other interface of the pair.
func (f Flow) Out() uint16 { return binary.LittleEndian.Uint16(f[74:]) }

// Mark returns the netfilter mark of the first packet.
func (f Flow) Mark() uint32 { return binary.LittleEndian.Uint32(f[76:]) }

// ClientPackets returns how many packets the client sent.
func (f Flow) ClientPackets() uint64 { return binary.LittleEndian.Uint64(f[80:]) }

// ServerPackets returns how many packets the server sent.
func (f Flow) ServerPackets() uint64 { return binary.LittleEndian.Uint64(f[88:]) }

// ClientBytes returns the frame bytes from the client.
func (f Flow) ClientBytes() uint64 { return binary.LittleEndian.Uint64(f[96:]) }

// ServerBytes returns the frame bytes from the server.
func (f Flow) ServerBytes() uint64 { return binary.LittleEndian.Uint64(f[104:]) }

// ClientMAC returns the client's Ethernet address, zero when unknown.
func (f Flow) ClientMAC() [6]byte { return [6]byte(f[112:118]) }

// ServerMAC returns the server's Ethernet address, zero when unknown.
func (f Flow) ServerMAC() [6]byte { return [6]byte(f[118:124]) }

// ProtocolID returns the stable id of the protocol, 0 when unknown.
func (f Flow) ProtocolID() uint16 { return binary.LittleEndian.Uint16(f[124:]) }

// CategoryID returns the stable id of the category, 0 when unknown.
func (f Flow) CategoryID() uint16 { return binary.LittleEndian.Uint16(f[126:]) }

// ApplicationID returns the stable id of the application, 0 when unknown.
func (f Flow) ApplicationID() uint32 { return binary.LittleEndian.Uint32(f[128:]) }

// Confidence returns how sure the classification is, 0 to 100.
func (f Flow) Confidence() uint8 { return f[132] }

// EndReason returns why the flow ended, EndNone while it lives.
func (f Flow) EndReason() EndReason { return EndReason(f[133]) }

// Source returns what the classification rests on.
func (f Flow) Source() Source { return Source(f[134]) }

// Link returns the tunnel kind (pkt.LinkName), 0 for none.
func (f Flow) Link() uint8 { return f[135] }

// Protocol returns the protocol's name, empty when unknown.
func (f Flow) Protocol() []byte { return f.str(0) }

// Application returns the application's name, empty when unknown.
func (f Flow) Application() []byte { return f.str(1) }

// Category returns the category's name, empty when unknown.
func (f Flow) Category() []byte { return f.str(2) }

// Host returns the host name, empty when unknown.
func (f Flow) Host() []byte { return f.str(3) }

// Evidence returns what decided, for people: dissector rule, catalogue entry.
func (f Flow) Evidence() []byte { return f.str(4) }

func (f Flow) str(i int) []byte {
	off := FixedSize
	for _, l := range f[136 : 136+i] {
		off += int(l)
	}
	end := off + int(f[136+i])
	return f[off:end:end]
}

// Attrs returns the attribute list; see NextAttr.
func (f Flow) Attrs() []byte { return f[len(f)-int(binary.LittleEndian.Uint16(f[142:])):] }

// Counters are the parts of a flow payload that change with every packet or event.
type Counters struct {
	ID                           uint64
	Rev                          uint32
	Worker, Flags                uint16
	First, Last                  uint64
	Client, Server               [16]byte
	ClientPort, ServerPort       uint16
	IPProto, IPVersion           uint8
	VLAN, In, Out                uint16
	Mark                         uint32
	ClientPackets, ServerPackets uint64
	ClientBytes, ServerBytes     uint64
}

// Encode lays c out in bytes 0 to DescriptionAt of b.
// Precondition: len(b) >= DescriptionAt.
func (c *Counters) Encode(b []byte) {
	b = b[:DescriptionAt:DescriptionAt]
	le := binary.LittleEndian
	le.PutUint64(b[0:], c.ID)
	le.PutUint32(b[8:], c.Rev)
	le.PutUint16(b[12:], c.Worker)
	le.PutUint16(b[14:], c.Flags)
	le.PutUint64(b[16:], c.First)
	le.PutUint64(b[24:], c.Last)
	copy(b[32:48], c.Client[:])
	copy(b[48:64], c.Server[:])
	le.PutUint16(b[64:], c.ClientPort)
	le.PutUint16(b[66:], c.ServerPort)
	b[68], b[69] = c.IPProto, c.IPVersion
	le.PutUint16(b[70:], c.VLAN)
	le.PutUint16(b[72:], c.In)
	le.PutUint16(b[74:], c.Out)
	le.PutUint32(b[76:], c.Mark)
	le.PutUint64(b[80:], c.ClientPackets)
	le.PutUint64(b[88:], c.ServerPackets)
	le.PutUint64(b[96:], c.ClientBytes)
	le.PutUint64(b[104:], c.ServerBytes)
}

// Description is the part of a flow payload that inspection finds out. Strings
// longer than 255 bytes and attributes beyond MaxAttrs are cut.
type Description struct {
	ClientMAC, ServerMAC [6]byte
	ProtocolID           uint16
	CategoryID           uint16
	ApplicationID        uint32
	Confidence           uint8
	End                  EndReason
	Source               Source
	Link                 uint8
	Protocol             string
	Application          string
	Category             string
	Host, Evidence       []byte
	Attrs                []byte // as AppendAttr made them
}

// Append appends the description, bytes 112 to the end of a flow payload, to dst.
// It does not allocate when dst has room for MaxFlow - DescriptionAt bytes.
func (d *Description) Append(dst []byte) []byte {
	var f [DescriptionSize]byte
	b := f[:]
	le := binary.LittleEndian
	copy(b[0:], d.ClientMAC[:])
	copy(b[6:], d.ServerMAC[:])
	le.PutUint16(b[12:], d.ProtocolID)
	le.PutUint16(b[14:], d.CategoryID)
	le.PutUint32(b[16:], d.ApplicationID)
	b[20], b[21], b[22], b[23] = d.Confidence, uint8(d.End), uint8(d.Source), d.Link
	p, a, c := cut(d.Protocol), cut(d.Application), cut(d.Category)
	h, e := d.Host[:min(len(d.Host), 255)], d.Evidence[:min(len(d.Evidence), 255)]
	b[24], b[25], b[26], b[27], b[28] = uint8(len(p)), uint8(len(a)), uint8(len(c)), uint8(len(h)), uint8(len(e))
	attrs := d.Attrs
	if len(attrs) > MaxAttrs {
		attrs = nil // never half an attribute
	}
	le.PutUint16(b[30:], uint16(len(attrs)))
	dst = append(dst, b...)
	dst = append(dst, p...)
	dst = append(dst, a...)
	dst = append(dst, c...)
	dst = append(dst, h...)
	dst = append(dst, e...)
	return append(dst, attrs...)
}

func cut(s string) string { return s[:min(len(s), 255)] }

// Snapshot is the payload of SnapBegin, SnapEnd and SnapAbort, 64 bytes:
// u32 generation, u32 request, u64 count of flows, 48 bytes consumer name.
type Snapshot struct {
	Generation, Request uint32
	Count               uint64
	Consumer            string
}

// SnapshotSize is the length in bytes of an encoded Snapshot.
const SnapshotSize = 64

// Encode lays s out in b. Precondition: len(b) >= SnapshotSize.
func (s *Snapshot) Encode(b []byte) {
	b = b[:SnapshotSize:SnapshotSize]
	binary.LittleEndian.PutUint32(b[0:], s.Generation)
	binary.LittleEndian.PutUint32(b[4:], s.Request)
	binary.LittleEndian.PutUint64(b[8:], s.Count)
	clear(b[16:])
	copy(b[16:], s.Consumer)
}

// ParseSnapshot is the inverse of Encode.
func ParseSnapshot(b []byte) (s Snapshot, err error) {
	if len(b) < SnapshotSize {
		return s, fmt.Errorf("snapshot event: %d bytes, want %d", len(b), SnapshotSize)
	}
	s.Generation = binary.LittleEndian.Uint32(b[0:])
	s.Request = binary.LittleEndian.Uint32(b[4:])
	s.Count = binary.LittleEndian.Uint64(b[8:])
	name := b[16:SnapshotSize]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	s.Consumer = string(name)
	return s, nil
}

// Loss is the payload of LostInput, 16 bytes: u64 packets, u64 bytes.
type Loss struct{ Packets, Bytes uint64 }

// LossSize is the length in bytes of an encoded Loss.
const LossSize = 16

// Encode lays l out in b. Precondition: len(b) >= LossSize.
func (l *Loss) Encode(b []byte) {
	binary.LittleEndian.PutUint64(b[0:8], l.Packets)
	binary.LittleEndian.PutUint64(b[8:16], l.Bytes)
}

// ParseLoss is the inverse of Encode.
func ParseLoss(b []byte) (l Loss, err error) {
	if len(b) < LossSize {
		return l, fmt.Errorf("loss event: %d bytes, want %d", len(b), LossSize)
	}
	l.Packets = binary.LittleEndian.Uint64(b[0:8])
	l.Bytes = binary.LittleEndian.Uint64(b[8:16])
	return l, nil
}

// Attached is the payload of Epoch, 16 bytes: u64 slab id, u32 flows adopted,
// u32 flows whose inspection begins again.
type Attached struct {
	Slab                 uint64
	Adopted, Reinspected uint32
}

// AttachedSize is the length in bytes of an encoded Attached.
const AttachedSize = 16

// Encode lays a out in b. Precondition: len(b) >= AttachedSize.
func (a *Attached) Encode(b []byte) {
	binary.LittleEndian.PutUint64(b[0:8], a.Slab)
	binary.LittleEndian.PutUint32(b[8:12], a.Adopted)
	binary.LittleEndian.PutUint32(b[12:16], a.Reinspected)
}

// ParseAttached is the inverse of Encode.
func ParseAttached(b []byte) (a Attached, err error) {
	if len(b) < AttachedSize {
		return a, fmt.Errorf("epoch event: %d bytes, want %d", len(b), AttachedSize)
	}
	a.Slab = binary.LittleEndian.Uint64(b[0:8])
	a.Adopted = binary.LittleEndian.Uint32(b[8:12])
	a.Reinspected = binary.LittleEndian.Uint32(b[12:16])
	return a, nil
}
