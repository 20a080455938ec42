package main

import (
	"time"

	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/pktring"
)

// settle waits until a stage has read all that the stopped one before it has left. It
// waits neither for a stage of which nobody runs any more, nor longer than a stop may
// take: a stage that hangs must not.
func (s *set) settle(stage string, read func() bool) {
	deadline := time.After(stopTime)
	for !read() && s.runs(stage) {
		select {
		case p := <-s.ends:
			p.cmd = nil // nothing is started again now
		case <-deadline:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// runs reports whether a process of this name does.
func (s *set) runs(name string) bool {
	for _, p := range s.procs {
		if p.name == name && p.cmd != nil {
			return true
		}
	}
	return false
}

// packetsRead reports whether the workers have read what capd put into their rings. A
// ring that cannot be looked at is one that nobody waits for.
func (s *set) packetsRead() bool {
	for c := range s.job.rings() {
		for w := range s.job.Workers {
			v, err := pktring.OpenView(s.root.PacketRing(c, w))
			if err != nil {
				continue
			}
			i, err := v.Info()
			_ = v.Close() // only looked at
			if cur, cerr := cursor.Look(s.root.PacketCursor(c, w)); err == nil && cerr == nil && cur.Position != i.Tail {
				return false
			}
		}
	}
	return true
}

// eventsRead reports whether all readers have read what the workers told.
func (s *set) eventsRead() bool {
	for w := range s.job.Workers {
		i, err := evtring.Look(s.root.EventRing(w))
		if err != nil {
			continue
		}
		for _, name := range s.names {
			if cur, err := cursor.Look(s.root.EventCursor(name, w)); err == nil && cur.Position != i.Tail {
				return false
			}
		}
	}
	return true
}
