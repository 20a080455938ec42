package worker

import (
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/proto/event"
	"weir/proto/flowkey"
	"weir/proto/pkt"
)

const (
	client = 0
	server = 1
)

// inspectPacket shows a packet of a flow that is not final to the dissectors.
func (w *Worker) inspectPacket(slot uint32, r *flow.Record, v *view, fromServer bool) {
	x := w.inspect.get(slot)
	dir := client
	if fromServer {
		dir = server
	}
	if len(v.payload) == 0 || r.IPProto() == protoTCP && padding(v) && !x.inFlight(dir) {
		return
	}
	if r.Has(flow.Follow) && r.IPProto() != protoTCP {
		w.follow(slot, r, v, fromServer, nil)
		return
	}
	if x == nil {
		x = w.beginSession(slot, r)
		if r.Has(flow.Follow) { // an earlier process had its streams: they go on from here
			r.Clear(flow.Inspecting)
		}
	}
	x.learnLink(v, fromServer)
	x.count[dir]++
	w.count(cInspected)
	keep, fresh := w.fill(x, r, v, dir)
	if !fresh { // a hole before it: the budget counts all the same
		if w.spent(x) && !r.Has(flow.Follow) {
			w.finish(slot, r, x)
		}
		return
	}
	before := x.flight
	if before && w.held.waits && r.IPProto() == protoTCP {
		x.spared++ // a hello in many small segments: its bytes are bounded
	}
	if r.Has(flow.Follow) {
		w.follow(slot, r, v, fromServer, x)
	} else {
		verdict := w.show(x)
		x.flight = x.trial.Unfinished()
		w.held.ended = before && !x.flight
		w.inspect.keepScratch(x)
		w.verdict(slot, r, x, verdict)
	}
	if keep && w.inspect.get(slot) == x {
		w.keep(x, r, v, dir)
	}
}

// keep copies what was looked at in the packet: the inspection goes on.
func (w *Worker) keep(x *session, r *flow.Record, v *view, dir int) {
	if r.IPProto() == protoTCP {
		x.stream[dir].Add(w.inspect.pool, v.seq(), v.payload)
	} else {
		w.inspect.keepFirst(x, dir, v.payload)
	}
}

// padding reports whether the payload of a TCP segment is what some stacks leave
// behind a bare ACK: up to six zero bytes that fill an Ethernet frame, counted in
// the IP length by mistake. Taken as data they would stand where the first bytes of
// the stream belong.
func padding(v *view) bool {
	if len(v.payload) > 6 || v.d.TCPFlags() != tcpACK {
		return false
	}
	for _, b := range v.payload {
		if b != 0 {
			return false
		}
	}
	return true
}

// beginSession gives the flow private state, cutting the oldest inspection short
// when all are in use.
func (w *Worker) beginSession(slot uint32, r *flow.Record) *session {
	if len(w.inspect.free) == 0 {
		if old := w.inspect.oldest(); old != nil {
			w.count(cNoContext)
			w.cutShort(old)
		}
	}
	x := w.inspect.begin(slot, r)
	x.classified = r.Described() // by an earlier process
	if r.Has(flow.Reinspected) {
		w.count(cReinspected)
	}
	r.Set(flow.Inspecting)
	r.Key(&w.key)
	cport, sport := w.key.PortA, w.key.PortB
	if r.Has(flow.ClientIsB) {
		cport, sport = sport, cport
	}
	x.trial.Init(transportOf(r.IPProto()), r.IPProto(), cport, sport)
	x.wantsScratch = dissect.WantsScratch(transportOf(r.IPProto()))
	return x
}

// handshake begins the session at a SYN-ACK: it tells where both streams begin.
func (w *Worker) handshake(slot uint32, r *flow.Record, d pkt.Descriptor) {
	if w.inspect.get(slot) != nil || len(w.inspect.free) == 0 {
		return
	}
	x := w.beginSession(slot, r)
	x.stream[server].Start(d.Seq() + 1)
	x.stream[client].Start(d.Ack())
}

// fill puts the packet into w.in. keep says that the stream's bytes are still those
// of the packet and must be copied if the inspection goes on; fresh that there is
// something new to look at.
func (w *Worker) fill(x *session, r *flow.Record, v *view, dir int) (keep, fresh bool) {
	in := &w.in
	r.Key(&w.key)
	in.IPProto, in.FromServer = w.key.Proto, dir == server
	in.ClientAddr, in.ServerAddr, in.ClientPort, in.ServerPort = w.key.A, w.key.B, w.key.PortA, w.key.PortB
	if r.Has(flow.ClientIsB) {
		in.ClientAddr, in.ServerAddr, in.ClientPort, in.ServerPort = w.key.B, w.key.A, w.key.PortB, w.key.PortA
	}
	in.ClientCount, in.ServerCount = x.count[client], x.count[server]
	in.ClientEnd, in.ServerEnd = x.ended[client], x.ended[server]
	in.Midstream = r.Has(flow.Midstream)
	in.Scratch = w.inspect.scratchOf(x)
	in.Packet = v.payload
	if w.key.Proto != protoTCP {
		in.Client, in.Server = x.first[client], x.first[server]
		if x.count[dir] == 1 {
			*side(in, dir) = v.payload
		}
		return x.count[dir] == 1, true
	}
	s := &x.stream[dir]
	seq := v.seq()
	if s.Whole(seq, v.payload) {
		in.Client, in.Server = x.stream[client].Bytes(), x.stream[server].Bytes()
		*side(in, dir) = v.payload
		return true, true
	}
	n := s.Add(w.inspect.pool, seq, v.payload)
	in.Client, in.Server = x.stream[client].Bytes(), x.stream[server].Bytes()
	b := s.Bytes()
	in.Packet = b[len(b)-n:]
	if s.Done() {
		x.ended[dir] = true
		if dir == server {
			in.ServerEnd = true
		} else {
			in.ClientEnd = true
		}
	}
	return false, n > 0 || s.Done()
}

