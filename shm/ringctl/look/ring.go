package look

import (
	"encoding/binary"
	"errors"
	"os"

	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// Kind says what a ring carries.
type Kind string

// Kinds of rings.
const (
	Packet  Kind = "packet"
	Event   Kind = "event"
	Verdict Kind = "verdict"
)

// Ring is one ring and those who read it. Positions and sizes are in descriptors
// for packet and verdict rings, in bytes for event rings.
type Ring struct {
	Name, Path string
	Kind       Kind
	FileSize   int64
	Inode      uint64
	Header     layout.Header
	Owner      layout.Peer
	Process    Process // the owner's

	Size uint64 // of the ring
	Tail uint64
	Wait bool // the producer waits for readers instead of dropping or overwriting
	// Want is the position a reader must reach before the producer goes on; 0 when
	// it does not wait. A producer that was killed leaves it behind.
	Want uint64

	Freed       uint64 // packet: what the producer has given free
	PayloadSize uint64 // packet, bytes
	PayloadUsed uint64 // packet, bytes between head and tail
	MaxFrame    int    // packet
	Packets     pktring.ProducerStats

	Intent uint64 // event
	Events evtring.ProducerStats

	Readers []*Reader
}

// Unit is what the ring's positions count.
func (r *Ring) Unit() string {
	if r.Kind == Event {
		return "bytes"
	}
	return "descriptors"
}

// Fill is how full the ring is for its slowest reader, 0 to 1.
func (r *Ring) Fill() (fill float64) {
	for _, rd := range r.Readers {
		fill = max(fill, r.FillOf(rd))
	}
	return fill
}

// FillOf is how full the ring is for one reader, 0 to 1. A packet ring is as full
// as the fuller of its two areas.
func (r *Ring) FillOf(rd *Reader) float64 {
	return max(ratio(rd.Lag, r.Size), ratio(r.PayloadUsed, r.PayloadSize))
}

// Waits reports whether the producer waits for a reader.
func (r *Ring) Waits() bool { return r.Owner.Alive && r.Want != 0 }

func ratio(a, b uint64) float64 {
	if b == 0 {
		return 0
	}
	return min(float64(a)/float64(b), 1)
}

// packetRing looks at one ring of the packet kind and its one cursor.
func (in *Instance) packetRing(kind Kind, folder, cursors, name string) {
	r := &Ring{Name: name, Path: in.path(folder, name+".ring"), Kind: kind}
	v, err := pktring.OpenView(r.Path)
	if err != nil {
		in.problem(name, r.Path, err)
		return
	}
	defer func() { _ = v.Close() }()
	i, err := infoOf(v)
	if err == nil {
		err = r.file()
	}
	if err != nil {
		in.problem(name, r.Path, err)
		return
	}
	r.Header, r.Owner, r.Packets = *v.Header(), i.Owner, i.Stats
	r.Size, r.Tail, r.Freed, r.Wait = uint64(i.Descriptors), i.Tail, i.Freed, i.Wait
	r.PayloadSize, r.MaxFrame = uint64(i.PayloadBytes), i.MaxFrame
	r.Process = processOf(r.Owner)
	rd := r.reader(in.path(cursors, name+".cur"), name, cursor.Packet)
	if kind == Packet {
		rd.Name = workerName(int(r.Header.Ring().Consumer))
	} else {
		rd.Name = "capd"
	}
	head := rd.Info.Position
	if rd.Err != nil || rd.Foreign || rd.Beyond {
		head = r.Freed
		rd.Lag = r.lag(head)
	}
	r.PayloadUsed = payloadUsed(v, head, r.Tail, r.PayloadSize)
	r.Readers = []*Reader{rd}
	in.Rings = append(in.Rings, r)
	if rd.Err != nil && !missing(rd.Err) {
		in.problem(name+" cursor", rd.Path, rd.Err)
	}
}

// infoOf reads a ring's words: what was given free before the tail, which moves
// ahead of it. The cursor between them is read after both. Where a ring turns over
// in between, it is read again.
func infoOf(v *pktring.View) (i pktring.Info, err error) {
	const tries = 10
	for range tries {
		first, err := v.Info()
		if err != nil {
			return first, err
		}
		if i, err = v.Info(); err != nil {
			return i, err
		}
		i.Freed = first.Freed
		if i.Tail-i.Freed <= uint64(i.Descriptors) {
			break
		}
	}
	return i, nil
}

// Record copies the record at pos like View.Record. A record that was given free
// while it was copied is gone, whatever the copy looks like.
func Record(v *pktring.View, pos uint64, desc *[pktring.DescSize]byte, buf []byte) ([]byte, error) {
	payload, err := v.Record(pos, desc, buf)
	if errors.Is(err, layout.ErrCorrupt) {
		if i, again := v.Info(); again == nil && int64(i.Freed-pos) > 0 {
			return nil, pktring.ErrGone
		}
	}
	return payload, err
}

// file reads what the packages of the rings do not tell: the file itself, and
// whether its producer waits.
func (r *Ring) file() error {
	fi, err := os.Stat(r.Path)
	if err != nil {
		return err
	}
	r.FileSize, r.Inode = fi.Size(), inode(fi)
	r.Want, err = r.word(layout.OffWant)
	return err
}

// word reads a word that rings of all kinds have.
func (r *Ring) word(off int) (v uint64, err error) {
	magic := uint64(layout.MagicPacketRing)
	if r.Kind == Event {
		magic = layout.MagicEventRing
	}
	m, err := layout.OpenRO(r.Path, layout.Spec{Magic: magic, ABIMajor: layout.ABIMajor})
	if err != nil {
		return 0, err
	}
	defer func() { _ = m.Close() }()
	err = m.Guard(func() error { v = m.U64(off).Load(); return nil })
	return v, err
}

// offPayPos is where a descriptor says where its payload lies (proto/pkt).
const offPayPos = 24

// payloadUsed is how many payload bytes lie between two positions, as far as the
// descriptors can still be read.
func payloadUsed(v *pktring.View, head, tail, size uint64) uint64 {
	var first, last [pktring.DescSize]byte
	if head == tail {
		return 0
	}
	if _, err := Record(v, head, &first, nil); err != nil {
		return 0
	}
	payload, err := Record(v, tail-1, &last, nil)
	if err != nil {
		return 0
	}
	at := binary.LittleEndian.Uint64
	n := at(last[offPayPos:]) - at(first[offPayPos:]) + uint64(len(payload))
	if n > size {
		return 0 // not of one moment
	}
	return n
}
