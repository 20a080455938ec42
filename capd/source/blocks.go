package source

import (
	"errors"
	"io"
)

const (
	// readSize is what one read(2) asks for: large enough that the system call
	// costs nothing per packet, small enough to stay in the second-level cache.
	readSize = 1 << 20

	// maxBlock bounds what is walked in place as one piece: a frame of MaxFrame
	// with its header, or a pcapng block with its options.
	maxBlock = 512 << 10

	// maxIdle is how many empty reads in a row a reader may give; as in bufio.
	maxIdle = 100
)

// blocks reads a stream in large pieces and lends them out in place.
//
// What is left of a piece is moved to just below base before the next read, so
// that a record that crosses two pieces is contiguous and every read still lands
// on the same readSize bytes.
type blocks struct {
	r      io.Reader
	buf    []byte // maxBlock bytes for the rest, then readSize bytes
	lo, hi int    // what was read and not yet taken is buf[lo:hi]
	off    int64  // position in the stream of buf[lo]
	err    error  // what the reader said last; sticky
}

func newBlocks(r io.Reader) *blocks {
	return &blocks{r: r, buf: make([]byte, maxBlock+readSize), lo: maxBlock, hi: maxBlock}
}

// want makes at least n bytes available and reports whether it could.
// Precondition: n <= maxBlock.
func (s *blocks) want(n int) bool {
	if s.hi-s.lo >= n {
		return true
	}
	return s.fill(n)
}

func (s *blocks) fill(n int) bool {
	if s.err == nil {
		rest := copy(s.buf[maxBlock-(s.hi-s.lo):maxBlock], s.buf[s.lo:s.hi])
		s.lo, s.hi = maxBlock-rest, maxBlock
	}
	for idle := 0; s.hi-s.lo < n && s.err == nil; {
		var k int
		k, s.err = s.r.Read(s.buf[s.hi:])
		s.hi += k
		if k > 0 {
			idle = 0
		} else if idle++; idle == maxIdle && s.err == nil {
			s.err = io.ErrNoProgress
		}
	}
	return s.hi-s.lo >= n
}

// peek returns all that is available; valid until the next want.
func (s *blocks) peek() []byte { return s.buf[s.lo:s.hi] }

// take steps over n available bytes. Precondition: want(n) was true.
func (s *blocks) take(n int) {
	s.lo += n
	s.off += int64(n)
}

// skip steps over n bytes without holding them and reports whether they were there.
func (s *blocks) skip(n int64) bool {
	for {
		k := int(min(n, int64(s.hi-s.lo)))
		s.take(k)
		if n -= int64(k); n == 0 {
			return true
		}
		if !s.want(1) {
			return false
		}
	}
}

// short returns why want failed: a read error, or else a truncated file.
func (s *blocks) short() error {
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	return ErrTruncated
}
