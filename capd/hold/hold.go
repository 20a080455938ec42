// Package hold keeps the packets of netfilter queues that wait for somebody to say
// what becomes of their flow: one FIFO per flow, in the order of arrival, and each
// packet for a bounded time.
//
// It is arithmetic on its own tables: it does no I/O, reads no clock and takes the
// answers of others as hostile bytes. A Table belongs to one capture thread and
// allocates nothing after New.
//
// The invariants: each packet that Arrive saw gets exactly one verdict and is in
// exactly one of the Counters when it has left; of the held packets of a flow none
// leaves before one that came earlier.
package hold

import (
	"weir/capd/source"
	"weir/proto/mark"
)

// Queue is what takes the verdicts; source.NFQueue is one.
type Queue interface {
	Verdict(id uint32, v source.Verdict)
}

// Config is what a Table works with.
type Config struct {
	Number     uint16 // of the queue
	Generation uint16 // of this capd
	Layout     mark.Layout

	// Direct says that packets are dropped here. Otherwise rules of ours behind the
	// queue do it, by the mark, and the connection remembers.
	Direct bool

	Time    uint64        // ns that a packet is held at most
	Expired source.Action // what becomes of it then
	Packets int           // held at once at most
	Flows   int           // whose verdict is remembered
}

// Packet is what Arrive looks at.
type Packet struct {
	ID, Mark       uint32
	HashLo, HashHi uint64
	Worker         int  // who is asked about the flow
	Payload        bool // it has payload of the transport
	Begin          bool // TCP: SYN without ACK
}

// Counters are what became of the packets, and of the answers. Their sum without
// Late, Foreign and Unreadable is the number of packets that arrived and are not held.
type Counters struct {
	Empty   uint64 // accepted: no payload, and nothing of the flow was held
	Known   uint64 // treated as the flow's verdict says, which was known
	WentOn  uint64 // accepted: it cannot name the flow
	Judged  uint64 // held, then treated as the flow's verdict says
	Expired uint64 // nobody answered in time
	Nobody  uint64 // accepted: there was nobody to ask
	Full    uint64 // accepted: too many packets are held
	NoRoom  uint64 // accepted: the worker's ring is full
	Renewed uint64 // held, then dropped: another connection began on its ports
	Left    uint64 // accepted at the end

	Late       uint64 // answers about packets that are not held any more
	Foreign    uint64 // answers to another capd, or about another queue
	Unreadable uint64 // answers that are none
}

// none is the end of a list.
const none = ^uint32(0)

// packet is one that is held. Those of a flow are a list, and all of them are another,
// by age.
type packet struct {
	id, mark     uint32
	flow         uint32
	next         uint32 // of the flow
	older, newer uint32
	deadline     uint64
}

// flow is one that has packets held.
type flow struct {
	lo, hi      uint64
	first, last uint32
	before      uint32 // last until the last one came; for Refused
	chain       uint32 // next of the same bucket
	worker      int32
}

// Table holds the packets of one queue.
type Table struct {
	cfg            Config
	queue          Queue
	count          Counters
	packets        []packet
	flows          []flow
	buckets        []uint32
	freePacket     uint32 // list by next
	freeFlow       uint32 // list by chain
	oldest, newest uint32
	held           int
	known          memory
	now            uint64 // as last told
}

// New returns an empty table.
func New(cfg Config, q Queue) *Table {
	n := max(cfg.Packets, 1)
	t := &Table{cfg: cfg, queue: q, packets: make([]packet, n), flows: make([]flow, n), oldest: none, newest: none}
	size := 1
	for size < n {
		size *= 2
	}
	t.buckets = make([]uint32, size)
	for i := range t.buckets {
		t.buckets[i] = none
	}
	for i := range n {
		t.packets[i].next, t.flows[i].chain = uint32(i+1), uint32(i+1)
	}
	t.packets[n-1].next, t.flows[n-1].chain = none, none
	t.known.init(cfg.Flows)
	return t
}

// Counters returns what became of the packets so far.
func (t *Table) Counters() Counters { return t.count }

// Held returns how many packets are held.
func (t *Table) Held() int { return t.held }

