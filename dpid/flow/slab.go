package flow

import (
	"encoding/binary"
	"fmt"
)

// The slab's bytes, from the start of the file:
//
//	    0  static header of shm/layout (magic, version, geometry)
//	 4096  control words of this package, below
//	 8192  undo log: maxUndo entries of 144 bytes
//	65536  records, RecordSize bytes each
//	  ...  chunks, ChunkSize bytes each: the flows' descriptions
const (
	controlAt = 4096
	undoAt    = 8192
	recordsAt = 65536

	ctlPhase   = controlAt + 0  // u32 transaction phase
	ctlTx      = controlAt + 4  // u32 number of the transaction
	ctlUndo    = controlAt + 8  // u32 undo entries in use
	ctlRing    = controlAt + 12 // u32 ring the transaction reads from
	ctlHead    = controlAt + 16 // u64 head of that ring when it began
	ctlHeadEnd = controlAt + 24 // u64 head when it is done
	ctlEvents  = controlAt + 32 // u64 published event tail when it began
	ctlEmitted = controlAt + 40 // u32 1 = it has events to publish
	ctlSeed    = controlAt + 48 // u64 id of the hash seed
	ctlID      = controlAt + 56 // u64 id of this slab
	ctlCounter = controlAt + 64 // u64 flow counter reserved so far
	ctlWorkers = controlAt + 72 // u32 number of workers N
	ctlSlots   = controlAt + 80 // u32 records from here on were never used
	ctlChunks  = controlAt + 84 // u32 chunks from here on were never used
	ctlStats   = controlAt + 128

	undoEntry = 16 + RecordSize
	maxUndo   = (recordsAt - undoAt) / undoEntry
)

// StatsSize is the room in bytes for the owner's counters, u64 words. They lie in
// the slab and are saved with each transaction, so that a kill loses and doubles
// none. The first word is the packet time of the last tick (Clock).
const StatsSize = 1024

// Geometry is the size of a slab.
type Geometry struct {
	Flows  int // records
	Chunks int // chunks of descriptions
}

// Size returns the bytes of a slab of this geometry.
func (g Geometry) Size() int { return recordsAt + g.Flows*RecordSize + g.Chunks*ChunkSize }

func (g Geometry) check(mem []byte) error {
	const limit = 1<<31 - 2
	if g.Flows < 64 || g.Flows > limit || g.Chunks < 64 || g.Chunks > limit {
		return fmt.Errorf("flow: slab of %d flows and %d chunks: both must be 64 to %d", g.Flows, g.Chunks, limit)
	}
	if len(mem) < g.Size() {
		return fmt.Errorf("flow: slab has %d bytes, %d flows and %d chunks need %d", len(mem), g.Flows, g.Chunks, g.Size())
	}
	return nil
}

// slab is the shared memory, by offset.
type slab struct {
	mem    []byte
	flows  uint32
	chunks uint32
	chunk0 int // offset of the first chunk
}

func (s *slab) u32(off int) uint32      { return binary.LittleEndian.Uint32(s.mem[off:]) }
func (s *slab) put32(off int, v uint32) { binary.LittleEndian.PutUint32(s.mem[off:], v) }
func (s *slab) u64(off int) uint64      { return binary.LittleEndian.Uint64(s.mem[off:]) }
func (s *slab) put64(off int, v uint64) { binary.LittleEndian.PutUint64(s.mem[off:], v) }
func (s *slab) record(i uint32) *Record { return (*Record)(s.mem[recordsAt+int(i)*RecordSize:]) }
func (s *slab) chunkAt(i uint32) []byte {
	off := s.chunk0 + int(i)*ChunkSize
	return s.mem[off : off+ChunkSize : off+ChunkSize]
}
