package event

import (
	"encoding/binary"
	"fmt"
)

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
