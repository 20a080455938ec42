package conntrack

// CounterNames are the names of what Counters returns.
var CounterNames = []string{
	"conntrack_messages",  // from the kernel
	"conntrack_malformed", // of these, not to be read
	"conntrack_overruns",  // times when events were lost: a look at all connections makes up for them
	"conntrack_dumps",     // looks at all connections
	"conntrack_notices",   // records for workers
	"conntrack_lost",      // records that found no room: later ones make up for them
	"conntrack_missed",    // packets whose flow was not noted for want of room
	"conntrack_evicted",   // flows that were forgotten for want of room
}

// Counters returns what happened so far, in the order of CounterNames. Any goroutine may
// call it.
func (l *Listener) Counters() []uint64 {
	c := &l.count
	missed, lost := uint64(0), c.lost.Load()
	for _, p := range l.ports {
		missed += p.missed.Load()
		lost += p.refused.Load()
	}
	return []uint64{
		c.messages.Load(), c.malformed.Load(), c.overruns.Load(), c.dumps.Load(),
		c.notices.Load(), lost, missed, c.evicted.Load(),
	}
}
