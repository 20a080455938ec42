package source

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// queueBatch is how many packets one system call brings. Twice as many gain
	// less than a tenth and add to the delay of the first.
	queueBatch = 64

	// metaRoom is for the attributes beside the payload; with connection state
	// they are some 400 bytes.
	metaRoom = 2048
)

// NFQueue serves one netfilter queue: every frame waits in the kernel for its
// Verdict. It belongs to one goroutine. It reads and answers the kernel's messages
// itself, many per system call; docs/decisions/006-nfqueue-hot-path.md says why.
type NFQueue struct {
	Capabilities NFQueueCapabilities // settled by OpenNFQueue

	cfg      NFQueueConfig
	fd       int
	rx       *receiver
	i, n     int    // messages taken from the batch, and in it
	rest     []byte // of the present message
	p        queued
	now      uint64 // clock of the batch
	out      verdicts
	lastID   uint32
	started  bool // lastID is one
	acked    bool // the present configuration was answered, by ack
	ack      unix.Errno
	sequence uint32
	stats    NFQueueStats
	counters *os.File
	line     [4096]byte
	poll     [1]unix.PollFd
	timeout  unix.Timespec
	err      error
}

// Next fills f with the next packet. Its Data dies with the next call, its number
// (ID) with its verdict. Verdicts gathered so far are sent before more packets are
// asked for.
func (q *NFQueue) Next(f *Frame) error {
	for {
		for q.i < q.n || len(q.rest) > 0 {
			if q.take(f) {
				return nil
			}
		}
		if err := q.receive(); err != nil {
			return err
		}
	}
}

// take reads one message of the batch and reports whether it filled f.
func (q *NFQueue) take(f *Frame) bool {
	if len(q.rest) == 0 {
		q.rest = q.rx.message(q.i)
		q.i++
		if q.rest == nil {
			q.stats.Malformed++
			return false
		}
	}
	typ, msg, rest, ok := netlinkMessage(q.rest)
	q.rest = rest
	switch {
	case !ok:
		q.stats.Malformed++
		return false
	case typ == msgError:
		q.answer(msg)
		return false
	case typ != msgPacket:
		return false
	}
	return q.packet(f, msg)
}

func (q *NFQueue) packet(f *Frame, msg []byte) bool {
	p := &q.p
	whole := p.parse(msg)
	if p.hasID {
		if gap := p.id - q.lastID - 1; q.started && gap < 1<<31 {
			q.stats.Missed += uint64(gap)
		}
		q.lastID, q.started = p.id, true
	}
	if !whole {
		q.stats.Malformed++
		if p.hasID {
			q.Verdict(p.id, Verdict{Action: Accept})
		}
		return false
	}
	p.fill(f, msg)
	if f.TS == 0 {
		f.TS = q.now
	}
	f.Queue = q.cfg.Queue
	in, out := p.interfaces()
	f.If = q.cfg.Interface(in)
	f.Out = f.If
	if out != in {
		f.Out = q.cfg.Interface(out)
	}
	q.stats.Received++
	return true
}

// Meta returns what is known beyond the last frame. It dies with the next call of
// Next.
func (q *NFQueue) Meta() *QueueMeta { return &q.p.meta }

// receive takes the next batch from the socket.
func (q *NFQueue) receive() error {
	if err := q.Flush(); err != nil {
		return q.fail(err)
	}
	for {
		n, errno := q.rx.receive(q.fd)
		switch errno {
		case 0:
			q.i, q.n = 0, n
			q.now = uint64(time.Now().UnixNano())
			return nil
		case unix.EAGAIN:
			return ErrIdle
		case unix.EINTR:
		case unix.ENOBUFS:
			q.stats.Overruns++ // said once; what is in the socket is still good
		default:
			return q.fail(&QueueError{q.cfg.Queue, fmt.Errorf("receive: %w", errno)})
		}
	}
}

// fail keeps the first error for all later calls.
func (q *NFQueue) fail(err error) error {
	if q.err == nil {
		q.err = err
	}
	return q.err
}

// Wait sends the verdicts gathered so far, for their packets wait with them, and
// returns when a packet is there or d has passed.
func (q *NFQueue) Wait(d time.Duration) error {
	if err := q.Flush(); err != nil {
		return q.fail(err)
	}
	return q.Poll(d)
}

// Poll is Wait without the verdicts. Of all methods it alone may run while another
// goroutine calls Verdict and Flush.
func (q *NFQueue) Poll(d time.Duration) error {
	q.poll[0] = unix.PollFd{Fd: int32(q.fd), Events: unix.POLLIN}
	q.timeout = unix.NsecToTimespec(max(int64(d), 0))
	if _, err := unix.Ppoll(q.poll[:], &q.timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return &QueueError{q.cfg.Queue, fmt.Errorf("wait: %w", err)}
	}
	return nil
}

// Close ends the source. The kernel drops what still waits for a verdict; Release
// comes before it where that matters.
func (q *NFQueue) Close() error {
	if q.fd < 0 {
		return nil
	}
	_ = q.fail(&QueueError{q.cfg.Queue, os.ErrClosed})
	q.i, q.n, q.rest, q.out.buf = 0, 0, nil, q.out.buf[:0]
	if q.counters != nil {
		_ = q.counters.Close()
	}
	fd := q.fd
	q.fd = -1
	return unix.Close(fd)
}
