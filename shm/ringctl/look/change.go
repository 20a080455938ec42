package look

import "time"

// Change is what happened to a ring between two looks.
type Change struct {
	Span    time.Duration // 0: nothing to compare with
	Tail    uint64        // descriptors or bytes published
	Records uint64
	Bytes   uint64
	Batches uint64
	Wakes   uint64
	Dropped uint64 // packets
	Shed    uint64 // events
	Readers map[string]Moved
}

// Moved is what happened to a reader between two looks.
type Moved struct {
	Position uint64 // descriptors or bytes read
	Records  uint64
	Sleeps   uint64
	Overruns uint64
	Lost     uint64
	Corrupt  uint64
}

// Since compares r with an earlier look at its instance. A ring or reader that was
// not there, or is another one by now, has not changed.
func (r *Ring) Since(was *Instance, now *Instance) Change {
	c := Change{Readers: map[string]Moved{}}
	if was == nil || was == now {
		return c
	}
	old := was.Ring(r.Name)
	if old == nil || old.Header.RingID != r.Header.RingID {
		return c
	}
	c.Span = time.Duration(now.At - was.At)
	c.Tail = grown(r.Tail, old.Tail)
	if r.Kind == Event {
		a, b := &r.Events, &old.Events
		c.Records, c.Bytes = grown(a.Events, b.Events), grown(a.Bytes, b.Bytes)
		c.Batches, c.Wakes, c.Shed = grown(a.Batches, b.Batches), grown(a.Wakes, b.Wakes), grown(a.Shed, b.Shed)
	} else {
		a, b := &r.Packets, &old.Packets
		c.Records, c.Bytes = c.Tail, grown(a.Bytes, b.Bytes)
		c.Batches, c.Wakes = grown(a.Batches, b.Batches), grown(a.Wakes, b.Wakes)
		c.Dropped = grown(a.Dropped, b.Dropped) + grown(a.DroppedConsumerDown, b.DroppedConsumerDown)
	}
	for _, rd := range r.Readers {
		for _, o := range old.Readers {
			if rd.Cursor == o.Cursor && rd.Err == nil && o.Err == nil && rd.Info.RingID == o.Info.RingID {
				c.Readers[rd.Cursor] = rd.since(o, r.Kind)
			}
		}
	}
	return c
}

func (rd *Reader) since(o *Reader, kind Kind) Moved {
	m := Moved{Position: grown(rd.Info.Position, o.Info.Position)}
	if kind == Event {
		a, b := &rd.Events, &o.Events
		m.Records, m.Overruns = grown(a.Events, b.Events), grown(a.Overruns, b.Overruns)
		m.Lost, m.Corrupt = grown(a.Lost, b.Lost), grown(a.Corrupt, b.Corrupt)
		return m
	}
	a, b := &rd.Packets, &o.Packets
	m.Records, m.Sleeps, m.Corrupt = m.Position, grown(a.Sleeps, b.Sleeps), grown(a.Corrupt, b.Corrupt)
	return m
}

// grown is how much a counter went up; one that went back was begun anew.
func grown(now, was uint64) uint64 {
	if int64(now-was) < 0 {
		return 0
	}
	return now - was
}

// PerSecond turns an amount of a change into a rate.
func (c *Change) PerSecond(n uint64) float64 {
	if c.Span <= 0 {
		return 0
	}
	return float64(n) / c.Span.Seconds()
}
