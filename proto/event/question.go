package event

import "encoding/binary"

// Question is what stands behind the flow payload of an event with FlagQuestion: a
// packet of the flow waits in a netfilter queue until policyd says what becomes of
// it. It is no part of the flow; whoever does not answer need not look at it.
//
//	 0 u64 hash low    8 u64 hash high
//	16 u32 packet id  20 u16 queue  22 u16 generation of capd
//	24 u16 capture thread, whose verdict ring the answer goes to
//	26 [6] reserved (0)
type Question struct {
	HashLo, HashHi uint64
	ID             uint32
	Queue          uint16
	Generation     uint16
	Thread         uint16
}

// QuestionSize is the length in bytes of an encoded Question.
const QuestionSize = 32

// Encode lays q out in b. Precondition: len(b) >= QuestionSize.
func (q *Question) Encode(b []byte) {
	b = b[:QuestionSize:QuestionSize]
	binary.LittleEndian.PutUint64(b[0:], q.HashLo)
	binary.LittleEndian.PutUint64(b[8:], q.HashHi)
	binary.LittleEndian.PutUint32(b[16:], q.ID)
	binary.LittleEndian.PutUint16(b[20:], q.Queue)
	binary.LittleEndian.PutUint16(b[22:], q.Generation)
	binary.LittleEndian.PutUint16(b[24:], q.Thread)
	clear(b[26:])
}

// ParseQuestion returns the question that stands behind f in the payload b that f
// was parsed from. It reports false when there is none.
func ParseQuestion(b []byte, f Flow) (q Question, ok bool) {
	if f.Flags()&FlagQuestion == 0 || len(b)-len(f) < QuestionSize {
		return q, false
	}
	b = b[len(f) : len(f)+QuestionSize : len(f)+QuestionSize]
	q.HashLo = binary.LittleEndian.Uint64(b[0:])
	q.HashHi = binary.LittleEndian.Uint64(b[8:])
	q.ID = binary.LittleEndian.Uint32(b[16:])
	q.Queue = binary.LittleEndian.Uint16(b[20:])
	q.Generation = binary.LittleEndian.Uint16(b[22:])
	q.Thread = binary.LittleEndian.Uint16(b[24:])
	return q, true
}
