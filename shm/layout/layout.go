// Package layout is the shape of Weir's shared files and the way to map them:
// static header, owner line, locks, attach checks, fault guard and futexes.
//
// It is not a ring: it knows neither records nor cursors. Whoever owns a file
// (one process, ever) holds an open-file-description lock on it for life and is
// its only writer; everybody else maps it read-only and trusts nothing in it.
// A file that has its name is complete; it is never truncated, resized or
// initialised again. Another geometry means another file renamed over it.
//
// Static header, bytes 0..127 of every file, host byte order:
//
//	 0 u64 magic, stored last      40 u32 block size       (Params[2] low)
//	 8 u16 ABI major               44 u32 policy           (Params[2] high)
//	10 u16 ABI minor               48 u16 producer index   (Params[3])
//	12 u32 header size, 4096       50 u16 consumer index
//	16 u64 ring id                 52 u32 descriptor count
//	24 u64 capacity   (Params[0])  56 u64 creation, ns since 1970, for display
//	32 u32 max record (Params[1])  64 [56]byte name, NUL-padded
//	36 u32 record alignment       120 u32 tag
//	                              124 u32 CRC-32C of bytes 8..123
//
// Bytes 24..55 are four words that each kind of file names for itself; the names
// above are those of rings. The tag is an opaque digest of what the owner wants
// to find unchanged when it comes back (hash seed, number of workers).
//
// Owner line, 32 bytes at OwnerLine (256; cursor files 512):
//
//	+0 u64 epoch, +1 per attach of an owner    +12 u32 process id
//	+8 u32 state: 1 live, 2 closed, 3 retired  +16 u64 process start, clock ticks
//	                                           +24 u64 heartbeat, CLOCK_MONOTONIC ns
//
// All of this is part of the format, do not change.
package layout

import "math/bits"

// Sizes in bytes of what every file begins with.
const (
	HeaderSize = 4096 // static header, dynamic lines, reserve
	StaticSize = 128  // static header alone
	LineSize   = 128  // two cache lines: adjacent-line prefetch shares nothing
)

// Magic words: eight letters as a host-order word, so that a reader of the other
// byte order finds a mismatch.
const (
	MagicPacketRing = 0x31544b5052495044 // "DPIRPKT1"
	MagicEventRing  = 0x3154564552495044 // "DPIREVT1"
	MagicCursor     = 0x3153525543495044 // "DPICURS1"
)

// ABI version of ring and cursor files. Major must match; a new minor may only
// give a meaning to bytes that were reserved and zero.
const (
	ABIMajor = 1
	ABIMinor = 0
)

// Offsets of lines that more than one kind of file has.
const (
	OffHot   = 128 // ring: tail; cursor: head or cursor
	OffOwner = 256 // owner line of every file but cursors
	OffStats = 384 // statistics of a ring
	OffWant  = 512 // ring: u64, wake the producer when the reader is this far

	OffCursorOwner = 512 // owner line of a cursor file
)

// Policy bits of a ring's static header: what the producer does when a reader
// is too slow.
const (
	PolicyDrop = 1 << 0 // packet ring: drop and count; event ring: overwrite
	PolicyWait = 1 << 1 // wait
)

// PowerOfTwo reports whether v is one.
func PowerOfTwo(v uint64) bool { return bits.OnesCount64(v) == 1 }
