// Package flow is the flow table of one worker: a slab of fixed-size records in
// shared memory, so that a worker killed at any point is restarted onto the same
// flows, and what is derived from the slab in private memory: index, timing wheel,
// probation list, free lists.
//
// One goroutine owns a Table, so nothing is locked. Every change of the slab
// happens inside a transaction (tx.go): a batch of packets is either wholly in the
// slab or, after a kill, wholly undone, so that a packet that is read again counts
// once. The package knows nothing of rings, events or dissectors.
//
// A record is 128 bytes, two cache lines; the packets of a final flow touch the
// first only. Little-endian; part of the slab format, do not change:
//
//	 0 u8  state            1 u8  end reason*    2 u16 flags     4 u32 revision
//	 8 u64 hash low        16 u64 hash high     24 u64 last packet, ns
//	32 u32 packets A       36 u32 packets B     (low halves; A and B are the key's endpoints)
//	40 u64 bytes A         48 u64 bytes B       (48 bits; above them the high 16 bits of the packets)
//	56 u32 first chunk+1   60 u32 transaction that saved this line last
//	64 [44] key           108 u32 netfilter mark
//	112 u64 first packet, ns                   120 u64 flow id
//
// The highest bit of the end reason says that conntrack counts: see Total.
package flow

import (
	"encoding/binary"

	"weir/proto/flowkey"
)

// RecordSize is the size in bytes of a flow record.
const RecordSize = 128

// hotSize is the part of a record that a packet of a final flow changes.
const hotSize = 64

// State is where a flow is in its life.
type State uint8

// States. Their numbers are part of the slab format.
const (
	Free      State = iota
	Probation       // TCP: nothing but SYNs of one side
	Alive           // neither of the others
	Closing         // TCP: FIN of both sides or a reset; waits for stragglers
	Ended           // over; waits until its end is published
)

// Flags of a record. Their numbers are part of the slab format.
const (
	ClientIsB   = 1 << 0  // endpoint B is the client
	SynSeen     = 1 << 1  // the start of the TCP connection was seen
	FinA        = 1 << 2  // endpoint A sent a FIN
	FinB        = 1 << 3  // endpoint B sent a FIN
	Replied     = 1 << 4  // the server has sent something
	Final       = 1 << 5  // inspection is over: packets are only counted
	Classified  = 1 << 6  // a FLOW_CLASS was published
	Announced   = 1 << 7  // a FLOW_NEW or FLOW_CLASS was published
	Reinspected = 1 << 8  // inspection began again after a restart
	Pending     = 1 << 9  // waits for the other workers' hints before it may be told
	Follow      = 1 << 10 // classified, but later packets matter: never Final
	Answered    = 1 << 11 // DNS: the answer came
	GapA        = 1 << 12 // packets of this flow were lost before they reached us
	Inspecting  = 1 << 13 // a private inspection context exists, or did before a kill
	Midstream   = 1 << 14 // TCP: the start was not seen
	Dirty       = 1 << 15 // described anew since the last event
)

const mask48 = 1<<48 - 1

// Record is one flow. The first line changes with every packet, the second only
// when the flow begins. Callers change a record only between Table.Touch (or
// TouchAll) and the end of the transaction.
type Record [RecordSize]byte

// State returns the flow's state.
func (r *Record) State() State { return State(r[0]) }

// SetState sets the flow's state.
func (r *Record) SetState(s State) { r[0] = uint8(s) }

// Reason returns the end reason (event.EndReason), 0 while the flow lives.
func (r *Record) Reason() uint8 { return r[1] &^ accounted }

// SetReason sets the end reason.
func (r *Record) SetReason(v uint8) { r[1] = r[1]&accounted | v&^accounted }

// Flags returns the flag bits.
func (r *Record) Flags() uint16 { return binary.LittleEndian.Uint16(r[2:]) }

// Has reports whether one of the flag bits in f is set.
func (r *Record) Has(f uint16) bool { return r.Flags()&f != 0 }

// Set sets the flag bits in f.
func (r *Record) Set(f uint16) { binary.LittleEndian.PutUint16(r[2:], r.Flags()|f) }

