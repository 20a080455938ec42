package config

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Limits of live capture.
const (
	MaxHold        = time.Second // a held packet; longer stalls break connections
	MaxTPacketRing = 1 * GiB     // block_size x blocks of one socket

	maxQueue         = 1<<16 - 1
	maxInterfaceName = 15 // IFNAMSIZ less its zero
)

func (c *Capture) fields() []field {
	return []field{
		choice("source", &c.Source, "pcap (files), tpacket (mirror or gateway) or nfqueue (inline).", SourcePCAP, SourceTPacket, SourceNFQueue),
		texts("files", &c.Files, "Captures to replay, in this order.", same, parsePath),
		number("pace", &c.Pace, "0.0 = as fast as possible, 1.0 = as recorded, N = N times as fast.", 0, 1e6),
		integer("threads", &c.Threads, "Sockets per interface (tpacket) or queues (nfqueue), a thread each; 0 = derived from the CPUs.", 0, MaxThreads),
		integers("cpus", &c.CPUs, "CPUs to pin capture threads to, in turn; empty = not pinned.", 0, 4095),
		boolean("header_only", &c.HeaderOnly, "Live: longer packets of flows whose inspection is over go to the workers without their bytes."),
		text("filter", &c.Filter, "tcpdump expression, such as \"not port 22\"; other packets are not seen; empty = all.", nil),
		texts("local", &c.Local, "Networks that are ours; empty = private and link-local ones. Live, those of interfaces with role lan are too.", netip.Prefix.String,
			func(_ *node, s string) (netip.Prefix, error) { return parseNetwork(s) }),
		list("interface", "Interfaces to capture from, and their roles.", &c.Interfaces, func(i *Interface, p Pos) { i.Pos = p }, (*Interface).fields),
		section("tpacket", "Sockets of source = \"tpacket\".", c.TPacket.fields()...),
		section("nfqueue", "Queues of source = \"nfqueue\".", c.NFQueue.fields()...),
		section("conntrack", "What the kernel's connection tracking is asked, with source = \"nfqueue\".", c.Conntrack.fields()...),
	}
}

func (i *Interface) fields() []field {
	return []field{
		text("name", &i.Name, "Name of the interface, such as \"eth0\".", checkInterface),
		text("role", &i.Role, "lan or wan; empty = not known.", checkRole),
	}
}

func (t *TPacket) fields() []field {
	return []field{
		choice("fanout", &t.Fanout, "How the kernel shares packets among the threads of an interface: hash, cpu, lb, rollover, random or qm.",
			FanoutHash, FanoutCPU, FanoutLB, FanoutRollover, FanoutRandom, FanoutQM),
		boolean("defrag", &t.Defrag, "The kernel puts fragments together first, so that they come to one thread."),
		boolean("rollover", &t.Rollover, "A packet that finds its ring full goes to another thread's."),
		sizeIn("block_size", &t.BlockSize, "A block of the kernel's ring, a power of two; no packet is larger.", 64*KiB, 64*MiB, checkPower),
		integer("blocks", &t.Blocks, "Blocks of the kernel's ring.", 2, 4096),
		duration("retire", &t.Retire, "A block that is not full is handed over after this time.", time.Millisecond, 100*time.Millisecond),
		boolean("promiscuous", &t.Promiscuous, "Packets for other machines are captured too."),
	}
}

func (q *NFQueue) fields() []field {
	return []field{
		integer("first", &q.First, "Number of the first queue; a thread each follows.", 0, maxQueue),
		boolean("fail_open", &q.FailOpen, "Packets that find a queue full pass; false drops them."),
		boolean("gso", &q.GSO, "Large packets of segmentation offload are queued whole."),
		boolean("conntrack", &q.Conntrack, "Packets come with what conntrack knows, where the kernel can."),
		integer("queue_length", &q.QueueLength, "Packets that may wait for a verdict in one queue.", 1, 1<<20),
		sizeIn("socket_buffer", &q.SocketBuffer, "Receive buffer of one queue.", 64*KiB, GiB, nil),
		sizeIn("copy_range", &q.CopyRange, "Bytes of each packet that are copied to user space.", 256, 64*KiB, nil),
		choice("rules", &q.Rules, "What our own rules bring to the queues: forward, input, output, bridge, or manual (no rules of ours).",
			RulesManual, RulesForward, RulesInput, RulesOutput, RulesBridge),
		integer("packets", &q.Packets, "Packets of a flow that are queued, both directions together; 0 = no limit.", 0, 1<<20),
		texts("exempt", &q.Exempt, "Networks whose traffic is never queued.", netip.Prefix.String,
			func(_ *node, s string) (netip.Prefix, error) { return parseNetwork(s) }),
		duration("hold", &q.Hold, "Longest wait of a packet for its verdict, \"20ms\" when enforcing inline; 0s = only look.", 0, MaxHold),
		choice("expired", &q.Expired, "What becomes of a packet whose wait was in vain: accept or drop.", ExpiredAccept, ExpiredDrop),
	}
}

func (c *Conntrack) fields() []field {
	return []field{
		boolean("listen", &c.Listen, "Flows get totals, ends and translated addresses from conntrack."),
		boolean("accounting", &c.Accounting, "net.netfilter.nf_conntrack_acct is switched on, without which there are no totals."),
		duration("interval", &c.Interval, "Time between two looks at the totals of all connections.", time.Second, time.Hour),
		sizeIn("socket_buffer", &c.SocketBuffer, "Receive buffer of conntrack's events.", 64*KiB, GiB, nil),
	}
}

// sizeIn is a size for which 0 has no meaning of its own.
func sizeIn(key string, p *Size, doc string, lo, hi Size, check func(Size) error) field {
	return size(key, p, doc, 0, math.MaxUint64, func(v Size) error {
		if v < lo || v > hi {
			return fmt.Errorf("must be %v to %v", lo, hi)
		}
		if check == nil {
			return nil
		}
		return check(v)
	})
}

// mask is a run of bits, as a hexadecimal string or an integer.
func mask(key string, p *uint32, doc string) field {
	return field{key: key, doc: doc,
		get: func() string { return quote(fmt.Sprintf("%#08x", *p)) },
		set: func(n *node) error {
			var v uint64
			var err error
			switch x := n.value.(type) {
			case string:
				v, err = strconv.ParseUint(x, 0, 32)
			case int64:
				v, err = strconv.ParseUint(strconv.FormatInt(x, 10), 10, 32)
			default:
				return mistyped(n, "a mask such as \"0xff000000\"")
			}
			if err != nil {
				return errors.New("not a mask of 32 bits; write it like \"0xff000000\"")
			}
			m := uint32(v)
			width := bits.OnesCount32(m)
			if width < 2 || bits.Len32(m)-bits.TrailingZeros32(m) != width {
				return errors.New("must be one run of at least 2 bits, such as \"0xff000000\"")
			}
			*p = m
			return nil
		}}
}

func checkRole(s string) error {
	if s == "" || s == RoleLAN || s == RoleWAN {
		return nil
	}
	return fmt.Errorf("must be %s or %s", RoleLAN, RoleWAN)
}

// checkInterface allows what the kernel does.
func checkInterface(s string) error {
	if s == "" || len(s) > maxInterfaceName || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r\x00") {
		return fmt.Errorf("must be the name of an interface: 1 to %d characters without '/', ':' or space, see \"ip link\"", maxInterfaceName)
	}
	return nil
}
