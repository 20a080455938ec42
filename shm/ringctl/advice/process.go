package advice

import (
	"fmt"
	"time"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// hung is how long an owner may be silent. Owners give a sign of life every 100 ms.
const hung = 2 * time.Second

// who names an owner with its process, where there is one.
func who(name string, p layout.Peer) string {
	if p.PID == 0 || !p.Alive {
		return name
	}
	return fmt.Sprintf("%s (pid %d)", name, p.PID)
}

// ill says what is wrong with a living owner by itself, "" when nothing is.
func (j *judge) ill(p layout.Peer, proc look.Process) (what, do string) {
	switch silence := j.in.Silence(p); {
	case proc == look.Stopped:
		return "is stopped by a signal or a debugger", fmt.Sprintf("kill -CONT %d", p.PID)
	case silence > hung && proc == look.Blocked:
		return fmt.Sprintf("hangs in the kernel, without a sign of life for %s", round(silence)), ""
	case silence > hung:
		return fmt.Sprintf("hangs: no sign of life for %s", round(silence)),
			fmt.Sprintf("kill -9 %d; its supervisor starts it again and it goes on where it was", p.PID)
	}
	return "", ""
}

// gone says how an owner that does not live has ended.
func (j *judge) gone(p layout.Peer) string {
	switch {
	case p.State == layout.StateClosed:
		return "has left"
	case p.Epoch == 0:
		return "never started"
	case !j.alive: // all are gone: this may be a copy
		return fmt.Sprintf("is not running (it was, as pid %d)", p.PID)
	}
	return fmt.Sprintf("was killed (pid %d) and is not running", p.PID)
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}
