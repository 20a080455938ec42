package layout

// Peer is what an owner line said at one moment, with what the kernel says of
// the owner's lock. For display.
type Peer struct {
	Epoch      uint64
	State      State
	PID        int
	StartTicks uint64
	Heartbeat  uint64 // CLOCK_MONOTONIC ns
	Alive      bool   // the lock is held
}

// Peer reads the owner line.
func (m *Mapping) Peer() Peer {
	o := m.Owner()
	return Peer{
		Epoch: o.Epoch(), State: o.State(), PID: o.PID(),
		StartTicks: o.StartTicks(), Heartbeat: o.Heartbeat(), Alive: m.Locked(),
	}
}
