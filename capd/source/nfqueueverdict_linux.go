package source

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	// verdictRoom is for how many verdicts the buffer holds: two receive batches.
	verdictRoom = 2 * queueBatch
	verdictSize = msgHeader + queueHeader + attrHeader + 8 // without a mark
	markSize    = attrHeader + 4
)

// verdicts gathers messages that one system call sends.
type verdicts struct {
	queue uint16
	buf   []byte
}

// put appends a message. Precondition: there is room.
func (w *verdicts) put(typ uint16, id uint32, v Verdict) {
	n := verdictSize
	if v.SetMark {
		n += markSize
	}
	at := len(w.buf)
	w.buf = w.buf[:at+n]
	b := w.buf[at : at+n : at+n]
	clear(b)
	ne, be := binary.NativeEndian, binary.BigEndian
	ne.PutUint32(b, uint32(n))
	ne.PutUint16(b[4:], typ)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST) // no NLM_F_ACK: only refusals are answered
	be.PutUint16(b[18:], w.queue)
	ne.PutUint16(b[20:], attrHeader+8)
	ne.PutUint16(b[22:], attrVerdict)
	be.PutUint32(b[24:], uint32(v.Action))
	be.PutUint32(b[28:], id)
	if v.SetMark {
		ne.PutUint16(b[32:], markSize)
		ne.PutUint16(b[34:], attrMark)
		be.PutUint32(b[36:], v.Mark)
	}
}

func (w *verdicts) full() bool { return cap(w.buf)-len(w.buf) < verdictSize+markSize }

// Verdict decides about the packet with that number. It is sent with others, by
// Flush at the latest. A packet that is no longer there counts as refused.
func (q *NFQueue) Verdict(id uint32, v Verdict) { q.decide(msgVerdict, id, v) }

// VerdictUpTo decides about every packet that waits and whose number is not after id.
func (q *NFQueue) VerdictUpTo(id uint32, v Verdict) { q.decide(msgVerdictBatch, id, v) }

func (q *NFQueue) decide(typ uint16, id uint32, v Verdict) {
	if q.out.full() {
		if err := q.Flush(); err != nil {
			_ = q.fail(err) // said by the next call
			q.out.buf = q.out.buf[:0]
		}
	}
	q.out.put(typ, id, v)
}

// Flush sends the verdicts gathered so far. Next and Wait do so too before they look
// for packets. After an error the source must be opened anew; the kernel drops what
// waits when it is closed.
func (q *NFQueue) Flush() error {
	for len(q.out.buf) > 0 {
		// Writing to the kernel's socket runs it: on return it has read all.
		_, err := unix.Write(q.fd, q.out.buf)
		switch err {
		case nil:
			q.out.buf = q.out.buf[:0]
		case unix.EINTR:
		default:
			return &QueueError{q.cfg.Queue, fmt.Errorf("send verdicts: %w", err)}
		}
	}
	return q.err
}

// Release decides about all that waits, read or not, and gives the queue back, so
// that nothing waits when the socket is closed. It is for an orderly end.
func (q *NFQueue) Release(v Verdict) error {
	q.VerdictUpTo(q.lastID+1<<30, v) // numbers are compared modulo 1<<32
	if err := q.Flush(); err != nil {
		return err
	}
	if err := q.configure(commandUnbind, 0); err != nil {
		return &QueueError{q.cfg.Queue, fmt.Errorf("give it back: %w", err)}
	}
	return nil
}
