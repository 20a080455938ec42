package flow

import (
	"encoding/binary"

	"weir/proto/event"
)

// ChunkSize is the size in bytes of one piece of a flow's description.
const ChunkSize = 64

const chunkData = ChunkSize - 4 // after u32 next chunk+1

// pool hands out chunks. Descriptions are never changed in place: a new chain is
// written into free chunks, then the record points to it, and the old chain
// becomes free when the transaction is done. A kill leaves nothing half changed.
//
// Chunks that were used before are used again first; those from unused on have
// never been touched and need no memory yet.
type pool struct {
	s       *slab
	reserve func([]byte) bool
	free    []uint32 // its array has a word for each chunk: it never grows
	unused  uint32
	ready   uint32   // chunks from here on may have no memory
	retired []uint32 // first chunks of chains that this transaction replaced
}

// Chunks returns how many chunks a description of n bytes takes.
func Chunks(n int) int { return (n + chunkData - 1) / chunkData }

// release makes the chains that were replaced free. Called at Commit.
func (p *pool) release() {
	for _, c := range p.retired {
		for steps := uint32(0); c < p.s.chunks && steps <= p.s.chunks; steps++ {
			p.free = append(p.free, c)
			c = binary.LittleEndian.Uint32(p.s.chunkAt(c)) - 1
		}
	}
	p.retired = p.retired[:0]
}

// put writes b into a new chain and returns its first chunk.
func (p *pool) put(b []byte) (first uint32, ok bool) {
	n := Chunks(len(b))
	if n == 0 || !p.stock(n) {
		return 0, false
	}
	take := p.free[len(p.free)-n:]
	for i, c := range take {
		next := uint32(0)
		if i+1 < n {
			next = take[i+1] + 1
		}
		chunk := p.s.chunkAt(c)
		binary.LittleEndian.PutUint32(chunk, next)
		b = b[copy(chunk[4:], b):]
	}
	first = take[0]
	p.free = p.free[:len(p.free)-n]
	return first, true
}

// stock sees to it that n chunks are free, from those never used where needed. The
// mark in the slab moves before a chunk is written, and never back.
func (p *pool) stock(n int) bool {
	need := n - len(p.free)
	if need <= 0 {
		return true
	}
	for uint32(need) > p.ready-p.unused {
		if p.ready == p.s.chunks || !p.grow() {
			return false
		}
	}
	for range need {
		p.free = append(p.free, p.unused)
		p.unused++
	}
	p.s.put32(ctlChunks, p.unused)
	return true
}

// grow gets memory for more chunks.
func (p *pool) grow() bool {
	n := min(reserveStep/ChunkSize, p.s.chunks-p.ready)
	from := p.s.chunk0 + int(p.ready)*ChunkSize
	if p.reserve != nil && !p.reserve(p.s.mem[from:from+int(n)*ChunkSize]) {
		p.s.chunks = p.ready
		return false
	}
	p.ready += n
	return true
}

// get appends the chain's bytes to dst, at most limit of them.
func (p *pool) get(dst []byte, c uint32, limit int) []byte {
	for limit > 0 && c < p.s.chunks {
		chunk := p.s.chunkAt(c)
		n := min(limit, chunkData)
		dst = append(dst, chunk[4:4+n]...)
		limit -= n
		c = binary.LittleEndian.Uint32(chunk) - 1
	}
	return dst
}

// Describe stores desc (event.Description.Append) as the flow's description. changed
// is false when the flow has it already; ok is false when the slab has no room: the flow
// keeps what it had.
// Precondition: the record was touched in this transaction.
func (t *Table) Describe(r *Record, desc []byte) (changed, ok bool) {
	old := r.chunk()
	if old != 0 && t.pool.holds(old-1, desc) {
		return false, true
	}
	first, ok := t.pool.put(desc)
	if !ok {
		return false, false
	}
	if old != 0 {
		t.pool.retired = append(t.pool.retired, old-1)
	}
	r.setChunk(first + 1)
	return true, true
}

// holds reports whether a chain begins with b, which says itself where it ends.
func (p *pool) holds(c uint32, b []byte) bool {
	for len(b) > 0 {
		if c >= p.s.chunks {
			return false
		}
		chunk := p.s.chunkAt(c)
		n := min(len(b), chunkData)
		if string(chunk[4:4+n]) != string(b[:n]) {
			return false
		}
		b = b[n:]
		c = binary.LittleEndian.Uint32(chunk) - 1
	}
	return true
}

// Description appends the flow's description to dst, DescriptionLen bytes. A flow
// without one gives the empty description.
func (t *Table) Description(dst []byte, r *Record) []byte {
	start, n := len(dst), t.DescriptionLen(r)
	if c, told := t.described(r); told == n {
		dst = t.pool.get(dst, c, n)
	}
	if got := len(dst) - start; got < n { // none, or foreign bytes: nothing rather than half
		dst = append(dst, make([]byte, n-got)...)
		clear(dst[start:])
	}
	return dst
}

// DescriptionLen returns the length in bytes of the flow's description.
func (t *Table) DescriptionLen(r *Record) int {
	_, n := t.described(r)
	if n == 0 || n > event.MaxFlow-event.DescriptionAt {
		return event.DescriptionSize
	}
	return n
}

// described returns the first chunk of the flow's description and the length that
// it says it has, 0 when there is none.
func (t *Table) described(r *Record) (first uint32, n int) {
	first = r.chunk() - 1
	if first >= t.chunks {
		return first, 0
	}
	head := t.chunkAt(first)[4 : 4+event.DescriptionSize]
	n = event.DescriptionSize + int(binary.LittleEndian.Uint16(head[30:]))
	for _, l := range head[24:29] {
		n += int(l)
	}
	return first, n
}

// Described reports whether the flow has a description.
func (r *Record) Described() bool { return r.chunk() != 0 }

// ProtocolID returns the protocol of the flow's description, 0 without one.
func (t *Table) ProtocolID(r *Record) uint16 {
	c := r.chunk()
	if c == 0 || c > t.chunks {
		return 0
	}
	return binary.LittleEndian.Uint16(t.chunkAt(c - 1)[4+12:])
}
