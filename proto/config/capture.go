package config

import (
	"net/netip"
	"time"
)

// Values of Capture.Source.
const (
	SourcePCAP    = "pcap"
	SourceTPacket = "tpacket"
	SourceNFQueue = "nfqueue"
)

// Capture says where packets come from.
type Capture struct {
	Source  string   // one of the Source constants
	Files   []string // captures to replay, for SourcePCAP
	Pace    float64  // 0 = as fast as possible, 1 = as recorded, N = N times as fast
	Threads int      // SourceTPacket: sockets per interface; SourceNFQueue: queues; 0 = derived; see Rings
	CPUs    []int    // CPU of capture thread i is CPUs[i % len]; empty = not pinned
	Filter  string   // tcpdump expression, compiled by capd; "" = all packets

	Local []netip.Prefix // networks that are ours; nil = the private ones

	HeaderOnly bool // live: packets of flows whose inspection is over go on without their bytes

	Interfaces []Interface // in order of appearance
	TPacket    TPacket
	NFQueue    NFQueue
	Conntrack  Conntrack
}

// Rings returns the number of capture threads in all, each of which has a packet
// ring to every worker. It is at least 1, also before Derive.
func (c *Capture) Rings() int {
	switch c.Source {
	case SourceTPacket:
		return max(c.Threads, 1) * max(len(c.Interfaces), 1)
	case SourceNFQueue:
		return max(c.Threads, 1)
	}
	return 1 // a capture is read in its order
}

// threadsFor derives Threads from the number of CPUs: a quarter captures, as far
// as interfaces and queue numbers go.
func (c *Capture) threadsFor(ncpu int) int {
	n := min(ncpu/4, MaxThreads)
	switch c.Source {
	case SourceTPacket:
		n /= max(len(c.Interfaces), 1)
	case SourceNFQueue:
		n = min(n, maxQueue+1-c.NFQueue.First)
	}
	return max(n, 1)
}

// kernelMemory is what the kernel holds for capd, in bytes: rings that are
// committed when they are made, and what sockets may fill.
func (c *Capture) kernelMemory() Size {
	switch c.Source {
	case SourceTPacket:
		return Size(c.Rings()) * c.TPacket.BlockSize * Size(c.TPacket.Blocks)
	case SourceNFQueue:
		return Size(c.Rings())*c.NFQueue.SocketBuffer + c.Conntrack.SocketBuffer
	}
	return 0
}

// Values of Interface.Role.
const (
	RoleLAN = "lan"
	RoleWAN = "wan"
)

// Role returns the role of the interface called name, "" when it has none.
func (c *Capture) Role(name string) string {
	for i := range c.Interfaces {
		if c.Interfaces[i].Name == name {
			return c.Interfaces[i].Role
		}
	}
	return ""
}

// Interface is one [[capture.interface]].
type Interface struct {
	Pos
	Name string // of the kernel
	Role string // one of the Role constants; "" = not known
}

// Values of TPacket.Fanout, how the kernel shares packets among the sockets of
// an interface. Only FanoutHash brings both directions of a flow to one thread;
// with all of them they come to one worker.
const (
	FanoutHash     = "hash"
	FanoutCPU      = "cpu"
	FanoutLB       = "lb"
	FanoutRollover = "rollover"
	FanoutRandom   = "random"
	FanoutQM       = "qm"
)

// TPacket describes the sockets of SourceTPacket.
type TPacket struct {
	Fanout      string        // one of the Fanout constants
	Defrag      bool          // the kernel puts fragments together before it shares them out
	Rollover    bool          // a packet that finds its socket full goes to another one
	BlockSize   Size          // of a ring's block, a power of two
	Blocks      int           // of a ring
	Retire      time.Duration // a block that is not full is handed over after this time
	Promiscuous bool          // also packets for other machines
}

// Values of NFQueue.Rules: which packets our own rules bring to the queues.
const (
	RulesManual  = "manual" // none; the user has rules of his own
	RulesForward = "forward"
	RulesInput   = "input"
	RulesOutput  = "output"
	RulesBridge  = "bridge"
)

// Values of NFQueue.Expired.
const (
	ExpiredAccept = "accept"
	ExpiredDrop   = "drop"
)

// NFQueue describes the queues of SourceNFQueue, numbers First to
// First+Capture.Threads-1.
type NFQueue struct {
	First        int            // number of the first queue
	FailOpen     bool           // packets that find a queue full are accepted
	GSO          bool           // packets are not cut to the MTU before they are queued
	Conntrack    bool           // packets come with what conntrack knows, where the kernel can
	QueueLength  int            // packets that may wait for a verdict in one queue
	SocketBuffer Size           // of one queue
	CopyRange    Size           // bytes of each packet that are copied
	Rules        string         // one of the Rules constants
	Packets      int            // only so many packets of a flow are queued; 0 = no limit
	Exempt       []netip.Prefix // traffic of these is never queued
	Hold         time.Duration  // longest wait for a verdict; 0 = accept at once, only look
	Expired      string         // one of the Expired constants: what becomes of a packet after Hold
}

// Conntrack says what capd asks the kernel's connection tracking.
type Conntrack struct {
	Listen       bool          // SourceNFQueue: to totals and ends of flows whose packets pass in the kernel
	Accounting   bool          // the kernel's counters are switched on
	Interval     time.Duration // between two looks at all connections
	SocketBuffer Size          // of events
}

// DefaultMarkMask is Policy.MarkMask of a configuration that does not give it.
const DefaultMarkMask = 0xff000000

func defaultCapture() Capture {
	return Capture{
		Source: SourcePCAP, HeaderOnly: true,
		TPacket: TPacket{
			Fanout: FanoutHash, Defrag: true, BlockSize: 1 * MiB, Blocks: 16,
			// Below what a person or a timer notices, and only 125 wake-ups a second of a quiet link.
			Retire: 8 * time.Millisecond, Promiscuous: true,
		},
		NFQueue: NFQueue{
			FailOpen: true, GSO: true, Conntrack: true, QueueLength: 4096, SocketBuffer: 8 * MiB, CopyRange: 64 * KiB,
			Rules: RulesManual, Packets: 16, Expired: ExpiredAccept,
		},
		Conntrack: Conntrack{Listen: true, Accounting: true, Interval: 10 * time.Second, SocketBuffer: 4 * MiB},
	}
}
