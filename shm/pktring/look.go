package pktring

import (
	"errors"
	"fmt"

	"weir/shm/layout"
)

// View looks at a ring without taking part: for tools, on live rings and on
// copied files. What it sees of the two sides is never quite of one moment.
type View struct {
	m             *layout.Mapping
	g             geometry
	desc, payload []byte
}

// Info is what a ring file said at one moment.
type Info struct {
	Descriptors, PayloadBytes int
	MaxFrame                  int
	Wait                      bool
	Tail, Freed               uint64 // Freed <= the consumer's head <= Tail
	Owner                     layout.Peer
	Stats                     ProducerStats
}

// OpenView maps the ring at path read-only.
func OpenView(path string) (*View, error) {
	m, err := layout.OpenRO(path, layout.Spec{Magic: layout.MagicPacketRing, ABIMajor: layout.ABIMajor})
	if err != nil {
		return nil, fmt.Errorf("look at packet ring: %w", err)
	}
	g, err := checkGeometry(path, m.Header(), int64(len(m.Bytes())))
	if err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("look at packet ring: %w", err)
	}
	v := &View{m: m, g: g}
	v.desc, v.payload = g.areas(m.Bytes())
	return v, nil
}

// Header returns the ring's static header.
func (v *View) Header() *layout.Header { return v.m.Header() }

// Info reads the ring's words.
func (v *View) Info() (i Info, err error) {
	err = v.m.Guard(func() error {
		r := v.m.Header().Ring()
		i = Info{
			Descriptors: int(v.g.n), PayloadBytes: int(v.g.p), MaxFrame: int(v.g.maxRecord) - PrefixSize,
			Wait: r.Policy&layout.PolicyWait != 0,
			Tail: v.m.U64(layout.OffHot).Load(), Freed: v.m.U64(offFreed).Load(),
			Owner: v.m.Peer(),
		}
		i.Stats = readProducerStats(v.m.Bytes())
		return nil
	})
	return i, err
}

// ErrGone means that a record is not in the ring: consumed and overwritten, or not
// published yet.
var ErrGone = errors.New("record is not in the ring")

// Record copies the descriptor at position pos into desc and appends its payload,
// prefix and frame, to buf. ErrGone when it is not there any more, or changed
// meanwhile.
func (v *View) Record(pos uint64, desc *[DescSize]byte, buf []byte) (payload []byte, err error) {
	err = v.m.Guard(func() error {
		tail, freed := v.m.U64(layout.OffHot), v.m.U64(offFreed)
		if tail.Load()-pos > v.g.n || tail.Load() == pos {
			return ErrGone
		}
		copy(desc[:], v.desc[pos&(v.g.n-1)*DescSize:])
		n := payloadLen(desc[:])
		off := le.Uint64(desc[offPayPos:]) & (v.g.p - 1)
		corrupt := n > v.g.maxRecord || off+n > v.g.p
		if !corrupt {
			payload = append(buf, v.payload[off:off+n]...)
		}
		// The producer stores freed before it writes where the record was. That
		// comes first: of a record that is being overwritten nothing need be right.
		if f := freed.Load(); f != pos && f-pos < 1<<63 {
			payload = nil
			return ErrGone
		}
		if corrupt {
			return fmt.Errorf("record at %d: %w", pos, layout.ErrCorrupt)
		}
		return nil
	})
	return payload, err
}

// Close lets go of the file.
func (v *View) Close() error { return v.m.Close() }

func readProducerStats(file []byte) (s ProducerStats) {
	s.load(statsLine(file[layout.OffStats : layout.OffStats+layout.LineSize]))
	return s
}

// ReadConsumerStats decodes the statistics line of a packet cursor.
func ReadConsumerStats(line []byte) (s ConsumerStats) {
	if len(line) >= layout.LineSize {
		s.load(line)
	}
	return s
}
