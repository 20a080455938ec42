package steer

// piece is a fragment that waits. Pieces are numbered in the order of their
// arrival; number n is in slot n modulo the number of slots.
type piece struct {
	pos   uint64 // of its bytes in the log
	owner int32  // datagram
	gen   uint32 // the datagram's when it was stored
	next  uint64 // number of the next piece of the datagram
	off   uint16 // of the data in the datagram
	n     uint16 // bytes of data on the wire
	skip  uint16 // bytes before the data: head of the first fragment
	have  uint16 // bytes of data captured
}

// noPiece ends a list of pieces.
const noPiece = ^uint64(0)

// store keeps the bytes of pieces in a log that goes round in fixed memory: the
// oldest piece makes room for the youngest. So memory is bounded whatever comes,
// nothing is allocated, and a flood of fragments pushes out only by its volume.
type store struct {
	log         []byte
	at          uint64 // where the next bytes go; position modulo len(log)
	slots       []piece
	first, last uint64 // pieces first..last-1 are stored
}

func newStore(bytes, pieces int) store {
	return store{log: make([]byte, bytes), slots: make([]piece, pieces)}
}

func (s *store) piece(number uint64) *piece { return &s.slots[number%uint64(len(s.slots))] }

// room finds the place of n contiguous bytes and reports whether it is free now.
// If not, the oldest piece must go.
func (s *store) room(n int) bool {
	size := uint64(len(s.log))
	if left := size - s.at%size; uint64(n) > left {
		s.at += left // bytes never wrap
	}
	oldest := s.at
	if s.first < s.last {
		oldest = s.piece(s.first).pos
	}
	return s.at+uint64(n)-oldest <= size && s.last-s.first < uint64(len(s.slots))
}

// drop forgets the oldest piece and returns it. Precondition: there is one.
func (s *store) drop() piece {
	p := *s.piece(s.first)
	s.first++
	return p
}

// put stores a piece of the bytes head and data. Precondition: room(len(head)+len(data)).
func (s *store) put(p piece, head, data []byte) (number uint64) {
	p.pos = s.at
	b := s.log[s.at%uint64(len(s.log)):]
	copy(b[copy(b, head):], data)
	s.at += uint64(len(head) + len(data))
	number = s.last
	s.last++
	*s.piece(number) = p
	return number
}

// bytes returns the captured data of p, head the bytes that stand before it.
func (s *store) bytes(p *piece) []byte {
	b := s.log[p.pos%uint64(len(s.log)):]
	return b[p.skip : int(p.skip)+int(p.have)]
}

func (s *store) head(p *piece) []byte {
	return s.log[p.pos%uint64(len(s.log)):][:p.skip]
}
