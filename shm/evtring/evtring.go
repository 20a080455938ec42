// Package evtring is the ring of events of one worker: one producer, any number
// of readers that know nothing of each other, overwritten when full.
//
// It is not a queue that keeps events for the slow: a reader that is lapped is
// told exactly how many events it lost, and asks for a snapshot. It knows
// nothing of what events mean. Offline (Wait) the producer waits for the readers
// that have a cursor, and nothing is lost.
//
// The invariants: tail is the only commit point; a record never crosses a block
// of 64 KiB and a block always begins with a record; intent is moved, with a full
// barrier, before what lies behind it is overwritten, and never moves back. A
// reader copies first and then looks at intent: what it copied is whole, or it
// was lapped.
//
//	file: 4096 header | capacity bytes in blocks of 64 KiB
//
//	128 u64 tail, bytes ever published      384 u64 x 12 statistics
//	136 u64 intent, bytes ever written to   512 u64 wake me when the slowest cursor
//	256 owner line (layout)                     is here, 0 never
//
//	record, host byte order, aligned to 16
//	 0 u32 length of header and payload; bit 31: padding to the end of the block
//	 4 u16 type                           8 u64 sequence: epoch<<40 | counter
//	 6 u8  payload version               16 u64 time, ns
//	 7 u8  flags                         24 u32 CRC-32C of bytes 0..23 and payload
//	                                     28 u32 0
//
// The counter goes on across producers and never skips: a gap is a loss.
// Part of the format, do not change.
package evtring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"weir/shm/layout"
)

// Sizes in bytes.
const (
	RecordHeader = 32
	MaxRecord    = 16384 // header included
	MaxPayload   = MaxRecord - RecordHeader
	BlockSize    = 65536
	MinCapacity  = 4 * BlockSize // a lapped reader needs whole blocks to land on
	MaxCapacity  = 1 << 36
	align        = 16
)

// Flags of a record that the ring's users share.
const (
	FlagLow      = 1 << 0 // low priority: may be shed when readers lag
	FlagSnapshot = 1 << 1 // part of a snapshot
)

// Offsets in a record, and of words in the ring file.
const (
	offLen   = 0
	offType  = 4
	offVer   = 6
	offFlags = 7
	offSeq   = 8
	offTS    = 16
	offCRC   = 24
	crcUpTo  = 24

	offIntent = 136

	padBit = 1 << 31

	counterBits = 40
	counterMask = 1<<counterBits - 1
	epochMask   = 1<<(64-counterBits) - 1
)

var host = binary.NativeEndian

// Errors of a Reader's Next.
var (
	// ErrIdle means that there is nothing to read at the moment.
	ErrIdle = errors.New("no event")

	// ErrCorrupt means that bytes of the ring were damaged and the rest of their
	// block was skipped; how many events that were, a later *Overrun tells.
	ErrCorrupt = errors.New("damaged event")
)

// Overrun says that events were lost before the next one: the reader was lapped,
// or skipped damaged bytes. Lost is exact, but 0 when nobody can know, because
// this reader has not seen any event of the ring yet.
type Overrun struct{ Lost uint64 }

func (e *Overrun) Error() string { return fmt.Sprintf("%d events lost", e.Lost) }

// CorruptError says where damaged bytes are.
type CorruptError struct {
	Position uint64
	Count    uint64 // damages this cursor has met so far
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v at position %d (number %d)", ErrCorrupt, e.Position, e.Count)
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// Epoch returns which producer of the file wrote the event with sequence seq.
func Epoch(seq uint64) uint64 { return seq >> counterBits }

// Counter returns the number of the event with sequence seq in its file, from 1.
func Counter(seq uint64) uint64 { return seq & counterMask }

// Config is what a producer wants its ring to be.
type Config struct {
	Path      string
	Capacity  int    // bytes, power of two
	Worker    int    // number in the names of the cursors: NAME.wWW.cur
	CursorDir string // folder of the readers' cursors; "": nobody is waited for or woken
	Wait      bool   // offline: never overwrite what a registered reader has not read
	Tag       uint32 // another tag than the file's makes a new file
	Mode      os.FileMode
}

func (c *Config) spec() (layout.Spec, error) {
	n := uint64(c.Capacity)
	if !layout.PowerOfTwo(n) || n < MinCapacity || n > MaxCapacity {
		return layout.Spec{}, fmt.Errorf("event ring %s: capacity = %d: must be a power of two from %d to %d",
			c.Path, c.Capacity, MinCapacity, int64(MaxCapacity))
	}
	policy := uint32(layout.PolicyDrop)
	if c.Wait {
		policy = layout.PolicyWait
	}
	return layout.Spec{
		Magic: layout.MagicEventRing, ABIMajor: layout.ABIMajor, ABIMinor: layout.ABIMinor,
		Size: layout.HeaderSize + int64(n), Tag: c.Tag, Mode: c.Mode, Populate: true,
		Name: fmt.Sprintf("w%02d", c.Worker),
		Params: layout.Ring{
			Capacity: n, MaxRecord: MaxRecord, RecordAlign: align, BlockSize: BlockSize,
			Policy: policy, Producer: uint16(c.Worker),
		}.Params(),
	}, nil
}

// checkGeometry validates the header of a file of size bytes that somebody else
// made, and returns its capacity.
func checkGeometry(path string, h *layout.Header, size int64) (uint64, error) {
	r := h.Ring()
	ok := layout.PowerOfTwo(r.Capacity) && r.Capacity >= MinCapacity && r.Capacity <= MaxCapacity &&
		r.MaxRecord == MaxRecord && r.RecordAlign == align && r.BlockSize == BlockSize
	if want := layout.HeaderSize + int64(r.Capacity); !ok || want != size {
		return 0, &layout.AttachError{Path: path, Want: uint64(want), Got: uint64(size), Err: layout.ErrGeometry}
	}
	return r.Capacity, nil
}

func alignUp(n uint64) uint64 { return (n + align - 1) &^ (align - 1) }

// toBlockEnd is how many bytes the block of position pos has from there on.
func toBlockEnd(pos uint64) uint64 { return BlockSize - pos&(BlockSize-1) }

// recordCRC is the checksum of a record that lies in b, whole.
func recordCRC(b []byte) uint32 {
	return layout.CRC(layout.CRC(0, b[:crcUpTo]), b[RecordHeader:])
}
