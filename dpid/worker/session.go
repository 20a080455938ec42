package worker

import (
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/dpid/reasm"
	"weir/proto/event"
	"weir/proto/pkt"
)

// session is the private state of a flow under inspection. It is lost when the
// worker dies; the flow's inspection then begins again.
type session struct {
	slot       uint32
	used       bool
	trial      dissect.Trial
	stream     [2]reasm.Stream // TCP: first bytes from client and server
	first      [2][]byte       // datagrams: the first of each direction, on loan from the pool
	count      [2]uint16       // packets with payload
	ended      [2]bool         // nothing will be added to this direction
	clientMAC  [6]byte
	serverMAC  [6]byte
	link       uint8 // tunnel kind
	classified bool  // a dissector said Yes; more may come
	flight     bool  // in the middle of a flight that can name the flow
	holds      bool  // inline: a packet was withheld, the last of them is held
	held       event.Question
	spared     uint16 // packets that the budget does not count

	wantsScratch bool   // a protocol of its transport has scratch
	scratch      []byte // nil until one wrote to it
}

// sessions hands out the private states. There is a bounded number: when all are
// in use the one that was begun longest ago is cut short.
type sessions struct {
	all     []session
	free    []uint16
	bySlot  []uint16 // session+1 of a flow slot
	hand    int
	pool    *reasm.Pool
	scratch [][]byte // clean blocks; the last one is shown to flows without one
}

const maxSessions = 1<<16 - 2

func (s *sessions) init(n, flows int) {
	n = min(n, maxSessions)
	s.all = make([]session, n)
	s.bySlot = make([]uint16, flows)
	s.pool = reasm.NewPool(2 * n)
	for i := n; i > 0; i-- {
		s.free = append(s.free, uint16(i-1))
	}
}

func (s *sessions) get(slot uint32) *session {
	if i := s.bySlot[slot]; i != 0 {
		return &s.all[i-1]
	}
	return nil
}

// begin gives a flow a session. The caller has made sure that one is free.
func (s *sessions) begin(slot uint32, r *flow.Record) *session {
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.bySlot[slot] = i + 1
	x := &s.all[i]
	x.slot, x.used = slot, true
	x.count, x.ended, x.classified = [2]uint16{}, [2]bool{}, false
	x.clientMAC, x.serverMAC = [6]byte{}, [6]byte{}
	x.flight, x.holds, x.spared = false, false, 0
	return x
}

// oldest returns the session that was begun longest ago, roughly: the hand goes
// round the array, and sessions are handed out from it in order.
func (s *sessions) oldest() *session {
	for range s.all {
		s.hand++
		if s.hand >= len(s.all) {
			s.hand = 0
		}
		if s.all[s.hand].used {
			return &s.all[s.hand]
		}
	}
	return nil
}

// end takes a flow's session away, if it has one.
func (s *sessions) end(slot uint32) {
	i := s.bySlot[slot]
	if i == 0 {
		return
	}
	s.bySlot[slot] = 0
	x := &s.all[i-1]
	for d := range x.stream {
		x.stream[d].Reset(s.pool)
		s.pool.Put(x.first[d])
		x.first[d] = nil
	}
	if x.scratch != nil {
		x.trial.Clean(x.scratch)
		s.scratch = append(s.scratch, x.scratch)
		x.scratch = nil
	}
	x.used = false
	s.free = append(s.free, i-1)
}

// scratchOf returns the block that a session's next packet is inspected with. Most
// flows never write to it: they are shown a clean one and leave it clean.
func (s *sessions) scratchOf(x *session) []byte {
	if x.scratch != nil || !x.wantsScratch {
		return x.scratch
	}
	if len(s.scratch) == 0 {
		s.scratch = append(s.scratch, make([]byte, dissect.ScratchSize()))
	}
	return s.scratch[len(s.scratch)-1]
}

// keepScratch gives the session the block that it was shown, when it wrote to it.
func (s *sessions) keepScratch(x *session) {
	if x.scratch == nil && x.wantsScratch && x.trial.Wrote() {
		x.scratch = s.scratch[len(s.scratch)-1]
		s.scratch = s.scratch[:len(s.scratch)-1]
	}
}

// dropScratch forgets the block that a session was shown: a dissector panicked, and
// nobody knows what it left there.
func (s *sessions) dropScratch(x *session) {
	if x.scratch == nil && x.wantsScratch {
		s.scratch = s.scratch[:len(s.scratch)-1]
	}
	x.scratch, x.wantsScratch = nil, false // its inspection is over
}

// keepFirst copies the first datagram of a direction, cut to what the pool lends.
func (s *sessions) keepFirst(x *session, dir int, payload []byte) {
	if x.first[dir] != nil {
		return
	}
	if b := s.pool.Get(len(payload)); b != nil {
		x.first[dir] = b[:copy(b, payload)]
	}
}

// inFlight reports whether a flight that can name the flow is under way in a direction:
// then no bytes are padding. x may be nil.
func (x *session) inFlight(dir int) bool {
	return x != nil && x.flight && len(x.stream[dir].Bytes()) > 0
}

// learnLink keeps what is below the network layer: tunnel kind, Ethernet addresses.
func (x *session) learnLink(v *view, fromServer bool) {
	x.link = v.d.Link()
	if v.d.Flags()&pkt.FlagEthernet == 0 || len(v.frame) < 12 {
		return
	}
	dst, src := [6]byte(v.frame[0:6]), [6]byte(v.frame[6:12])
	if fromServer {
		dst, src = src, dst
	}
	x.clientMAC, x.serverMAC = src, dst
}
