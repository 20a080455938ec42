package advice

import (
	"fmt"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// behind is how full a ring may be before its reader is called slow.
const behind = 0.5

// producer judges whoever writes a ring.
func (j *judge) producer(r *look.Ring) {
	down := atCapture
	if r.Kind != look.Packet {
		down = atWorker
	}
	name := r.Producer()
	f := Finding{Who: who(name, r.Owner), Where: r.Name, down: down}
	switch {
	case r.Owner.Alive:
		j.living(r, f)
	case r.Owner.State == layout.StateClosed, r.Owner.State == layout.StateRetired:
		// It said that nothing follows.
	case j.alive && j.once(name, "down"):
		f.Level, f.What, f.Do = Down, j.gone(r.Owner), "start it: it goes on where it was"
		j.add(f)
	}
	if r.Kind == look.Event && r.Owner.Alive && len(r.Readers) == 0 {
		j.add(Finding{Level: Note, Who: "nobody", Where: r.Name, down: atReader,
			What: "reads " + r.Name + ": policyd has not been started", Do: "start it, if rules shall apply"})
	}
	j.losses(r, name)
}

// living judges a producer that runs.
func (j *judge) living(r *look.Ring, f Finding) {
	what, do := j.ill(r.Owner, r.Process)
	switch {
	case what != "" && (r.Want == 0 || r.Process == look.Stopped):
		// A worker is judged as the reader of its packet rings, too.
		if !j.once(r.Producer(), "ill") {
			return
		}
		f.Level, f.What, f.Do = Stuck, what, do
	case r.Want != 0:
		f.Level = Wait
		f.What = fmt.Sprintf("waits for room in %s, which is %s full", r.Name, Percent(r.Fill()))
		if slow := slowest(r); slow != nil {
			f.What = fmt.Sprintf("waits until %s makes room in %s, which is %s full", slow.Name, r.Name, Percent(r.Fill()))
		}
	default:
		return
	}
	j.add(f)
}

func slowest(r *look.Ring) (slow *look.Reader) {
	for _, rd := range r.Readers {
		if !rd.Foreign && rd.Err == nil && (slow == nil || rd.Lag > slow.Lag) {
			slow = rd
		}
	}
	return slow
}

// losses reports what a ring dropped, most of all what it drops right now.
func (j *judge) losses(r *look.Ring, name string) {
	c := r.Since(j.was, j.in)
	f := Finding{Level: Lost, Who: name, Where: r.Name, down: atCapture}
	p := r.Packets
	switch total := p.Dropped + p.DroppedConsumerDown; {
	case c.Dropped > 0:
		f.What = fmt.Sprintf("drops %s packets a second: %s is full", Count(uint64(c.PerSecond(c.Dropped))), r.Name)
	case total > 0:
		f.Level = Note
		f.What = fmt.Sprintf("dropped %s packets since %s was made: it was full (%s of them while no worker was there)",
			Count(total), r.Name, Count(p.DroppedConsumerDown))
	case r.Events.Shed > 0 && c.Shed > 0:
		f.What = fmt.Sprintf("leaves out updates of flows, %s a second: a reader is more than half of %s behind",
			Count(uint64(c.PerSecond(c.Shed))), r.Name)
	default:
		return
	}
	j.add(f)
}

// packetReader judges the worker that reads a packet ring.
func (j *judge) packetReader(r *look.Ring, rd *look.Reader) {
	f := Finding{Who: who(rd.Name, rd.Info.Owner), Where: rd.Cursor, down: atWorker, fill: r.FillOf(rd), blocks: r.Waits()}
	unread := fmt.Sprintf("%s %s in %s", Records(rd.Lag), waits(rd.Lag), r.Name)
	switch {
	case rd.Err != nil && !rd.Missing():
		return // among the problems
	case rd.Missing(), rd.Foreign && !rd.Info.Owner.Alive:
		j.never(f, r, rd, unread)
	case rd.Foreign:
		f.Level, f.What = Note, "still reads an older ring called "+r.Name
		j.add(f)
	case rd.Beyond:
		f.Level, f.What = Stuck, "has a position that is not in "+r.Name
		f.Do = "ringctl check; a restart of the worker begins at the oldest packet"
		j.add(f)
	case !rd.Info.Owner.Alive:
		f.What = j.gone(rd.Info.Owner) + ": " + unread
		f.Do = "start it: it goes on where it was"
		if n := rd.Info.InflightTries; rd.Info.Inflight != 0 && rd.Info.Owner.State == layout.StateLive && n > 0 {
			f.Do = fmt.Sprintf("start it; if packet %d kills it again, ringctl -write skip-poison %s", rd.Info.Inflight-1, r.Name)
		}
		j.absent(f, r, rd)
	default:
		j.workerAlive(f, r, rd, unread)
	}
}

// never judges a worker that has not taken its packet ring into use. It makes its
// event ring first, so that tells whether there is a worker.
func (j *judge) never(f Finding, r *look.Ring, rd *look.Reader, unread string) {
	events := j.in.Ring(eventRing(r))
	if events == nil || !events.Owner.Alive {
		f.What, f.Do = "has never read "+r.Name+": "+unread, "start it: dpid -worker "+fmt.Sprint(r.Worker())
		j.absent(f, r, rd)
		return
	}
	f.Who, f.Level = who(rd.Name, events.Owner), Stuck
	if f.What, f.Do = j.ill(events.Owner, events.Process); f.What == "" {
		f.What = "has started but does not read " + r.Name + " yet"
	}
	f.What += ": " + unread
	if rd.Lag == 0 {
		f.Level = Down
	}
	j.once(rd.Name, "ill")
	j.add(f)
}

func eventRing(r *look.Ring) string { return fmt.Sprintf("w%02d", r.Worker()) }

// absent is for a reader that is not there. It is no matter when all was read and
// nothing will follow.
func (j *judge) absent(f Finding, r *look.Ring, rd *look.Reader) {
	switch {
	case rd.Lag > 0:
		f.Level = Stuck
	case r.Owner.Alive || rd.Info.Owner.State == layout.StateLive && j.alive:
		f.Level = Down
	default:
		return
	}
	j.once(rd.Name, "down") // its event ring need not say it again
	j.add(f)
}

// workerAlive judges a worker that runs.
func (j *judge) workerAlive(f Finding, r *look.Ring, rd *look.Reader, unread string) {
	what, do := j.ill(rd.Info.Owner, rd.Process)
	c := r.Since(j.was, j.in)
	m, known := c.Readers[rd.Cursor]
	events := j.in.Ring(eventRing(r))
	switch {
	case what != "":
		f.Level, f.What, f.Do = Stuck, what+": "+unread, do
		if at := rd.Info.Inflight; at != 0 && rd.Process != look.Stopped {
			f.What += fmt.Sprintf("; it works on packet %d (ringctl dump %s)", at-1, r.Name)
		}
		j.once(rd.Name, "ill")
		if rd.Lag == 0 && rd.Process != look.Stopped {
			f.Level = Down
		}
	case events != nil && events.Waits():
		return // it waits for a reader: said of the event ring
	case rd.Lag == 0 || !known:
		return
	case m.Position == 0 && c.Span > 0 && r.Fill() >= behind:
		f.Level, f.What = Stuck, fmt.Sprintf("is alive but has read nothing for %s: %s", round(c.Span), unread)
	case r.Fill() >= behind:
		f.Level = Slow
		f.What = fmt.Sprintf("is slower than capd: %s, %s full; it reads %s a second, %s a second come", unread, Percent(r.Fill()),
			Count(uint64(c.PerSecond(m.Position))), Count(uint64(c.PerSecond(c.Tail))))
		f.Do = "more workers; in a replay at full speed this is no fault"
	default:
		return
	}
	j.add(f)
}
