package worker

import (
	"fmt"

	"weir/shm/layout"
	"weir/shm/pktring"
)

// replacedError says that a ring has become one of the past: capd made a new file of
// its name, because of another geometry, or because the old one was deleted. It is a
// layout.ErrRingLost: the process starts anew, adopts its flows and opens the new file.
type replacedError struct{ ring int }

func (e *replacedError) Error() string {
	return fmt.Sprintf("packet ring of capture thread %d was replaced by a new file and is read to its end: starting anew on the new one", e.ring)
}

// Is makes callers treat it as the loss that it is.
func (e *replacedError) Is(target error) bool { return target == layout.ErrRingLost }

// past reports whether nothing more will come from a ring: it was replaced, nobody
// writes to it, and all of it was read. The order matters: what is written before a
// ring is given up is seen by the last look.
func past(r *pktring.Consumer) bool {
	if !r.Replaced() {
		return false
	}
	if r.ProducerState() != layout.StateRetired && r.ProducerAlive() {
		return false // its producer has not seen yet that the file is gone
	}
	return len(r.Peek(1)) == 0
}
