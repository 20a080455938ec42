// Package advice says in words where packets are stuck, from two looks at a ring
// directory a moment apart.
//
// It judges, it does not look: look has the facts. It knows the pipeline: capd
// fills packet rings, a worker drains its packet rings into its event ring, readers
// drain event rings. A stage that waits for the next one is never to blame; the
// last stage in such a chain is, and comes first.
package advice

import (
	"cmp"
	"slices"

	"weir/shm/ringctl/look"
)

// Level says how bad a finding is; the worst has the highest number.
type Level int

// Levels.
const (
	Note  Level = iota // good to know
	Wait               // waits for the next stage, which has its own finding
	Lost               // something was lost, or is being lost
	Slow               // moves, but is behind
	Down               // nobody is there, nothing waits for it yet
	Stuck              // records wait and nothing moves
)

// String returns the level as it stands in JSON.
func (l Level) String() string {
	return [...]string{"note", "wait", "lost", "slow", "down", "stuck"}[l]
}

// Finding is one thing that somebody should know.
type Finding struct {
	Level Level
	Who   string // dpid worker 1
	Where string // the ring or cursor
	What  string // a sentence without subject: is stopped by a signal
	Do    string // what to do about it; "" when there is nothing

	down   int     // how far down the pipeline: of two, the lower one is the cause
	blocks bool    // somebody waits for it
	fill   float64 // of the ring, 0 to 1
}

// Report is everything that was found, worst first.
type Report struct {
	Headline string
	Findings []Finding
}

// Stuck reports whether records wait somewhere and nothing moves.
func (r *Report) Stuck() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Stuck })
}

// Of judges the instance as it is now; was is an earlier look at it, or nil.
func Of(was, now *look.Instance) *Report {
	j := &judge{was: was, in: now, alive: now.AnyAlive()}
	j.problems()
	for _, r := range now.Rings {
		j.producer(r)
		for _, rd := range r.Readers {
			if r.Kind == look.Event {
				j.eventReader(r, rd)
			} else {
				j.packetReader(r, rd)
			}
		}
	}
	j.settling()
	slices.SortStableFunc(j.found, worse)
	return &Report{Headline: j.headline(), Findings: j.found}
}

// worse puts the finding first that is more likely the cause of the others.
func worse(a, b Finding) int {
	switch {
	case a.Level != b.Level:
		return cmp.Compare(b.Level, a.Level)
	case a.Level == Down: // nothing waits: what comes first is missed most
		return cmp.Compare(a.down, b.down)
	case a.blocks != b.blocks:
		if a.blocks {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.fill, a.fill), cmp.Compare(b.down, a.down))
}

// judge collects the findings.
type judge struct {
	was, in *look.Instance
	alive   bool // somebody holds a file: this is a live instance
	found   []Finding
	seen    map[string]bool // who has been reported as down or stopped
}

func (j *judge) add(f Finding) { j.found = append(j.found, f) }

// once reports whether this is the first time that what is said of who.
func (j *judge) once(who, what string) bool {
	if j.seen == nil {
		j.seen = map[string]bool{}
	}
	key := who + "\x00" + what
	if j.seen[key] {
		return false
	}
	j.seen[key] = true
	return true
}

// How far down the pipeline a stage is.
const (
	atCapture = iota
	atWorker
	atReader
)

// problems reports files that cannot be read: whoever needs them is in trouble.
func (j *judge) problems() {
	for _, p := range j.in.Problems {
		j.add(Finding{Level: Down, Who: p.Name, Where: p.Path, What: "cannot be read: " + p.Err.Error(),
			Do: "ringctl check"})
	}
}
