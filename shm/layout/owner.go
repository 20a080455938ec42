package layout

import (
	"crypto/rand"
	"sync/atomic"
)

// State is what an owner says about its file.
type State uint32

// States of an owner line. Zero means that no owner ever attached.
const (
	StateLive    State = 1 // being written, or its owner died: the lock tells
	StateClosed  State = 2 // the owner left in good order; nothing will follow
	StateRetired State = 3 // replaced by another file of the same name
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case StateLive:
		return "live"
	case StateClosed:
		return "closed"
	case StateRetired:
		return "retired"
	}
	return "new"
}

// Offsets within the owner line.
const (
	ownerEpoch     = 0
	ownerState     = 8
	ownerPID       = 12
	ownerStart     = 16
	ownerHeartbeat = 24
)

// Owner is the owner line of a mapping. Only the owner may call Claim, SetState
// and Beat. Process id and heartbeat are for display; the lock decides.
type Owner struct {
	epoch, start, heartbeat *atomic.Uint64
	state, pid              *atomic.Uint32
}

// Owner returns the owner line.
func (m *Mapping) Owner() Owner {
	return Owner{
		epoch: m.U64(m.owner + ownerEpoch), start: m.U64(m.owner + ownerStart),
		heartbeat: m.U64(m.owner + ownerHeartbeat),
		state:     m.U32(m.owner + ownerState), pid: m.U32(m.owner + ownerPID),
	}
}

// Claim writes this process into the line, state live, and returns its epoch,
// one more than that of the owner before.
func (o Owner) Claim() uint64 {
	o.pid.Store(selfPID)
	o.start.Store(selfStart)
	o.Beat()
	e := o.epoch.Load() + 1
	o.epoch.Store(e)
	o.SetState(StateLive)
	return e
}

// SetState publishes s.
func (o Owner) SetState(s State) { o.state.Store(uint32(s)) }

// Beat stores the present time as heartbeat. Not for the packet path.
func (o Owner) Beat() { o.heartbeat.Store(Monotonic()) }

// Epoch returns how many owners the file has had.
func (o Owner) Epoch() uint64 { return o.epoch.Load() }

// State returns the owner's last word.
func (o Owner) State() State { return State(o.state.Load()) }

// PID returns the process id of the last owner.
func (o Owner) PID() int { return int(int32(o.pid.Load())) }

// StartTicks returns when that process started, in clock ticks since boot: with
// it a reused process id is recognised.
func (o Owner) StartTicks() uint64 { return o.start.Load() }

// Heartbeat returns the owner's last sign of life, CLOCK_MONOTONIC ns.
func (o Owner) Heartbeat() uint64 { return o.heartbeat.Load() }

// randomID returns a random word that is not zero.
func randomID() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails: it would have crashed the program
		if id := host.Uint64(b[:]); id != 0 {
			return id
		}
	}
}