// Deadline returns when the oldest packet expires; false means that none is held.
func (t *Table) Deadline() (ns uint64, ok bool) {
	if t.oldest == none {
		return 0, false
	}
	return t.packets[t.oldest].deadline, true
}

// Arrive decides about a packet that came at time now (ns), or keeps it and returns
// true: then it is to be shown to the worker, who will answer. ask says that there is
// somebody to ask.
func (t *Table) Arrive(p *Packet, now uint64, ask bool) (held bool) {
	t.now = now
	f := t.find(p.HashLo, p.HashHi)
	if p.Begin {
		f = t.begin(f, p)
	} else if e := t.known.find(p.HashLo, p.HashHi); e != nil {
		if e.holds(now) {
			t.count.Known++
			t.treat(p.ID, p.Mark, e.verdict, e.bits)
			return false
		}
		e.follow(p.ID)
	}
	switch {
	case !p.Payload && f == none:
		t.count.Empty++
	case !ask:
		t.count.Nobody++
	case t.freePacket == none:
		t.count.Full++
	default:
		t.add(f, p, now)
		return true
	}
	t.queue.Verdict(p.ID, source.Verdict{Action: source.Accept})
	return false
}

// begin is told of the packet that begins a connection on the ports of f, and returns
// what f is then. What is held is of a connection that is over. No answer about the new
// one may let it go, or a second SYN would bring a forbidden name past its verdict; and
// where the old one lives after all, it sends again.
func (t *Table) begin(f uint32, p *Packet) uint32 {
	t.known.begin(p.HashLo, p.HashHi, p.ID)
	if f == none {
		return none
	}
	for more := true; more; {
		i := t.flows[f].first
		more = t.packets[i].next != none
		t.count.Renewed++
		t.queue.Verdict(t.packets[i].id, source.Verdict{Action: source.Drop})
		t.pop(f)
	}
	return none
}

// Refused takes back the packet that Arrive held just now: its worker cannot be shown
// it.
func (t *Table) Refused() {
	p := t.newest
	f := &t.flows[t.packets[p].flow]
	if f.first != p { // the one before it becomes the last
		t.packets[f.before].next, f.last = none, f.before
	}
	t.count.NoRoom++
	t.queue.Verdict(t.packets[p].id, source.Verdict{Action: source.Accept})
	t.drop(p, f.first == p)
}

// Expire treats the packets whose time is over at now (ns) as the configuration says.
func (t *Table) Expire(now uint64) {
	t.now = now
	for t.oldest != none && t.packets[t.oldest].deadline <= now {
		t.count.Expired++
		t.queue.Verdict(t.packets[t.oldest].id, source.Verdict{Action: t.cfg.Expired})
		t.pop(t.packets[t.oldest].flow)
	}
}

// Abandon accepts all packets that wait for that worker, or for policyd's answer to
// its questions: nobody will say anything.
func (t *Table) Abandon(worker int) {
	for i := t.oldest; i != none; {
		p := &t.packets[i]
		i = p.newer
		// By age, so that each is the first of its flow.
		if t.flows[p.flow].worker == int32(worker) {
			t.count.Nobody++
			t.queue.Verdict(p.id, source.Verdict{Action: source.Accept})
			t.pop(p.flow)
		}
	}
}

// Release accepts all packets, at the end.
func (t *Table) Release() {
	for t.oldest != none {
		t.count.Left++
		t.queue.Verdict(t.packets[t.oldest].id, source.Verdict{Action: source.Accept})
		t.pop(t.packets[t.oldest].flow)
	}
}

// treat does with a packet what the verdict on its flow asks for.
func (t *Table) treat(id, old uint32, v mark.Verdict, bits uint32) {
	switch {
	case v != mark.Accept && t.cfg.Direct:
		t.queue.Verdict(id, source.Verdict{Action: source.Drop})
	case bits == 0:
		t.queue.Verdict(id, source.Verdict{Action: source.Accept})
	default:
		t.queue.Verdict(id, source.Verdict{Action: source.Accept, SetMark: true, Mark: t.cfg.Layout.Merge(old, bits)})
	}
}
