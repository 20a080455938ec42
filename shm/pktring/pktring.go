// Package pktring is the ring from one capture thread to one worker: 64-byte
// descriptors beside a payload area, one producer, one consumer, never
// overwritten.
//
// It is not a packet parser: of a descriptor it knows the payload position, the
// captured length and the bit that says whether a payload is there (and it can
// write one record of its own, "lost"). Neither side waits for the other unless
// asked to, and nothing on the way of a packet allocates, locks or calls the
// kernel.
//
// The invariant: the published tail is the only commit point. What a producer
// wrote beyond it when it was killed is seen by nobody and overwritten by the
// next one. The consumer's head is believed only within [last head, tail], and
// nothing else is taken from what the consumer writes.
//
//	file: 4096 header | N x 64 descriptors | P payload      N, P powers of two
//
//	 128 u64 tail, descriptors ever published    512 u64 wake me when head is here, 0 never
//	 136 u64 freed: the head that the producer   384 u64 x 8 statistics
//	         has checked and reuses space up to  256 owner line (layout)
//
//	descriptor, little-endian: 24 u64 payload position, 36 u32 captured length,
//	58 u16 flags, bit 0: payload present
//
// A payload is 16 bytes of prefix and the captured frame. It never wraps: where
// it would, it begins at the start of the area instead. Its position counts
// bytes for ever, in steps of 16; a descriptor without payload carries the
// position where the next payload would begin, so that positions never fall.
//
// Part of the format, do not change.
package pktring

import (
	"encoding/binary"
	"fmt"
	"os"

	"weir/shm/layout"
)

// Sizes in bytes.
const (
	DescSize   = 64
	PrefixSize = 16
	MaxFrame   = 65600                 // longest frame a ring can carry; small payload areas carry less
	maxRecord  = PrefixSize + MaxFrame // with the prefix
	align      = 16
)

// Limits of a ring's geometry.
const (
	MinDescriptors = 16
	MaxDescriptors = 1 << 26
	MinPayload     = 4096
	MaxPayload     = 1 << 36
)

// What the ring knows of a descriptor.
const (
	offTS      = 0
	offHashLo  = 8
	offHashHi  = 16
	offPayPos  = 24
	offCapLen  = 36
	offOrdinal = 48
	offFlags   = 58
	offKind    = 61

	flagPayload = 1
	kindLost    = 2
)

// Offsets of words in the ring file.
const (
	offFreed = 136
)

var le = binary.LittleEndian

// Config is what a producer wants its ring to be.
type Config struct {
	Path, CursorPath   string
	Descriptors        int    // power of two
	PayloadBytes       int    // power of two
	Wait               bool   // the producer waits instead of dropping; display and tests only
	Tag                uint32 // another tag than the file's makes a new file (hash seed, workers)
	Producer, Consumer uint16 // indices, for display
	Mode               os.FileMode
}

// geometry is a private, checked copy of what the static header says.
type geometry struct {
	n, p      uint64 // descriptors, payload bytes
	maxRecord uint64
}

func (g geometry) size() int64 { return layout.HeaderSize + DescSize*int64(g.n) + int64(g.p) }

// FileSize returns the length in bytes of the file of a ring with so many descriptors
// and bytes of payload.
func FileSize(descriptors, payload int) int64 {
	return geometry{n: uint64(descriptors), p: uint64(payload)}.size()
}

// areas cuts the mapping into descriptors and payload.
func (g geometry) areas(b []byte) (desc, pay []byte) {
	d := layout.HeaderSize + DescSize*int(g.n)
	return b[layout.HeaderSize:d:d], b[d : d+int(g.p) : d+int(g.p)]
}

// maxRecordFor is the longest payload in an area of p bytes: a full ring must
// hold several, or one long frame waits for all others to go.
func maxRecordFor(p uint64) uint64 { return min(maxRecord, p/8) }

// spec is the file that c asks for.
func (c *Config) spec() (layout.Spec, geometry, error) {
	g := geometry{n: uint64(c.Descriptors), p: uint64(c.PayloadBytes)}
	switch {
	case !layout.PowerOfTwo(g.n) || g.n < MinDescriptors || g.n > MaxDescriptors:
		return layout.Spec{}, g, fmt.Errorf("packet ring %s: descriptors = %d: must be a power of two from %d to %d",
			c.Path, c.Descriptors, MinDescriptors, MaxDescriptors)
	case !layout.PowerOfTwo(g.p) || g.p < MinPayload || g.p > MaxPayload:
		return layout.Spec{}, g, fmt.Errorf("packet ring %s: payload bytes = %d: must be a power of two from %d to %d",
			c.Path, c.PayloadBytes, MinPayload, int64(MaxPayload))
	}
	g.maxRecord = maxRecordFor(g.p)
	policy := uint32(layout.PolicyDrop)
	if c.Wait {
		policy = layout.PolicyWait
	}
	return layout.Spec{
		Magic: layout.MagicPacketRing, ABIMajor: layout.ABIMajor, ABIMinor: layout.ABIMinor,
		Size: g.size(), Tag: c.Tag, Mode: c.Mode, Populate: true,
		Name: fmt.Sprintf("c%02d-w%02d", c.Producer, c.Consumer),
		Params: layout.Ring{
			Capacity: g.p, MaxRecord: uint32(g.maxRecord), RecordAlign: align, Policy: policy,
			Producer: c.Producer, Consumer: c.Consumer, DescriptorCount: uint32(g.n),
		}.Params(),
	}, g, nil
}

// checkGeometry validates the header of a file of size bytes that somebody else made.
func checkGeometry(path string, h *layout.Header, size int64) (geometry, error) {
	r := h.Ring()
	g := geometry{n: uint64(r.DescriptorCount), p: r.Capacity, maxRecord: uint64(r.MaxRecord)}
	ok := layout.PowerOfTwo(g.n) && g.n >= MinDescriptors && g.n <= MaxDescriptors &&
		layout.PowerOfTwo(g.p) && g.p >= MinPayload && g.p <= MaxPayload &&
		g.maxRecord >= PrefixSize && g.maxRecord <= g.p/2 && r.RecordAlign == align
	if !ok || g.size() != size {
		return g, &layout.AttachError{Path: path, Want: uint64(g.size()), Got: uint64(size), Err: layout.ErrGeometry}
	}
	return g, nil
}

// payloadLen is the length of the payload of descriptor d, 0 when it has none.
func payloadLen(d []byte) uint64 {
	if le.Uint16(d[offFlags:])&flagPayload == 0 {
		return 0
	}
	return PrefixSize + uint64(le.Uint32(d[offCapLen:]))
}

func alignUp(n uint64) uint64 { return (n + align - 1) &^ (align - 1) }
