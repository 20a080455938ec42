package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"
)

// Configuration messages; the numbers are the kernel's.
const (
	configCommand = 1 // command u8, 1 byte of nothing, family u16
	configParams  = 2 // copy range u32, copy mode u8
	configMaxLen  = 3
	configMask    = 4 // which flags to change
	configFlags   = 5

	commandBind   = 1
	commandUnbind = 2
)

// OpenNFQueue takes a queue. Its error is a *QueueError. Parts of cfg that the kernel
// lacks are left out: see Capabilities. The caller's thread decides which network
// namespace it is in.
func OpenNFQueue(cfg NFQueueConfig) (*NFQueue, error) {
	if cfg.QueueLength <= 0 {
		cfg.QueueLength = defaultQueueLength
	}
	if cfg.SocketBuffer <= 0 {
		cfg.SocketBuffer = defaultSocketBuffer
	}
	if cfg.CopyRange <= 0 || cfg.CopyRange > maxCopyRange {
		cfg.CopyRange = maxCopyRange
	}
	if cfg.Interface == nil {
		cfg.Interface = func(i uint32) uint16 { return uint16(i) }
	}
	q := &NFQueue{
		cfg: cfg, fd: -1,
		rx:  newReceiver(queueBatch, cfg.CopyRange+metaRoom),
		out: verdicts{queue: cfg.Queue, buf: make([]byte, 0, verdictRoom*(verdictSize+markSize))},
	}
	if err := q.open(); err != nil {
		_ = q.Close()
		return nil, &QueueError{cfg.Queue, err}
	}
	return q, nil
}

func (q *NFQueue) open() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return ErrNoNFQueue
	} else if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	q.fd = fd
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind the netlink socket: %w", err)
	}
	// Beyond the limit of the system where we may, else up to it.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, q.cfg.SocketBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, q.cfg.SocketBuffer); err != nil {
			return fmt.Errorf("set the socket buffer to %d bytes: %w", q.cfg.SocketBuffer, err)
		}
	}
	// Refusals come without the message that was refused.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return fmt.Errorf("shorten acknowledgements: %w", err)
	}
	q.counters, err = os.Open(countersPath)
	if errors.Is(err, os.ErrNotExist) {
		return ErrNoNFQueue
	}
	if err := q.bind(); err != nil {
		return err
	}
	_, q.Capabilities.Counters = q.kernel()
	return nil
}

// bind takes the queue with as many of the wanted features as the kernel has. A
// refused message has changed nothing.
func (q *NFQueue) bind() error {
	c := &q.Capabilities
	c.FailOpen, c.GSO, c.Conntrack = q.cfg.FailOpen, q.cfg.GSO, q.cfg.Conntrack
	for {
		err := q.configure(commandBind, c.flags())
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EOPNOTSUPP):
			return q.explain(err)
		case c.Conntrack: // the one that kernels are most often built without
			c.Conntrack = false
		case c.GSO:
			c.GSO = false
		case c.FailOpen:
			c.FailOpen = false
		default:
			return q.explain(err)
		}
	}
}

func (c *NFQueueCapabilities) flags() (f uint32) {
	for _, x := range []struct {
		on  bool
		bit uint32
	}{{c.FailOpen, nfqueue.NfQaCfgFlagFailOpen}, {c.GSO, nfqueue.NfQaCfgFlagGSO}, {c.Conntrack, nfqueue.NfQaCfgFlagConntrack}} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

// explain says what the kernel means when it refuses the queue.
func (q *NFQueue) explain(err error) error {
	switch {
	case errors.Is(err, unix.EINVAL): // no such netlink subsystem
		return fmt.Errorf("%w (%w)", ErrNoNFQueue, err)
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBUSY):
		return fmt.Errorf("configure: %w", err)
	}
	if l, ok := q.kernel(); ok {
		return fmt.Errorf("%w: stop it or choose another queue; its netlink port, as a rule its process, is %d", ErrQueueTaken, l.port)
	}
	if errors.Is(err, unix.EPERM) && !mayAdminister() {
		return ErrQueueRights
	}
	return fmt.Errorf("%w: stop it or choose another queue", ErrQueueTaken)
}

// mayAdminister reports whether this thread has CAP_NET_ADMIN.
func mayAdminister() bool {
	var data [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return unix.Capget(&hdr, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// configure sends one message and waits for its answer. To bind, everything is in
// that message: a queue that is bound but not yet told to copy packets loses them.
func (q *NFQueue) configure(command uint8, flags uint32) error {
	ne, be := binary.NativeEndian, binary.BigEndian
	b := make([]byte, msgHeader+queueHeader, 128)
	ne.PutUint16(b[4:], msgConfig)
	ne.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	q.sequence++
	ne.PutUint32(b[8:], q.sequence)
	be.PutUint16(b[18:], q.cfg.Queue)
	b = appendAttribute(b, configCommand, []byte{command, 0, 0, 0})
	if command == commandBind {
		b = appendAttribute(b, configParams, append(be.AppendUint32(nil, uint32(q.cfg.CopyRange)), nfqueue.NfQnlCopyPacket))
		b = appendAttribute(b, configMaxLen, be.AppendUint32(nil, uint32(q.cfg.QueueLength)))
		b = appendAttribute(b, configMask, be.AppendUint32(nil, flags))
		b = appendAttribute(b, configFlags, be.AppendUint32(nil, flags))
	}
	ne.PutUint32(b, uint32(len(b)))
	if _, err := unix.Write(q.fd, b); err != nil {
		return err
	}
	return q.answered()
}

// appendAttribute appends an attribute with what brings the next to its place.
func appendAttribute(b []byte, typ uint16, v []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+len(v)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, v...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

// answered returns the answer to the configuration. It is in the socket already, but
// packets may stand before it, as soon as the queue is bound: they are accepted
// unseen and count as missed.
func (q *NFQueue) answered() error {
	q.acked = false
	var f Frame
	for !q.acked {
		if q.i >= q.n && len(q.rest) == 0 {
			if err := q.receive(); err != nil {
				return fmt.Errorf("wait for the kernel's answer: %w", err)
			}
		}
		if q.take(&f) {
			q.Verdict(f.ID, Verdict{Action: Accept})
			q.stats.Received--
			q.stats.Missed++
		}
	}
	if q.ack != 0 {
		return q.ack
	}
	return nil
}

// answer takes in an acknowledgement: of the configuration, or of a verdict that the
// kernel refused.
func (q *NFQueue) answer(msg []byte) {
	if len(msg) < msgHeader+4 {
		q.stats.Malformed++
		return
	}
	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(msg[msgHeader:])))
	switch sequence := binary.NativeEndian.Uint32(msg[8:]); {
	case sequence == 0:
		q.stats.Refused++
	case sequence == q.sequence:
		q.acked, q.ack = true, errno
	}
}
