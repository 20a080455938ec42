package look

import (
	"os"
	"strconv"
	"strings"
	"time"

	"weir/shm/layout"
)

// Process is what the kernel says of an owner that lives.
type Process byte

// States of a process.
const (
	Unknown Process = 0   // no owner, or its process cannot be seen
	Running Process = 'R' // running, or asleep until something comes
	Stopped Process = 'T' // by a signal or a debugger
	Blocked Process = 'D' // in the kernel, usually on a disk
)

// processOf asks the kernel for the state of a living owner. The start time tells
// whether the process id still means the owner.
func processOf(p layout.Peer) Process {
	if !p.Alive || p.PID <= 0 || p.StartTicks == 0 || layout.StartTicks(p.PID) != p.StartTicks {
		return Unknown
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
	if err != nil {
		return Unknown
	}
	// The second field is a name in parentheses and may hold anything.
	s := string(b)
	s = s[strings.LastIndexByte(s, ')')+1:]
	switch state := strings.TrimSpace(s); {
	case state == "":
		return Unknown
	case state[0] == 'T' || state[0] == 't':
		return Stopped
	case state[0] == 'D':
		return Blocked
	}
	return Running
}

// Silence is how long ago a living owner gave its last sign of life in any of its
// files, 0 when it is not alive or never gave one.
func (in *Instance) Silence(p layout.Peer) time.Duration {
	if !p.Alive {
		return 0
	}
	last := p.Heartbeat
	for _, r := range in.Rings {
		last = later(last, p, r.Owner)
		for _, rd := range r.Readers {
			last = later(last, p, rd.Info.Owner)
		}
	}
	if last == 0 || last > in.At {
		return 0
	}
	return time.Duration(in.At - last)
}

func later(last uint64, p, other layout.Peer) uint64 {
	if other.Alive && other.PID == p.PID && other.StartTicks == p.StartTicks {
		return max(last, other.Heartbeat)
	}
	return last
}
