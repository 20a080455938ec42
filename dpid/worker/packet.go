package worker

import (
	"encoding/binary"

	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// TCP flag bits, RFC 9293 section 3.1.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpACK = 0x10
)

// view is a packet with its payload taken apart, as far as dpid needs it.
type view struct {
	d       pkt.Descriptor
	p       pkt.Prefix
	frame   []byte
	payload []byte // transport payload; for protocols straight over IP, their header too
	full    bool   // prefix and frame are there
}

// seq returns the TCP sequence number of the payload's first byte. With Fast Open
// it travels with the SYN, which takes a number itself (RFC 7413).
func (v *view) seq() uint32 {
	if v.d.TCPFlags()&tcpSYN != 0 {
		return v.d.Seq() + 1
	}
	return v.d.Seq()
}

// packet counts one packet into its flow and shows it to the dissectors while the
// flow is inspected. The frame of a final flow is not touched: it is where the
// caches miss.
func (w *Worker) packet(d pkt.Descriptor, payload []byte) {
	v := view{d: d}
	slot, r := w.find(d)
	if r != nil && r.Has(flow.Final) {
		w.finals.note(d, payload)
	} else {
		if payload != nil && !v.parse(payload) {
			w.count(cUnparsed)
			return
		}
		if r != nil && v.full {
			if w.makeKey(&v); !r.SameKey(&w.key) {
				r = nil
			}
		}
		if r != nil && !v.full { // of a flow that is inspected
			w.finals.remove(d.HashLo(), d.HashHi())
		}
	}
	if r != nil {
		r = w.table.Touch(slot)
	} else if !v.full {
		w.blind(d)
		return
	} else if slot, r = w.create(&v); r == nil {
		w.count(cNoRoom)
		return
	}
	w.held.met(slot, r)
	w.count(cPackets)
	w.add(cBytes, uint64(d.WireLen()))
	reverse := d.Flags()&pkt.FlagReverse != 0
	r.Count(reverse, d.WireLen(), d.TS())
	fromServer := reverse != r.Has(flow.ClientIsB)
	if fromServer && !r.Has(flow.Replied) {
		r.Set(flow.Replied)
	}
	if d.IPProto() == protoTCP {
		w.tcp(slot, r, d, reverse)
	}
	if !r.Has(flow.Final) && v.full {
		w.inspectPacket(slot, r, &v, fromServer)
	}
	if w.rearm {
		w.rearm = false
		w.table.Rearm(slot, r)
	}
	if !r.Has(flow.Announced) && r.State() == flow.Alive && !r.Has(flow.Pending) {
		w.emit(event.FlowNew, r, 0)
	}
}

// parse checks the offsets that came with a frame.
func (v *view) parse(payload []byte) bool {
	if len(payload) < pkt.PrefixSize {
		return false
	}
	v.p, v.frame = pkt.Prefix(payload[:pkt.PrefixSize]), payload[pkt.PrefixSize:]
	l3, l4, data := v.p.L3(), v.p.L4(), v.p.Data()
	if l3 > l4 || l4 > data || l4 > len(v.frame) || l3+20 > len(v.frame) || v.d.Flags()&pkt.FlagIPv6 != 0 && l3+40 > len(v.frame) {
		return false
	}
	from, end := data, data+int(v.d.L4Len())
	switch v.d.IPProto() {
	case protoTCP, protoUDP:
	default:
		from = l4
	}
	if end = min(end, len(v.frame)); from < end {
		v.payload = v.frame[from:end:end]
	}
	v.full = true
	return true
}

// find looks the packet's flow up and ends it when its time is over: then the
// packet begins a new one. The record is nil when there is none.
func (w *Worker) find(d pkt.Descriptor) (uint32, *flow.Record) {
	slot := w.hunch
	if slot == noGuess || !w.table.Is(slot, d.HashLo(), d.HashHi()) {
		var ok bool
		if slot, ok = w.table.Find(d.HashLo(), d.HashHi()); !ok {
			return 0, nil
		}
	}
	r := w.table.Record(slot)
	now := w.timeOf(d.TS())
	switch {
	case r.Last()+w.timeout[classOf(d.IPProto(), r)] <= now:
		w.end(slot, r, event.EndIdle)
		return 0, nil
	case w.active != 0 && r.First()+w.active <= now && d.Flags()&pkt.FlagPayload == 0:
		w.finals.remove(d.HashLo(), d.HashHi()) // nothing begins without payload: the next has it
	case w.active != 0 && r.First()+w.active <= now:
		w.end(slot, r, event.EndActive)
		return 0, nil
	case r.State() == flow.Closing && d.TCPFlags()&(tcpSYN|tcpACK) == tcpSYN:
		w.end(slot, r, event.EndFIN) // the ports are used again
		return 0, nil
	case w.live && r.Has(flow.Final|flow.Follow) && d.TCPFlags()&(tcpSYN|tcpACK) == tcpSYN:
		w.end(slot, r, event.EndFIN) // and the kernel kept the end of the connection to itself
		return 0, nil
	}
	return slot, r
}

// disorder is how far packets may lie behind the time of the stream, ns. What lies
// further back has another clock: one that was set, or that of another capture.
const disorder = 1_000_000_000

// timeOf returns the time at which a packet finds the flows: that of the stream when
// the packet is out of order, so that it does not matter which timers were looked at.
func (w *Worker) timeOf(ts uint64) uint64 {
	if ts < w.now && w.now-ts <= disorder {
		return w.now
	}
	return ts
}

// makeKey makes the flow key of a packet whose frame is there.
func (w *Worker) makeKey(v *view) (reverse bool) {
	k := &w.key
	var src, dst [16]byte
	ip := v.frame[v.p.L3():]
	if v.d.Flags()&pkt.FlagIPv6 != 0 {
		src, dst = [16]byte(ip[8:24]), [16]byte(ip[24:40])
		k.Version = 6
	} else {
		src, dst = flowkey.V4([4]byte(ip[12:16])), flowkey.V4([4]byte(ip[16:20]))
		k.Version = 4
	}
	k.Proto = v.d.IPProto()
	k.VLAN = 0
	if v.d.Flags()&pkt.FlagVLAN != 0 {
		k.VLAN = v.p.VLAN() & 0xfff
	}
	k.SetInterfaces(v.p.In(), v.p.Out())
	var sport, dport uint16
	if l4 := v.frame[v.p.L4():]; hasPorts(k.Proto) && len(l4) >= 4 {
		sport, dport = binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:])
	}
	return k.Set(&src, &dst, sport, dport)
}

// create begins the packet's flow. There is a free record: makeRoom saw to it. When
// the probation area is full its oldest flow makes room. The record is nil when none
// was found all the same.
func (w *Worker) create(v *view) (uint32, *flow.Record) {
	reverse := w.makeKey(v)
	state, flags := flow.Alive, uint16(0)
	tcp := v.d.IPProto() == protoTCP
	if tcp {
		switch {
		case v.d.TCPFlags()&(tcpSYN|tcpRST) == tcpSYN && v.d.L4Len() == 0:
			if flags = flow.SynSeen; v.d.TCPFlags()&tcpACK == 0 {
				state = flow.Probation
			}
		case v.d.TCPFlags()&tcpSYN != 0:
			flags = flow.SynSeen
		default:
			flags = flow.Midstream
		}
	}
	for w.table.Full(state == flow.Probation) {
		if !w.table.Room(slack) || !w.evict() {
			return 0, nil
		}
	}
	if reverse == w.senderIsClient(v, reverse) {
		flags |= flow.ClientIsB
	}
	slot, r := w.table.Create(&w.key, v.d.HashLo(), v.d.HashHi(), v.d.TS(), v.p.Mark(), state)
	r.Set(flags)
	w.held.begun(slot)
	w.count(cCreated)
	return slot, r
}
