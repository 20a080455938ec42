// Package law checks what must hold in a ring directory: headers and checksums,
// positions within bounds, every packet in exactly one counter.
//
// It only reads. On a live instance, and on a copy of one, counters lag behind
// positions and positions behind each other; what can only be said of rings at
// rest is said of rings at rest.
//
// The invariant: Broken means that no order of events without damage or a defect
// explains what was found. What a kill explains is a Note.
package law

import (
	"fmt"

	"weir/shm/ringctl/look"
)

// Result is how a check came out.
type Result int

// Results.
const (
	OK Result = iota
	Note
	Broken
)

// String returns the result as it stands in JSON.
func (r Result) String() string { return [...]string{"ok", "note", "broken"}[r] }

// Finding is the outcome of one check of one object.
type Finding struct {
	Object string // ring, cursor, counter file
	Law    string // header, positions, conservation, ...
	Result Result
	Detail string
}

// Check checks everything that in shows. It reads the event rings through, and the
// packets that are unread.
func Check(in *look.Instance) []Finding {
	c := &checker{in: in}
	for _, p := range in.Problems {
		c.broken(p.Name, "header", "%v", p.Err)
	}
	for _, r := range in.Rings {
		c.ok(r.Name, "header", "ring %016x", r.Header.RingID)
		c.owner(r.Name, r.Owner)
		for _, rd := range r.Readers {
			if rd.Err == nil {
				c.owner(rd.Cursor+" cursor", rd.Info.Owner)
			}
		}
		if r.Kind == look.Event {
			c.eventRing(r)
		} else {
			c.packetRing(r)
		}
	}
	for _, o := range in.Others {
		c.ok(o.Name, "header", "%s", o.Header.Name)
	}
	for _, name := range in.Strays {
		c.note(name+" cursor", "leftover", "its ring is gone; its reader makes a new cursor when there is a new ring")
	}
	for _, path := range in.Stale {
		c.note(path, "leftover", "begun by a process that was killed; the next owner removes it")
	}
	c.instance()
	c.capd()
	c.workers()
	return c.found
}

type checker struct {
	in    *look.Instance
	found []Finding
}

func (c *checker) add(object, law string, r Result, format string, args ...any) {
	c.found = append(c.found, Finding{object, law, r, fmt.Sprintf(format, args...)})
}

func (c *checker) ok(object, law, format string, args ...any) {
	c.add(object, law, OK, format, args...)
}

func (c *checker) note(object, law, format string, args ...any) {
	c.add(object, law, Note, format, args...)
}

func (c *checker) broken(object, law, format string, args ...any) {
	c.add(object, law, Broken, format, args...)
}
