// Package source delivers captured frames, from capture files, packet sockets and
// netfilter queues: one file per driver. It reads and unpacks, and knows nothing of
// what is in a frame.
//
// A source gives every frame it can before it says what went wrong: io.EOF at a
// clean end, else an *Error that names the place. It never allocates by a length
// it read; MaxFrame bounds a frame and maxBlock a pcapng block.
package source

import (
	"errors"
	"fmt"
	"time"
)

// MaxFrame is the longest captured frame in bytes that a source delivers, the
// same as libpcap's MAXIMUM_SNAPLEN. A longer one means a corrupt file.
const MaxFrame = 256 << 10

// Frame is one captured frame. A source overwrites every field.
type Frame struct {
	TS      uint64 // ns since the epoch
	WireLen uint32 // bytes on the wire, >= len(Data)
	Link    uint32 // LINKTYPE_* of Data
	If      uint16 // interface number: in the file, or interface table index
	Out     uint16 // the one it leaves by; If where the source does not know
	Flags   uint16 // of proto/pkt, those that the source alone can know
	Queue   uint16 // netfilter queue it waits in
	Mark    uint32 // netfilter mark
	ID      uint32 // its number in the queue, for the verdict
	Data    []byte // dies with the next call of Next
}

// Source is a stream of frames.
type Source interface {
	// Next fills f with the next frame. After the last one it returns io.EOF, or
	// the reason why there is no more; every later call returns the same.
	Next(f *Frame) error
}

// Live is a source that goes on for ever. Its Next returns ErrIdle when no frame
// is there at the moment; it never blocks.
type Live interface {
	Source

	// Wait returns when a frame is there or d has passed. Its error, like one of
	// Next, means that the source must be opened anew.
	Wait(d time.Duration) error

	// Stats returns what became of the frames since the source was opened.
	Stats() Stats

	Close() error
}

// Stats count the frames of a live source.
type Stats struct {
	Received uint64 // given to the caller
	Dropped  uint64 // lost by the kernel for want of room
	Freezes  uint64 // times when it had no room at all
	Skipped  uint64 // not given: seen a second time on a loopback interface, or unreadable
}

// ErrIdle means that a live source has no frame at the moment.
var ErrIdle = errors.New("no frame at the moment")

// Interface describes one interface of a capture. Name is empty where the
// format has none, as in classic pcap.
type Interface struct {
	Name string
	Link uint32
}

// Reasons that callers branch on; they come wrapped in an *Error.
var (
	// ErrEmpty means that the file has no bytes at all.
	ErrEmpty = errors.New("the file is empty")

	// ErrFormat means that the file is no capture that Weir reads.
	ErrFormat = errors.New("not a pcap or pcapng capture")

	// ErrTruncated means that the file ends inside a header, packet or block.
	ErrTruncated = errors.New("cut short")

	// ErrCorrupt means that a length or number in the file cannot be right.
	ErrCorrupt = errors.New("corrupt")
)

// Error says what is wrong with a capture, and where.
type Error struct {
	Name     string // of the file
	Offset   int64  // byte at which the broken header, record or block starts
	Unpacked bool   // Offset counts in the unpacked stream of a gzip file
	Err      error
}

func (e *Error) Error() string {
	where := "at byte"
	if e.Unpacked {
		where = "at unpacked byte"
	}
	return fmt.Sprintf("read capture %s: %s %d: %v", e.Name, where, e.Offset, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }
