// Package verdict is the layout of the answers that capd waits for in inline mode:
// 64-byte records of the verdict rings, from each dpid worker and from policyd to
// each capture thread.
//
// It holds layout and accessors only. The rings are packet rings (shm/pktring)
// whose records have no payload; the bytes that the ring itself reads (payload
// position at 24, captured length at 36, flags at 58) are zero here. Little-endian;
// part of the format, do not change:
//
//	 0 u64 time of the packet that was asked about, ns since the epoch
//	 8 u64 hash low        16 u64 hash high     (of the flow: flowkey.Hash)
//	32 u32 our bits of the packet's mark (mark.Layout.Encode), for KindFlow
//	48 u32 packet id       52 u16 queue         54 u16 capd's generation
//	61 u8  kind            62 u8  mark.Verdict, for KindFlow
//
// An answer names the packet it answers in all of {generation, queue, id, hash}, so
// that one to an earlier capd, or about an earlier flow, is told apart.
package verdict

import (
	"encoding/binary"

	"weir/proto/event"
	"weir/proto/mark"
	"weir/proto/pkt"
)

// Size is the length in bytes of a record.
const Size = pkt.DescSize

// RingRecords is how many answers a ring has room for: more than a queue holds packets
// by default, and they are of use for some milliseconds.
const RingRecords = 4096

// Kind says what a record answers. The numbers are not those of packets' kinds.
type Kind uint8

// Kinds of records. Their values are part of the format.
const (
	// KindGoOn is dpid's: nothing in the flow's packets up to this one can name it,
	// and none of them is part of something unfinished. They may go.
	KindGoOn Kind = 0x80

	// KindFlow is policyd's: all packets of the flow that are held, and those that
	// come, are treated so. Where the mark's bits say final, nobody is asked again.
	KindFlow Kind = 0x81
)

// Record is a view of 64 bytes.
// Precondition of every method: len(r) >= Size.
type Record []byte

// TS returns the time of the packet asked about in ns since the epoch.
func (r Record) TS() uint64 { return binary.LittleEndian.Uint64(r[0:]) }

// HashLo returns the low half of the flow hash.
func (r Record) HashLo() uint64 { return binary.LittleEndian.Uint64(r[8:]) }

// HashHi returns the high half of the flow hash.
func (r Record) HashHi() uint64 { return binary.LittleEndian.Uint64(r[16:]) }

// Bits returns our bits of the mark, for mark.Layout.Merge. Valid with KindFlow.
func (r Record) Bits() uint32 { return binary.LittleEndian.Uint32(r[32:]) }

// ID returns the NFQUEUE packet id.
func (r Record) ID() uint32 { return binary.LittleEndian.Uint32(r[48:]) }

// Queue returns the NFQUEUE number.
func (r Record) Queue() uint16 { return binary.LittleEndian.Uint16(r[52:]) }

// Generation returns that of the capd that asked.
func (r Record) Generation() uint16 { return binary.LittleEndian.Uint16(r[54:]) }

// Kind returns what the record answers.
func (r Record) Kind() Kind { return Kind(r[61]) }

// Verdict returns what becomes of the flow's packets. Valid with KindFlow.
func (r Record) Verdict() mark.Verdict { return mark.Verdict(r[62]) }

// Fields are the fields of a record before they are laid out.
type Fields struct {
	TS             uint64
	HashLo, HashHi uint64
	Bits           uint32
	ID             uint32
	Queue          uint16
	Generation     uint16
	Kind           Kind
	Verdict        mark.Verdict
}

// GoOn returns the answer "go on" to the packet of d. Precondition: d has pkt.FlagNFQ.
func GoOn(d pkt.Descriptor) Fields {
	return Fields{
		TS: d.TS(), HashLo: d.HashLo(), HashHi: d.HashHi(),
		ID: d.NFQID(), Queue: d.Queue(), Generation: d.Generation(), Kind: KindGoOn,
	}
}

// Flow returns the answer to a question about a flow.
func Flow(q *event.Question, ts uint64, v mark.Verdict, bits uint32) Fields {
	return Fields{
		TS: ts, HashLo: q.HashLo, HashHi: q.HashHi, Bits: bits,
		ID: q.ID, Queue: q.Queue, Generation: q.Generation, Kind: KindFlow, Verdict: v,
	}
}

// Encode lays f out in b. Precondition: len(b) >= Size.
func (f *Fields) Encode(b []byte) {
	b = b[:Size:Size]
	clear(b)
	binary.LittleEndian.PutUint64(b[0:], f.TS)
	binary.LittleEndian.PutUint64(b[8:], f.HashLo)
	binary.LittleEndian.PutUint64(b[16:], f.HashHi)
	binary.LittleEndian.PutUint32(b[32:], f.Bits)
	binary.LittleEndian.PutUint32(b[48:], f.ID)
	binary.LittleEndian.PutUint16(b[52:], f.Queue)
	binary.LittleEndian.PutUint16(b[54:], f.Generation)
	b[61], b[62] = uint8(f.Kind), uint8(f.Verdict)
}