// Clear clears the flag bits in f.
func (r *Record) Clear(f uint16) { binary.LittleEndian.PutUint16(r[2:], r.Flags()&^f) }

// Rev returns the revision of the last event.
func (r *Record) Rev() uint32 { return binary.LittleEndian.Uint32(r[4:]) }

// NextRev adds one to the revision and returns it.
func (r *Record) NextRev() uint32 {
	v := r.Rev() + 1
	binary.LittleEndian.PutUint32(r[4:], v)
	return v
}

// HashLo returns the low half of the flow hash.
func (r *Record) HashLo() uint64 { return binary.LittleEndian.Uint64(r[8:]) }

// HashHi returns the high half of the flow hash.
func (r *Record) HashHi() uint64 { return binary.LittleEndian.Uint64(r[16:]) }

// Last returns the time of the last packet in ns since the epoch.
func (r *Record) Last() uint64 { return binary.LittleEndian.Uint64(r[24:]) }

// Count counts a packet of n bytes sent by endpoint B (reverse) or A at time ts.
// The time of the last packet never goes back.
func (r *Record) Count(reverse bool, n uint32, ts uint64) {
	r.Seen(ts)
	if r.Accounted() {
		return // conntrack has counted it too
	}
	p, b := r[32:36:36], r[40:48:48]
	if reverse {
		p, b = r[36:40:40], r[48:56:56]
	}
	packets := binary.LittleEndian.Uint32(p) + 1
	bytes := binary.LittleEndian.Uint64(b) + uint64(n)
	if packets == 0 {
		bytes += 1 << 48
	}
	binary.LittleEndian.PutUint32(p, packets)
	binary.LittleEndian.PutUint64(b, bytes)
}

// PacketsA returns how many packets endpoint A sent.
func (r *Record) PacketsA() uint64 {
	return uint64(binary.LittleEndian.Uint32(r[32:])) | binary.LittleEndian.Uint64(r[40:])>>48<<32
}

// PacketsB returns how many packets endpoint B sent.
func (r *Record) PacketsB() uint64 {
	return uint64(binary.LittleEndian.Uint32(r[36:])) | binary.LittleEndian.Uint64(r[48:])>>48<<32
}

// BytesA returns the frame bytes from endpoint A.
func (r *Record) BytesA() uint64 { return binary.LittleEndian.Uint64(r[40:]) & mask48 }

// BytesB returns the frame bytes from endpoint B.
func (r *Record) BytesB() uint64 { return binary.LittleEndian.Uint64(r[48:]) & mask48 }

func (r *Record) chunk() uint32     { return binary.LittleEndian.Uint32(r[56:]) }
func (r *Record) setChunk(c uint32) { binary.LittleEndian.PutUint32(r[56:], c) }
func (r *Record) stamp() uint32     { return binary.LittleEndian.Uint32(r[60:]) }
func (r *Record) setStamp(t uint32) { binary.LittleEndian.PutUint32(r[60:], t) }

// Key decodes the flow's key into k.
func (r *Record) Key(k *flowkey.Key) { k.Decode(r[64:108]) }

// IPProto returns the IP protocol number of the flow.
func (r *Record) IPProto() uint8 { return r[64+42] }

// Mark returns the netfilter mark of the first packet.
func (r *Record) Mark() uint32 { return binary.LittleEndian.Uint32(r[108:]) }

// First returns the time of the first packet in ns since the epoch.
func (r *Record) First() uint64 { return binary.LittleEndian.Uint64(r[112:]) }

// ID returns the flow id.
func (r *Record) ID() uint64 { return binary.LittleEndian.Uint64(r[120:]) }

// begin fills a free record.
func (r *Record) begin(k *flowkey.Key, lo, hi, id, ts uint64, mark uint32) {
	stamp := r.stamp()
	*r = Record{}
	r.setStamp(stamp)
	binary.LittleEndian.PutUint64(r[8:], lo)
	binary.LittleEndian.PutUint64(r[16:], hi)
	binary.LittleEndian.PutUint64(r[24:], ts)
	k.Encode(r[64:108])
	binary.LittleEndian.PutUint32(r[108:], mark)
	binary.LittleEndian.PutUint64(r[112:], ts)
	binary.LittleEndian.PutUint64(r[120:], id)
}
