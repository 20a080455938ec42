package dissect

import "encoding/binary"

// gather puts together a message whose parts come in any order, more than once and
// overlapping: CRYPTO frames of QUIC, fragments of DTLS. It is a view of a flow's
// scratch: room for the message and a bit for each byte of it. What came first
// stays; what lies beyond the room is dropped.
type gather struct {
	data []byte
	have []byte // len(data)/8 bytes; len(data) is a multiple of 64
}

// gatherSize is the scratch that a gather of n bytes takes.
func gatherSize(n int) int { return n + n/8 }

func newGather(scratch []byte, n int) gather {
	return gather{data: scratch[:n:n], have: scratch[n : n+n/8 : n+n/8]}
}

func (g gather) reset() { clear(g.have) }

// put adds the part b at off.
func (g gather) put(off uint64, b []byte) {
	if off >= uint64(len(g.data)) || len(b) == 0 {
		return
	}
	from := int(off)
	to := min(from+len(b), len(g.data))
	if !g.touches(from, to) {
		copy(g.data[from:to], b)
		g.mark(from, to)
		return
	}
	for i := from; i < to; i++ {
		if bit := byte(1) << (i & 7); g.have[i>>3]&bit == 0 {
			g.have[i>>3] |= bit
			g.data[i] = b[i-from]
		}
	}
}

// touches reports whether a byte of from to to is there already.
func (g gather) touches(from, to int) bool {
	for i := from; i < to; {
		if i&7 == 0 && to-i >= 8 {
			if g.have[i>>3] != 0 {
				return true
			}
			i += 8
			continue
		}
		if g.have[i>>3]&(1<<(i&7)) != 0 {
			return true
		}
		i++
	}
	return false
}

func (g gather) mark(from, to int) {
	for i := from; i < to; {
		if i&7 == 0 && to-i >= 8 {
			g.have[i>>3] = 0xff
			i += 8
			continue
		}
		g.have[i>>3] |= 1 << (i & 7)
		i++
	}
}

// prefix returns what is there from the start without a hole.
func (g gather) prefix() []byte {
	n := 0
	for n < len(g.data) && binary.LittleEndian.Uint64(g.have[n>>3:]) == ^uint64(0) {
		n += 64
	}
	for n < len(g.data) && g.have[n>>3]&(1<<(n&7)) != 0 {
		n++
	}
	return g.data[:n:n]
}
