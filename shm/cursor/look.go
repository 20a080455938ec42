package cursor

import (
	"fmt"

	"weir/shm/layout"
)

// Info is what a cursor file said at one moment. For display.
type Info struct {
	Kind     Kind
	RingID   uint64
	Name     string
	Position uint64
	Waiting  bool
	Owner    layout.Peer

	// Packet cursors.
	Inflight      uint64 // position+1 of the packet in work, 0: none
	InflightTries uint32

	// Event cursors.
	LastSeq                            uint64
	ResyncAsked, ResyncDone, ResyncFor uint32 // requests, answers, reason of the last

	Stats []byte // the statistics line, for pktring.ReadConsumerStats or evtring.ReadReaderStats
}

// Look reads the cursor file at path, of any kind and ring, without touching it.
func Look(path string) (Info, error) {
	m, err := layout.OpenRO(path, layout.Spec{
		Magic: layout.MagicCursor, ABIMajor: layout.ABIMajor, OwnerLine: layout.OffCursorOwner,
	})
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = m.Close() }()
	if len(m.Bytes()) != Size {
		return Info{}, &layout.AttachError{Path: path, Want: Size, Got: uint64(len(m.Bytes())), Err: layout.ErrGeometry}
	}
	i := Info{Kind: KindOf(m.Header()), RingID: m.Header().RingID, Name: m.Header().Name}
	if i.Kind != Packet && i.Kind != Event {
		return Info{}, &layout.AttachError{Path: path, Want: uint64(Event), Got: uint64(i.Kind), Err: layout.ErrGeometry}
	}
	if err := m.Guard(func() error { i.read(m); return nil }); err != nil {
		return Info{}, fmt.Errorf("read cursor %s: %w", path, err)
	}
	return i, nil
}

func (i *Info) read(m *layout.Mapping) {
	i.Position = m.U64(OffPosition).Load()
	i.Owner = m.Peer()
	i.Stats = append(i.Stats, m.Bytes()[OffStats:OffStats+layout.LineSize]...)
	if i.Kind == Packet {
		i.Waiting = m.U32(OffPktWait).Load() != 0
		i.Inflight = m.U64(OffInflight).Load()
		i.InflightTries = m.U32(OffTries).Load()
		return
	}
	i.Waiting = m.U32(OffEvtWait).Load() != 0
	i.LastSeq = m.U64(OffLastSeq).Load()
	i.ResyncAsked, i.ResyncDone = m.U32(OffResyncReq).Load(), m.U32(OffResyncAck).Load()
	i.ResyncFor = m.U32(OffReason).Load()
}
