package conntrack

import (
	"sync/atomic"
	"time"

	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// Idle is after what time without a packet a worker ends a flow: packets that come later
// are another flow's, though conntrack still counts them to the same connection.
type Idle struct{ TCP, UDP, DNS, Other time.Duration }

func (i *Idle) of(k *flowkey.Key) uint64 {
	d := i.Other
	switch k.Proto {
	case protoTCP:
		d = i.TCP
	case protoUDP:
		if d = i.UDP; isNaming(k.PortA) || isNaming(k.PortB) {
			d = min(d, i.DNS)
		}
	}
	return uint64(d)
}

// isNaming reports whether a port is that of DNS, mDNS or LLMNR.
func isNaming(port uint16) bool { return port == 53 || port == 5353 || port == 5355 }

// counters say what became of messages and notices.
type counters struct {
	messages, malformed, overruns, dumps, notices, lost, evicted atomic.Uint64
}

// tracker brings together what capture threads met and what the kernel says. One
// goroutine owns it.
type tracker struct {
	table table
	ports []*Port
	idle  Idle
	now   func() uint64 // ns, in the time of packets
	count counters

	dump  uint8    // how many dumps have shown all
	asks  [][]byte // requests for single connections
	hurry bool     // a dump is to come soon
}

// maxAsks is how many connections are asked for one by one; where more end at once, a
// dump of all costs less.
const maxAsks = 256

// drain takes what the capture threads have met so far, and not what they meet meanwhile.
// It comes before each message: a packet is met before the kernel tells of its connection.
func (t *tracker) drain() {
	var s Sighting
	for i, p := range t.ports {
		for n := 0; n < pipeSize && p.sightings.take(&s); n++ {
			t.saw(uint8(i), &s)
		}
	}
}

func (t *tracker) saw(thread uint8, s *Sighting) {
	k := s.Key
	k.VLAN, k.IfA, k.IfB = 0, 0, 0
	slot, ok := t.table.find(&k)
	f := flow{key: k}
	if ok {
		f = t.table.load(slot)
		another := f.hashLo != s.HashLo || f.hashHi != s.HashHi // it goes another way now
		if another || s.TS > f.active && s.TS-f.active > t.idle.of(&k) {
			f.base = f.total
			f.flags &^= told | closing | asked | endSeen
		}
	} else if t.table.inUse(slot) {
		t.count.evicted.Add(1)
	}
	if s.Begin {
		f.begun++
		f.flags &^= told | closing | asked | endSeen
	}
	if s.End {
		f.flags |= endSeen
	}
	f.flags |= used
	f.hashLo, f.hashHi, f.thread, f.l3 = s.HashLo, s.HashHi, thread, s.L3
	f.active = max(f.active, s.TS)
	t.table.store(slot, &f)
}

// news is the occasion of a message.
type news uint8

const (
	created news = iota
	updated
	looked // somebody asked; only then there are counters
	gone
)

// met handles a message about a connection, in each view that a capture thread has of it.
func (t *tracker) met(what news, e *entry) {
	if !followed(e.orig.proto) {
		return
	}
	var seen [views]flowkey.Key
	for v := range views {
		near, far := e.view(v)
		k, reverse := e.key(&near)
		if seen[v] = k; v > 0 && k == seen[0] || v > 1 && k == seen[1] {
			continue
		}
		if slot, ok := t.table.find(&k); ok {
			f := t.table.load(slot)
			c := connection{entry: e, reverse: reverse, far: far, translated: near != far}
			t.apply(what, slot, &f, &c)
		}
	}
}

// connection is an entry as a flow has it.
type connection struct {
	*entry
	reverse    bool // the side that began it is endpoint B
	translated bool
	far        [2]end
}

// totals are those of the connection, in bytes of frames.
func (c *connection) totals(f *flow) totals {
	a, b := &c.count[0], &c.count[1]
	if c.reverse {
		a, b = b, a
	}
	l3 := uint64(f.l3)
	return totals{a.packets, b.packets, a.bytes + l3*a.packets, b.bytes + l3*b.packets}
}

// closed returns the flag that says how TCP ended, 0 while it goes on.
func (c *connection) closed() uint16 {
	switch {
	case c.orig.proto != protoTCP:
		return 0
	case c.tcpState == tcpTimeWait:
		return pkt.AccountFIN
	case c.tcpState == tcpClose:
		return pkt.AccountRST
	}
	return 0
}

func (t *tracker) apply(what news, slot int, f *flow, c *connection) {
	if what == gone {
		t.ended(slot, f, c)
		return
	}
	if f.flags&bound == 0 || f.id != c.id {
		f.total, f.base = totals{}, totals{}
		f.id, f.flags = c.id, f.flags&^(told|closing|asked|endSeen)|bound
	}
	f.met, f.dump = f.begun, t.dump
	if c.status&statusSeenReply != 0 {
		f.flags |= answered
	}
	t.table.store(slot, f)
	if what == created {
		return
	}
	before := *f
	n, say := t.notice(f, c), false
	if n.Account.Flags&pkt.AccountCounted != 0 && f.total != before.total {
		say, f.active = true, t.now()
	}
	if c.mark != f.mark && f.flags&told != 0 || f.flags&told == 0 && c.status&statusSeenReply != 0 {
		say = true
	}
	if over := c.closed(); over != 0 && f.flags&closing == 0 {
		switch {
		case what == looked:
			n.Account.Flags |= over
			f.flags |= closing
			say = true
		case f.flags&(asked|endSeen) == 0: // the worker does not know it yet, nor the totals
			f.flags |= asked
			t.ask(c.entry)
		}
	}
	if say {
		f.flags |= told
		if f.mark = c.mark; !t.say(f.thread, &n) {
			return // as if nothing had been heard: the next dump says it again
		}
	}
	t.table.store(slot, f)
}

// ended tells that a connection has left conntrack. News of one before the flow's last
// beginning are of no interest: the worker has seen the beginning.
func (t *tracker) ended(slot int, f *flow, c *connection) {
	if f.flags&bound == 0 || f.id != c.id {
		return
	}
	if f.met != f.begun {
		f.flags &^= bound | told
		t.table.store(slot, f)
		return
	}
	if c.orig.proto == protoTCP && c.status&statusSeenReply == 0 {
		t.table.remove(slot) // nobody answered: there is nothing that a worker does not know
		return
	}
	n := t.notice(f, c)
	n.Account.Flags |= pkt.AccountOver | c.closed()
	if t.say(f.thread, &n) {
		t.table.remove(slot)
	}
}

// notice makes one of what is known about a flow, and notes the totals in f.
func (t *tracker) notice(f *flow, c *connection) Notice {
	n := Notice{HashLo: f.hashLo, HashHi: f.hashHi, IPProto: f.key.Proto}
	a := &n.Account
	a.ID, a.Mark, a.Zone = c.id, c.mark, c.zone
	if c.counted {
		f.total = c.totals(f)
		var own totals
		for i := range own {
			own[i] = f.total[i] - min(f.base[i], f.total[i])
		}
		a.Flags |= pkt.AccountCounted
		a.PacketsA, a.PacketsB, a.BytesA, a.BytesB = own[0], own[1], own[2], own[3]
	}
	if c.translated {
		a.Flags |= pkt.AccountNAT
		i := 0
		if c.reverse {
			i = 1
		}
		a.A, a.PortA, a.B, a.PortB = c.far[i].addr, c.far[i].port, c.far[1-i].addr, c.far[1-i].port
	}
	return n
}

func (t *tracker) say(thread uint8, n *Notice) bool {
	if int(thread) >= len(t.ports) || !t.ports[thread].notices.put(n) {
		t.count.lost.Add(1)
		return false
	}
	t.count.notices.Add(1)
	return true
}

// ask notes that a connection is to be looked at now.
func (t *tracker) ask(e *entry) {
	if len(t.asks) >= maxAsks {
		t.hurry = true
		return
	}
	family := uint8(familyINET)
	if e.orig.version == 6 {
		family = familyINET6
	}
	attrs := [][]byte{e.raw}
	if e.rawZone != nil {
		attrs = append(attrs, e.rawZone)
	}
	t.asks = append(t.asks, request(nil, family, 0, attrs...))
}

const (
	familyINET  = 2
	familyINET6 = 10
)

// sweep ends the flows whose connections two whole dumps did not show: that they went
// was not heard. One dump may miss a connection, when the kernel's table grows meanwhile.
func (t *tracker) sweep() {
	for i := range t.table.len() {
		if !t.table.inUse(i) {
			continue
		}
		f := t.table.load(i)
		if f.flags&bound == 0 || t.dump-f.dump < 2 {
			continue
		}
		n := Notice{HashLo: f.hashLo, HashHi: f.hashHi, IPProto: f.key.Proto}
		n.Account.Flags, n.Account.ID, n.Account.Mark = pkt.AccountOver, f.id, f.mark
		if t.say(f.thread, &n) {
			t.table.remove(i)
		}
	}
}