func side(in *dissect.Input, dir int) *[]byte {
	if dir == server {
		return &in.Server
	}
	return &in.Client
}

// show calls the dissectors. One that panics is a bug, but of one flow: the flow
// is given up, the worker goes on.
func (w *Worker) show(x *session) (v dissect.Verdict) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked(p)
			w.inspect.dropScratch(x)
			v = dissect.No
		}
	}()
	return x.trial.Inspect(&w.in, &w.out)
}

// spent reports whether the flow's budget of packets or of bytes is used up.
func (w *Worker) spent(x *session) bool {
	return int(x.count[client])+int(x.count[server])-int(x.spared) >= w.set.MaxPackets || x.ended[client] && x.ended[server]
}

// verdict draws the conclusions of what the dissectors said.
func (w *Worker) verdict(slot uint32, r *flow.Record, x *session, verdict dissect.Verdict) {
	spent := w.spent(x)
	switch {
	case verdict == dissect.Yes || verdict == dissect.YesMore && spent:
		w.classify(slot, r, x, true)
	case verdict == dissect.YesMore:
		w.classify(slot, r, x, w.takesOver(x))
	case verdict == dissect.No || spent:
		w.finish(slot, r, x)
	}
}

// follow shows a later packet to the protocol of a classified flow.
func (w *Worker) follow(slot uint32, r *flow.Record, v *view, fromServer bool, x *session) {
	spec, ok := w.protocolOf(r)
	if !ok || w.followOf(spec) == nil {
		r.Clear(flow.Follow)
		r.Set(flow.Final)
		w.inspect.end(slot)
		return
	}
	if x == nil {
		w.key = flowkey.Key{}
		empty := session{}
		w.fill(&empty, r, v, server)
		w.in.Client, w.in.Server, w.in.FromServer = nil, nil, fromServer
		w.in.ClientCount, w.in.ServerCount = counts(r)
	}
	w.out.Reset()
	verdict := w.showFollow(spec)
	if x != nil {
		x.flight = verdict == dissect.More && w.out.IsUnfinished()
	}
	w.hints(r, spec)
	if w.merge(r, spec) && !r.Has(flow.Pending) {
		w.emit(event.FlowUpdate, r, 0)
	}
	if verdict != dissect.More || x != nil && x.ended[client] && x.ended[server] {
		r.Clear(flow.Follow)
		r.Set(flow.Final)
		w.inspect.end(slot)
	}
}

// counts are the packets of both directions, as far as a counter of 16 bits goes.
func counts(r *flow.Record) (client, server uint16) {
	c, s := r.PacketsA(), r.PacketsB()
	if r.Has(flow.ClientIsB) {
		c, s = s, c
	}
	return uint16(min(c, 1<<16-1)), uint16(min(s, 1<<16-1))
}

func (w *Worker) showFollow(spec *dissect.Spec) (v dissect.Verdict) {
	defer func() {
		if p := recover(); p != nil {
			w.panicked(p)
			v = dissect.No
		}
	}()
	return w.followOf(spec)(&w.in, &w.out)
}

// takesOver reports whether a protocol's Again goes on with a flow whose first request
// is whole: another may come before the answer.
func (w *Worker) takesOver(x *session) bool {
	spec := x.trial.Chosen()
	if w.held.rings == nil || spec.Again == nil || x.flight {
		return false
	}
	w.held.peek.Reset()
	return spec.Again(&w.in, w.held.peek) == dissect.More
}

// followOf returns what is shown the later packets of a protocol's flows, nil for
// nothing.
func (w *Worker) followOf(spec *dissect.Spec) func(*dissect.Input, *dissect.Result) dissect.Verdict {
	if w.held.rings != nil && spec.Again != nil {
		return spec.Again
	}
	return spec.Follow
}

// panicked counts a dissector's bug and says where, once in a while (the handler
// limits repeats). The loss of a ring's memory is not the dissector's fault.
func (w *Worker) panicked(p any) {
	if _, fault := p.(interface{ Addr() uintptr }); fault {
		panic(p)
	}
	w.count(cPanics)
	w.part.Log.Error("BUG: dissector panicked; the flow goes on unclassified", "panic", p)
}
