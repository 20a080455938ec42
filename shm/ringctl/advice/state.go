package advice

import (
	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// State is one word on how an owner does.
func State(in *look.Instance, p layout.Peer, proc look.Process) string {
	switch {
	case p.Alive && proc == look.Stopped:
		return "stopped"
	case p.Alive && in.Silence(p) > hung:
		return "hangs"
	case p.Alive:
		return "runs"
	case p.State == layout.StateLive && in.AnyAlive():
		return "killed"
	case p.State == layout.StateLive:
		return "not running"
	case p.State == layout.StateClosed:
		return "left"
	}
	return p.State.String()
}
