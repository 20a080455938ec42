package layout

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
)

// Spec is what a file is, or must be.
type Spec struct {
	Magic              uint64
	ABIMajor, ABIMinor uint16
	Size               int64       // of the whole file in bytes; 0: any, the caller checks
	Most               int64       // largest file that is taken, in bytes; 0: any
	RingID             uint64      // 0: random in a new file, any in an old one
	Params             [4]uint64   // bytes 24..55 of the static header; compared when Size is given
	Tag                uint32      // compared when Size is given
	Name               string      // for display, cut to 55 bytes; not compared
	OwnerLine          int         // offset of the owner line; 0: OffOwner
	Mode               os.FileMode // of a new file; 0: 0640
	UID                int         // user that must own the file when CheckUID is set
	CheckUID           bool
	Populate           bool // fault in all pages now; an unpopulated ring is 8 times slower
	Sparse             bool // reserve no memory: where its owner writes first, a Guard must be ready for ErrRingLost
}

// Header is a private copy of a static header: read once, checked, never read
// from shared memory again.
type Header struct {
	Magic              uint64
	ABIMajor, ABIMinor uint16
	RingID             uint64
	Params             [4]uint64
	CreatedNS          uint64 // since 1970
	Name               string
	Tag                uint32
}

// Ring is the meaning that rings give to the four parameter words.
type Ring struct {
	Capacity           uint64 // bytes of payload (packet ring) or data (event ring)
	MaxRecord          uint32 // bytes, including what goes before the payload
	RecordAlign        uint32
	BlockSize          uint32 // event ring: no record crosses a block of this size
	Policy             uint32 // PolicyDrop or PolicyWait
	Producer, Consumer uint16 // indices, for display
	DescriptorCount    uint32 // packet ring: number of descriptors; cursor: its kind
}

// Params packs r into the words of a Spec.
func (r Ring) Params() [4]uint64 {
	return [4]uint64{
		r.Capacity,
		uint64(r.MaxRecord) | uint64(r.RecordAlign)<<32,
		uint64(r.BlockSize) | uint64(r.Policy)<<32,
		uint64(r.Producer) | uint64(r.Consumer)<<16 | uint64(r.DescriptorCount)<<32,
	}
}

// Ring unpacks the parameter words of a ring. Nothing in it has been checked.
func (h *Header) Ring() Ring {
	p := &h.Params
	return Ring{
		Capacity:  p[0],
		MaxRecord: uint32(p[1]), RecordAlign: uint32(p[1] >> 32),
		BlockSize: uint32(p[2]), Policy: uint32(p[2] >> 32),
		Producer: uint16(p[3]), Consumer: uint16(p[3] >> 16), DescriptorCount: uint32(p[3] >> 32),
	}
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	host       = binary.NativeEndian
)

// CRC is the checksum of static headers and of events, CRC-32C.
func CRC(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

// encode writes all of the static header but the magic.
func (s *Spec) encode(b []byte, createdNS uint64) {
	b = b[:StaticSize:StaticSize]
	host.PutUint16(b[8:], s.ABIMajor)
	host.PutUint16(b[10:], s.ABIMinor)
	host.PutUint32(b[12:], HeaderSize)
	host.PutUint64(b[16:], s.RingID)
	for i, p := range s.Params {
		host.PutUint64(b[24+8*i:], p)
	}
	host.PutUint64(b[56:], createdNS)
	name := b[64:120:120]
	clear(name)
	copy(name[:55], s.Name)
	host.PutUint32(b[120:], s.Tag)
	host.PutUint32(b[124:], CRC(0, b[8:124]))
}

// Check reads the static header in b, the first bytes of a file of fileSize
// bytes, and compares it with s. The error is an *AttachError for path.
func (s *Spec) Check(path string, b []byte, fileSize int64) (Header, error) {
	fail := func(err error, want, got uint64) (Header, error) {
		return Header{}, &AttachError{Path: path, Want: want, Got: got, Err: err}
	}
	if fileSize < HeaderSize || len(b) < StaticSize {
		return fail(ErrGeometry, HeaderSize, uint64(fileSize))
	}
	if s.Size != 0 && fileSize != s.Size {
		return fail(ErrGeometry, uint64(s.Size), uint64(fileSize))
	}
	if s.Most != 0 && fileSize > s.Most {
		return fail(ErrGeometry, uint64(s.Most), uint64(fileSize))
	}
	b = b[:StaticSize:StaticSize]
	if got := host.Uint64(b); got != s.Magic {
		return fail(magicError(got, s.Magic), s.Magic, got)
	}
	if got := host.Uint16(b[8:]); got != s.ABIMajor {
		return fail(ErrABI, uint64(s.ABIMajor), uint64(got))
	}
	if want, got := CRC(0, b[8:124]), host.Uint32(b[124:]); got != want {
		return fail(ErrCorrupt, uint64(want), uint64(got))
	}
	if got := host.Uint32(b[12:]); got != HeaderSize {
		return fail(ErrGeometry, HeaderSize, uint64(got))
	}
	h := decode(b)
	if h.RingID == 0 {
		return fail(ErrCorrupt, 1, 0)
	}
	if s.RingID != 0 && h.RingID != s.RingID {
		return fail(ErrGeometry, s.RingID, h.RingID)
	}
	if s.Size == 0 {
		return h, nil
	}
	for i := range s.Params {
		if h.Params[i] != s.Params[i] {
			return fail(ErrGeometry, s.Params[i], h.Params[i])
		}
	}
	if h.Tag != s.Tag {
		return fail(ErrGeometry, uint64(s.Tag), uint64(h.Tag))
	}
	return h, nil
}

func decode(b []byte) Header {
	h := Header{
		Magic:    host.Uint64(b),
		ABIMajor: host.Uint16(b[8:]), ABIMinor: host.Uint16(b[10:]),
		RingID:    host.Uint64(b[16:]),
		CreatedNS: host.Uint64(b[56:]),
		Tag:       host.Uint32(b[120:]),
	}
	for i := range h.Params {
		h.Params[i] = host.Uint64(b[24+8*i:])
	}
	name := b[64:120]
	if n := bytes.IndexByte(name, 0); n >= 0 {
		name = name[:n]
	}
	h.Name = string(name)
	return h
}

// magicError tells a file that is not finished from one of another version or
// byte order, and both from what is no file of ours.
func magicError(got, want uint64) error {
	const name = 1<<56 - 1 // all but the digit
	swapped := reverse(want)
	switch {
	case got == 0:
		return ErrAwait
	case got&name == want&name, got == swapped:
		return ErrABI
	}
	return ErrCorrupt
}

func reverse(v uint64) uint64 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return binary.LittleEndian.Uint64(b[:])
}
