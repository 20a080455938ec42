package advice

import (
	"fmt"
	"strconv"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// headline is the answer in one sentence.
func (j *judge) headline() string {
	if len(j.in.Rings) == 0 {
		if len(j.in.Problems) > 0 {
			return "Nothing can be said: no ring can be read."
		}
		return "There are no rings here: capd and dpid have not been started on this directory."
	}
	if len(j.found) > 0 {
		f := j.found[0]
		switch f.Level {
		case Stuck:
			return fmt.Sprintf("Packets are stuck: %s %s.", f.Who, f.What)
		case Down:
			return fmt.Sprintf("Nothing is stuck, but %s %s.", f.Who, f.What)
		case Slow:
			return fmt.Sprintf("Packets flow, slowly: %s %s.", f.Who, f.What)
		case Lost:
			return fmt.Sprintf("Packets flow, but not all: %s %s.", f.Who, f.What)
		}
	}
	if !j.alive {
		return "Nothing runs here, and nothing is stuck: what was published was read."
	}
	return j.moving()
}

// moving is the headline of an instance in good order.
func (j *judge) moving() string {
	var packets, events float64
	closed, unread := true, uint64(0)
	for _, r := range j.in.Rings {
		c := r.Since(j.was, j.in)
		switch r.Kind {
		case look.Packet:
			packets += c.PerSecond(c.Records)
			closed = closed && r.Owner.State == layout.StateClosed
			for _, rd := range r.Readers {
				unread += rd.Lag
			}
		case look.Event:
			events += c.PerSecond(c.Records)
		}
	}
	if closed {
		return fmt.Sprintf("Nothing is stuck: capd has left, %s still unread.", Records(unread))
	}
	return fmt.Sprintf("Nothing is stuck: %s packets and %s events a second.", Count(uint64(packets)), Count(uint64(events)))
}

// Count writes a number with its thousands apart.
func Count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Records counts records in words.
func Records(n uint64) string {
	if n == 1 {
		return "1 record"
	}
	return Count(n) + " records"
}

func waits(n uint64) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// Bytes writes a size in the unit that suits it.
func Bytes(n uint64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	if u == 0 || f >= 100 || f == float64(int(f)) {
		return fmt.Sprintf("%.0f %s", f, units[u])
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// Percent writes a share of 1. What is not quite full is never called full.
func Percent(share float64) string {
	return strconv.Itoa(int(share*100)) + "%"
}
