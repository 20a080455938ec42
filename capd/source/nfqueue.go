package source

import (
	"errors"
	"fmt"
)

// NFQueueConfig says which netfilter queue an NFQueue serves, and how. Zero values
// of the sizes are replaced by defaults that suit a gateway.
type NFQueueConfig struct {
	Queue uint16

	FailOpen  bool // what finds no room goes on unseen instead of being lost
	GSO       bool // segments that belong together come as one frame, up to 64 KiB
	Conntrack bool // frames carry the state of their connection

	QueueLength  int // packets that may wait for a verdict, 0 for 4096
	SocketBuffer int // bytes of them on their way to us, 0 for 16 MiB
	CopyRange    int // bytes of a packet that are copied, 0 or more than 65531: 65531

	// Interface maps an interface number of the kernel to the one that frames
	// carry. It is called for every frame. nil: the number's low 16 bits.
	Interface func(ifindex uint32) uint16
}

const (
	defaultQueueLength  = 4096
	defaultSocketBuffer = 16 << 20

	// maxCopyRange is the longest payload of a netlink attribute, whose length is
	// 16 bits wide and counts its own 4 bytes.
	maxCopyRange = 1<<16 - 1 - attrHeader
)

// NFQueueCapabilities are the parts of a configuration that are in force. A kernel
// may be built without some.
type NFQueueCapabilities struct {
	FailOpen, GSO, Conntrack bool

	// Counters says that the kernel lets us read how many packets it lost. They
	// are in a file that only root of the namespace may read.
	Counters bool
}

// Missing names what cfg asks for and the kernel refused; nil when it has all.
func (c NFQueueCapabilities) Missing(cfg *NFQueueConfig) []string {
	var names []string
	for _, f := range []struct {
		name      string
		want, got bool
	}{
		{"fail-open", cfg.FailOpen, c.FailOpen},
		{"gso", cfg.GSO, c.GSO},
		{"conntrack", cfg.Conntrack, c.Conntrack},
		{"counters", true, c.Counters},
	} {
		if f.want && !f.got {
			names = append(names, f.name)
		}
	}
	return names
}

// NFQueueStats say more about a queue than Stats. A packet that never came to us is
// in QueueFull, or in SocketFull, or in Missed only when fail-open let it pass.
type NFQueueStats struct {
	Received   uint64 // frames given to the caller
	Overruns   uint64 // times when the socket had no room (ENOBUFS)
	Missed     uint64 // packet numbers that never came: lost for want of room in the socket, or passed by fail-open
	QueueFull  uint64 // dropped by the kernel because too many waited; 0 without Counters
	SocketFull uint64 // dropped by the kernel because the socket had no room; 0 without Counters
	Malformed  uint64 // messages that could not be read; their packets were accepted
	Refused    uint64 // verdicts the kernel refused: their packet was no longer there
	Waiting    uint64 // packets without a verdict at the moment; 0 without Counters
}

// dropped is what the kernel lost, as far as it lets us know.
func (s *NFQueueStats) dropped(c *NFQueueCapabilities) uint64 {
	switch {
	case c.Counters:
		return s.QueueFull + s.SocketFull
	case c.FailOpen:
		return 0 // what is missed went on
	}
	return s.Missed
}

// Reasons why a queue cannot be served. They come wrapped in a *QueueError.
var (
	// ErrQueueTaken means that another socket has the queue.
	ErrQueueTaken = errors.New("taken by another program")

	// ErrQueueRights means that the kernel forbids it.
	ErrQueueRights = errors.New("not allowed, it needs the capability CAP_NET_ADMIN")

	// ErrNoNFQueue means that the kernel has no netfilter queues.
	ErrNoNFQueue = errors.New("this kernel has no netfilter queues: load the module nfnetlink_queue, or build it with CONFIG_NETFILTER_NETLINK_QUEUE")
)

// QueueError says what is wrong with a netfilter queue.
type QueueError struct {
	Queue uint16
	Err   error
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("netfilter queue %d: %v", e.Queue, e.Err)
}

// Unwrap returns the reason.
func (e *QueueError) Unwrap() error { return e.Err }

// Action is what shall become of a packet. The values are the kernel's.
type Action uint8

// Actions.
const (
	Drop   Action = 0
	Accept Action = 1 // goes on to the next base chain of the hook
	Repeat Action = 4 // goes through the hook again from its first chain
)

// Verdict decides about one packet.
type Verdict struct {
	Action  Action
	SetMark bool
	Mark    uint32 // the packet's netfilter mark, with SetMark
}
