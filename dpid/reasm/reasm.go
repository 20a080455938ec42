// Package reasm puts the first bytes of a TCP direction together: segments out of
// order, sent twice or overlapping, within bounds.
//
// It is not a TCP stack: it keeps a window from the first byte on, the first copy
// of a byte wins, and what lies beyond the window is not kept. Buffers come from a
// Pool of fixed size, so that hostile traffic cannot make it grow.
package reasm

// Window is the most bytes of a direction that are put together.
const Window = 16 << 10

// small is the size most directions need: a request, a hello, a banner.
const small = 2 << 10

// maxSpans is how many islands beyond the first gap are kept.
const maxSpans = 4

type span struct{ from, to int }

// Stream is one direction of a connection. The zero value is ready.
type Stream struct {
	buf     []byte
	base    uint32 // sequence number of the first byte
	started bool
	have    int // bytes in order from the start
	later   [maxSpans]span
	nlater  int
	full    bool // the window is full or no buffer was to be had
}

// Start tells the sequence number of the direction's first byte, known from the
// handshake. Without it the first segment seen begins the stream.
func (s *Stream) Start(seq uint32) {
	if !s.started {
		s.base, s.started = seq, true
	}
}

// Bytes returns what is in order from the start. It is valid until the next Add.
func (s *Stream) Bytes() []byte { return s.buf[:s.have:s.have] }

// Done reports whether nothing more can be added.
func (s *Stream) Done() bool { return s.full }

// Hole reports whether bytes are kept that lie behind bytes which have not come.
func (s *Stream) Hole() bool { return s.nlater > 0 && !s.full }

// Whole reports whether a segment is the first of the stream and needs no copy to
// be looked at: data itself is what Bytes would return after Add.
func (s *Stream) Whole(seq uint32, data []byte) bool {
	return s.have == 0 && s.nlater == 0 && len(data) <= Window && (!s.started || seq == s.base)
}

// Add puts a segment in its place and returns how many bytes the ordered part grew
// by. The first copy of a byte wins.
func (s *Stream) Add(p *Pool, seq uint32, data []byte) int {
	if len(data) == 0 || s.full {
		return 0
	}
	s.Start(seq)
	off := int(int32(seq - s.base))
	if off < s.have { // a retransmission, in part or whole
		cut := s.have - off
		if off < -Window || cut >= len(data) {
			return 0
		}
		data, off = data[cut:], s.have
	}
	if off >= Window {
		if off == s.have {
			s.full = true
		}
		return 0
	}
	data = data[:min(len(data), Window-off)]
	if !s.grow(p, off+len(data)) {
		s.full = true
		return 0
	}
	before := s.have
	s.place(off, data)
	s.full = s.have == Window
	return s.have - before
}

// grow makes room for n bytes.
func (s *Stream) grow(p *Pool, n int) bool {
	if n <= len(s.buf) {
		return true
	}
	b := p.Get(n)
	if b == nil {
		return false
	}
	copy(b, s.buf)
	p.Put(s.buf)
	s.buf = b
	return true
}

// place copies data to offset off, around what is there already.
func (s *Stream) place(off int, data []byte) {
	for len(data) > 0 {
		skip, end := s.gap(off, off+len(data))
		if skip > 0 {
			skip = min(skip, len(data))
			off, data = off+skip, data[skip:]
			continue
		}
		n := end - off
		if !s.store(off, data[:n]) {
			return // no place for another island: the sender will send it again
		}
		off, data = end, data[n:]
	}
}

// gap returns how many bytes from off on are there already, or, when the first is
// missing, where the missing part of [off, end) ends.
func (s *Stream) gap(off, end int) (skip, to int) {
	if off < s.have {
		return s.have - off, 0
	}
	for _, l := range s.later[:s.nlater] {
		if l.from <= off && off < l.to {
			return l.to - off, 0
		}
		if l.from > off && l.from < end {
			end = l.from
		}
	}
	return 0, end
}

// store writes bytes that are missing.
func (s *Stream) store(off int, data []byte) bool {
	end := off + len(data)
	if off > s.have {
		if !s.island(off, end) {
			return false
		}
		copy(s.buf[off:end], data)
		return true
	}
	copy(s.buf[off:end], data)
	s.have = end
	s.join()
	return true
}

// island notes bytes beyond the first gap: as part of an island that they touch, so
// that a flight behind one late segment is one island, else as a new one.
func (s *Stream) island(off, end int) bool {
	for i := range s.later[:s.nlater] {
		if l := &s.later[i]; l.to == off {
			l.to = end
			return true
		} else if l.from == end {
			l.from = off
			return true
		}
	}
	if s.nlater == maxSpans {
		return false
	}
	s.later[s.nlater] = span{off, end}
	s.nlater++
	return true
}

// join moves islands that the ordered part has reached into it.
func (s *Stream) join() {
	for i := 0; i < s.nlater; {
		if l := s.later[i]; l.from <= s.have {
			s.have = max(s.have, l.to)
			s.nlater--
			s.later[i] = s.later[s.nlater]
			i = 0
			continue
		}
		i++
	}
}

// Reset empties the stream and gives its buffer back.
func (s *Stream) Reset(p *Pool) {
	p.Put(s.buf)
	*s = Stream{}
}

// Pool is a bounded stock of buffers. One goroutine owns it.
type Pool struct {
	free        [2][][]byte // small, Window
	made, limit [2]int
}

// NewPool returns a pool of at most n small buffers and n/8 of a whole window (at
// least 16). They are made when first needed and kept.
func NewPool(n int) *Pool { return &Pool{limit: [2]int{n, max(16, n/8)}} }

func class(n int) int {
	if n <= small {
		return 0
	}
	return 1
}

// Get returns a buffer for at least min(n, Window) bytes, of its whole length; nil
// when the pool is used up.
func (p *Pool) Get(n int) []byte {
	c := class(n)
	if l := len(p.free[c]); l > 0 {
		b := p.free[c][l-1]
		p.free[c] = p.free[c][:l-1]
		return b
	}
	if p.made[c] == p.limit[c] {
		return nil
	}
	p.made[c]++
	if c == 0 {
		return make([]byte, small)
	}
	return make([]byte, Window)
}

// Put gives a buffer back, in any length.
func (p *Pool) Put(b []byte) {
	if cap(b) > 0 {
		b = b[:cap(b)]
		c := class(len(b))
		p.free[c] = append(p.free[c], b)
	}
}
