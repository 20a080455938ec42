package target

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Comment is what marks our elements in sets: the word, then the rule's name.
const Comment = "weir: "

// Dry is the backend that only says what would be done, as a script that nft would
// read. Its sets have what was put into them; nothing expires.
type Dry struct {
	w    *bufio.Writer
	n    int // transactions
	sets map[string]map[string]Found
}

// NewDry returns a backend that writes to w.
func NewDry(w io.Writer) *Dry {
	return &Dry{w: bufio.NewWriter(w), sets: map[string]map[string]Found{}}
}

// Open takes note of the sets.
func (d *Dry) Open(sets []*Set) error {
	tables := map[string]bool{}
	for _, s := range sets {
		d.sets[s.String()] = map[string]Found{}
		if !s.Create {
			continue
		}
		if t := s.Family + " " + s.Table; !tables[t] {
			tables[t] = true
			fmt.Fprintf(d.w, "add table %s\n", t)
		}
		fmt.Fprintln(d.w, strings.Trim(strings.TrimPrefix(s.Declaration(), "nft "), "'"))
	}
	return d.w.Flush()
}

// Commit writes one transaction.
func (d *Dry) Commit(changes []Change) error {
	d.n++
	fmt.Fprintf(d.w, "# transaction %d\n", d.n)
	for _, c := range changes {
		set := d.sets[c.Set.String()]
		if c.Op == Delete {
			delete(set, c.Key)
		} else {
			set[c.Key] = Found{Key: c.Key, Expires: c.Timeout, Ours: true, Rule: c.Rule}
		}
		fmt.Fprintln(d.w, c)
	}
	return d.w.Flush()
}

// Dump returns what was put into a set.
func (d *Dry) Dump(s *Set) ([]Found, error) {
	var out []Found
	for _, f := range d.sets[s.String()] {
		out = append(out, f)
	}
	return out, nil
}

// Changed reports whether somebody else changed the sets: never.
func (d *Dry) Changed() (bool, error) { return false, nil }

// Limit returns how many changes one transaction may have.
func (d *Dry) Limit() int { return 1 << 20 }

// Close has nothing to do.
func (d *Dry) Close() error { return nil }

// String returns the change as a line of an nft script.
func (c Change) String() string {
	var b strings.Builder
	verb := "add"
	if c.Op == Delete {
		verb = "delete"
	}
	fmt.Fprintf(&b, "%s element %s { %s", verb, c.Set, c.Set.Format(c.Key))
	if c.Op != Delete {
		if c.Timeout > 0 {
			b.WriteString(" timeout " + span(c.Timeout))
		}
		b.WriteString(" comment " + strconv.Quote(Comment+c.Rule))
	}
	b.WriteString(" }")
	if c.Op == Refresh {
		b.WriteString(" # refresh")
	}
	return b.String()
}

// span writes a duration in the units of nft.
func span(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
