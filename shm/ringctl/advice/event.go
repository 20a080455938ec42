package advice

import (
	"fmt"
	"strings"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

const lapped = "it lost events that were overwritten, and will ask for a snapshot"

// eventReader judges who reads an event ring.
func (j *judge) eventReader(r *look.Ring, rd *look.Reader) {
	owner := rd.Info.Owner
	f := Finding{Who: who(rd.Name, owner), Where: rd.Cursor, down: atReader, fill: r.FillOf(rd), blocks: r.Waits()}
	lag := fmt.Sprintf("it lags %s of %s behind %s", Bytes(rd.Lag), Bytes(r.Size), r.Name)
	if rd.Lapped {
		lag = lapped
	}
	switch {
	case rd.Err != nil:
		return // among the problems
	case rd.Foreign:
		f.What = fmt.Sprintf("has the cursor of an older ring called %s", r.Name)
		f.Level = Note
		if !owner.Alive && owner.State == layout.StateClosed {
			return
		}
	case rd.Beyond:
		f.Level, f.What = Down, "has a position that is not in "+r.Name
		f.Do = "ringctl check; a restart begins anew with a snapshot"
	case !owner.Alive:
		if owner.State == layout.StateClosed {
			return // it left in good order
		}
		f.Level, f.What, f.Do = Down, j.gone(owner), "start it: it goes on where it was"
		if rd.Lag > 0 || rd.Lapped {
			f.Level, f.What = Stuck, f.What+": "+lag
		} else if !j.alive || !j.once(rd.Name, "down") {
			return
		}
	default:
		if !j.readerAlive(&f, r, rd, lag) {
			return
		}
	}
	j.add(f)
}

// readerAlive judges a reader that runs; false: there is nothing to say.
func (j *judge) readerAlive(f *Finding, r *look.Ring, rd *look.Reader, lag string) bool {
	what, do := j.ill(rd.Info.Owner, rd.Process)
	c := r.Since(j.was, j.in)
	m, known := c.Readers[rd.Cursor]
	fill := float64(rd.Lag) / float64(r.Size)
	switch {
	case what != "" && (rd.Lag > 0 || rd.Lapped):
		f.Level, f.What, f.Do = Stuck, what+": "+lag, do
	case what != "":
		f.Level, f.What, f.Do = Down, what, do
		return j.once(rd.Name, "ill")
	case rd.Lapped:
		f.Level, f.What = Lost, "is too slow for "+r.Name+": "+lapped
	case (r.Waits() || fill >= behind) && known && c.Span > 0 && m.Position == 0:
		f.Level, f.What = Stuck, fmt.Sprintf("is alive but has read nothing for %s: %s", round(c.Span), lag)
	case r.Waits() || fill >= behind:
		f.Level = Slow
		f.What = fmt.Sprintf("is slower than %s: %s; it reads %s a second, %s a second come", r.Producer(), lag,
			Bytes(uint64(c.PerSecond(m.Position))), Bytes(uint64(c.PerSecond(c.Tail))))
	case rd.Info.ResyncAsked != rd.Info.ResyncDone && r.Owner.Alive:
		f.Level, f.What = Note, fmt.Sprintf("waits for a snapshot from %s", r.Producer())
	default:
		return false
	}
	return true
}

// settling reports workers that hold flows back until others have passed their
// time: their events are not stuck, they are early.
func (j *judge) settling() {
	var last *look.Counters
	for _, c := range j.in.Counters {
		if ns, ok := c.Find("clock_ns"); ok && (last == nil || ns < last.Get("clock_ns")) {
			last = c
		}
	}
	for _, c := range j.in.Counters {
		n := c.Get("pending")
		if n == 0 || !c.Alive || last == nil || c == last {
			continue
		}
		behind := "which has not begun"
		if ns := last.Get("clock_ns"); ns != 0 {
			behind = fmt.Sprintf("%.1f s of packet time behind", float64(int64(c.Get("clock_ns")-ns))/1e9)
		}
		j.add(Finding{Level: Wait, Who: "dpid worker " + number(c.Name), Where: c.Name, down: atCapture,
			What: fmt.Sprintf("holds %s flows back until worker %s, %s, has passed their time", Count(n), number(last.Name), behind)})
	}
}

// number is that of a worker from the name of its files.
func number(name string) string {
	n := strings.TrimLeft(strings.TrimPrefix(name, "w"), "0")
	if n == "" {
		return "0"
	}
	return n
}
