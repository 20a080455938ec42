package conntrack

import (
	"sync/atomic"

	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// Sighting is a packet that a capture thread met.
type Sighting struct {
	Key            flowkey.Key
	HashLo, HashHi uint64
	TS             uint64 // ns
	L3             uint8  // bytes of the frame before the IP header
	Begin, End     bool   // TCP: a SYN without ACK; a FIN or RST
}

// Notice is what the capture thread that met a flow is to hand to its worker.
type Notice struct {
	HashLo, HashHi uint64
	IPProto        uint8
	Account        pkt.Account
}

// Port is where one capture thread tells of flows and takes notices. Its methods are for
// that thread alone.
type Port struct {
	sightings *pipe[Sighting]
	notices   *pipe[Notice]
	missed    atomic.Uint64    // sightings that found no room
	refused   atomic.Uint64    // notices that found no room in a ring
	told      [toldSize]uint64 // flows that were told a moment ago
	until     uint64
}

const (
	pipeSize = 4096
	toldSize = 1024

	// tellAgain is after what time in ns a flow that goes on is told once more.
	tellAgain = uint64(1e9)
)

func newPort() *Port {
	return &Port{sightings: newPipe[Sighting](pipeSize), notices: newPipe[Notice](pipeSize)}
}

// Saw tells of a packet. It allocates nothing and waits for nobody.
func (p *Port) Saw(s *Sighting) {
	if s.TS >= p.until {
		p.until = s.TS + tellAgain
		clear(p.told[:])
	}
	known := &p.told[s.HashHi%toldSize]
	if *known == s.HashHi && !s.Begin && !s.End {
		return
	}
	if !p.sightings.put(s) {
		p.missed.Add(1)
		return
	}
	*known = s.HashHi
}

// Refused tells that the notice that was taken last found no room in its ring.
func (p *Port) Refused() { p.refused.Add(1) }

// Take takes the next notice, if there is one.
func (p *Port) Take(n *Notice) bool { return p.notices.take(n) }
