// Package cursor is the file a consumer of a ring writes: how far it has read,
// what it is working on, whether it sleeps, what it asks for.
//
// It is not the reading itself (pktring, evtring). The consumer is the one
// writer; the producer maps the file read-only and believes none of it. A cursor
// belongs to one incarnation of one ring, by ring id: for another incarnation a
// new file is made. The whole persistent state is one 8-byte word, which cannot
// tear; all other words are hints and counters.
//
//	  0 static header (layout), Params[3] high half: kind of cursor
//	128 u64 packet: head, descriptors consumed; event: bytes applied and committed
//	136 u64 event: sequence number of the last event committed
//
//	packet cursor                                event cursor
//	256 u64 position+1 of the packet in work     256 u32 waiting
//	264 u32 times this position killed us        384 u32 snapshots asked for
//	268 u32 low half of that position+1          388 u32 reason of the last
//	384 u32 waiting                              392 u32 snapshots received
//
// waiting is 0 while the consumer is awake; else it sleeps and wants to be woken
// when so much (descriptors, bytes) lies before it.
//
//	512 owner line (layout)
//	640 u64 statistics, see the packages of the rings
//
// Part of the format, do not change.
package cursor

import (
	"os"
	"sync/atomic"

	"weir/shm/layout"
)

// Size of a cursor file in bytes.
const Size = layout.HeaderSize

// Offsets in a cursor file.
const (
	OffPosition = layout.OffHot // u64
	OffLastSeq  = 136           // u64, event

	OffInflight  = 256 // u64, packet
	OffTries     = 264 // u32, packet
	OffTriesPos  = 268 // u32, packet
	OffPktWait   = 384 // u32, packet
	OffEvtWait   = 256 // u32, event
	OffResyncReq = 384 // u32, event
	OffReason    = 388 // u32, event
	OffResyncAck = 392 // u32, event

	OffStats = 640
)

// Kind says what sort of ring a cursor belongs to.
type Kind uint32

// Kinds of cursors.
const (
	Packet Kind = 1
	Event  Kind = 2
)

// File is a mapped cursor file.
type File struct {
	*layout.Mapping
	// Position is the one word that counts. Pairs with the producer's check of
	// free space.
	Position *atomic.Uint64
	// Waiting is not 0 while the consumer sleeps on the ring's hot word. Pairs with
	// the producer's Publish: it stores the tail and then loads Waiting.
	Waiting *atomic.Uint32
}

// Open takes over the cursor file at path, or makes a new one when there is none
// for the ring called ringID. The error is layout.ErrOwned when another process
// has it.
func Open(path string, kind Kind, ringID uint64, name string, mode os.FileMode) (f *File, fresh bool, err error) {
	s := spec(kind, ringID)
	s.Name, s.Mode = name, mode
	m, fresh, err := layout.CreateOrOpen(path, s)
	if err != nil {
		return nil, false, err
	}
	return wrap(m, kind), fresh, nil
}

// Map maps the cursor file at path read-only. It fails with layout.ErrGeometry
// when it belongs to another ring than ringID.
func Map(path string, kind Kind, ringID uint64) (*File, error) {
	m, err := layout.OpenRO(path, spec(kind, ringID))
	if err != nil {
		return nil, err
	}
	return wrap(m, kind), nil
}

// NewHeap returns a cursor in heap memory, for tests under the race detector.
func NewHeap(kind Kind, ringID uint64) *File { return wrap(layout.NewHeap(spec(kind, ringID)), kind) }

// WantsWake reports whether the consumer sleeps and has enough before it, now that
// tail is published, to be woken.
func (f *File) WantsWake(tail uint64) bool {
	w := f.Waiting.Load()
	return w != 0 && (w == 1 || tail-f.Position.Load() >= uint64(w))
}

func spec(kind Kind, ringID uint64) layout.Spec {
	return layout.Spec{
		Magic: layout.MagicCursor, ABIMajor: layout.ABIMajor, ABIMinor: layout.ABIMinor,
		Size: Size, RingID: ringID, OwnerLine: layout.OffCursorOwner, Populate: true,
		Params: layout.Ring{DescriptorCount: uint32(kind)}.Params(),
	}
}

func wrap(m *layout.Mapping, kind Kind) *File {
	wait := OffPktWait
	if kind == Event {
		wait = OffEvtWait
	}
	return &File{Mapping: m, Position: m.U64(OffPosition), Waiting: m.U32(wait)}
}

// KindOf returns the kind that a cursor file's header gives.
func KindOf(h *layout.Header) Kind { return Kind(h.Ring().DescriptorCount) }
