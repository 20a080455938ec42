package law

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// instance checks that all files are of one seed and one number of workers.
func (c *checker) instance() {
	if c.in.Topology == nil {
		return
	}
	seed, ok := c.seed()
	if !ok {
		return
	}
	want := layout.InstanceTag(&seed, c.in.Topology.Workers)
	for _, r := range c.in.Rings {
		if r.Kind == look.Verdict {
			continue
		}
		if r.Header.Tag != want {
			c.broken(r.Name, "instance", "made for another seed or number of workers than topology.json and seed say (%d workers)",
				c.in.Topology.Workers)
			continue
		}
		c.ok(r.Name, "instance", "of this seed and %d workers", c.in.Topology.Workers)
	}
}

func (c *checker) seed() (seed [layout.SeedSize]byte, ok bool) {
	fi, err := os.Stat(c.in.Root.Seed())
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() != layout.SeedSize) {
		err = fmt.Errorf("%w: %d bytes, want %d", layout.ErrGeometry, fi.Size(), layout.SeedSize)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(c.in.Root.Seed())
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return seed, false // not everybody may read it
	case errors.Is(err, fs.ErrNotExist):
		c.note("seed", "header", "there is none: whoever starts next makes a new one, and new rings")
		return seed, false
	case err != nil || len(b) != layout.SeedSize:
		c.broken("seed", "header", "%v", err)
		return seed, false
	}
	copy(seed[:], b)
	return seed, true
}

// capd: frames = sum of what became of them.
func (c *checker) capd() {
	n := c.in.Counter("capd")
	if n == nil {
		return
	}
	var sum uint64
	for i, name := range n.Names {
		if name == "frames" { // those before it are the outcomes of frames
			frames := n.Values[i]
			switch {
			case sum == frames:
				c.ok("capd counters", "conservation", "frames %d = sum of all outcomes", frames)
			case n.Alive:
				c.ok("capd counters", "conservation", "frames %d, outcomes %d: being written", frames, sum)
			default:
				c.broken("capd counters", "conservation", "frames %d, but the outcomes add up to %d", frames, sum)
			}
			return
		}
		sum += n.Values[i]
	}
	c.broken("capd counters", "conservation", "no word called frames")
}

// outcomes of a descriptor in a worker; each is in exactly one.
var outcomes = [...]string{"packets", "orphans", "unparsed", "no_room", "poison", "marks", "unknown_kind", "lost_records", "accounts", "accounts_unknown"}

// workers: every descriptor that a worker took from its rings is in one counter.
func (c *checker) workers() {
	for _, n := range c.in.Counters {
		if _, ok := n.Find("packets"); !ok {
			continue
		}
		var heads, sum uint64
		rest, undisturbed, sound := true, !c.younger(n.Name), false
		for _, r := range c.in.RingsOf(n.Name) {
			rd := r.Readers[0]
			if sound = rd.Err == nil && !rd.Foreign && !rd.Beyond; !sound {
				break
			}
			heads += rd.Info.Position
			rest = rest && rd.Info.Owner.State == layout.StateClosed
			undisturbed = undisturbed && rd.Info.Owner.Epoch == 1 && r.Owner.Epoch == 1
		}
		if !sound {
			continue // said of the ring
		}
		for _, name := range outcomes {
			sum += n.Get(name)
		}
		c.accounted(n, heads, sum, rest, undisturbed)
	}
}

// accounted compares the outcomes in a worker's counters with what it consumed.
func (c *checker) accounted(n *look.Counters, heads, sum uint64, rest, undisturbed bool) {
	object := n.Name + " counters"
	_, exact := n.Find("lost_records")
	if lost := n.Get("lost"); !exact && lost > 0 && heads >= sum && heads-sum <= lost {
		sum = heads // records that tell of lost packets are not counted apart
	}
	switch {
	case sum == heads:
		c.ok(object, "conservation", "consumed %d descriptors = sum of their outcomes", heads)
	case !rest || n.Alive:
		c.ok(object, "conservation", "consumed %d descriptors, outcomes %d: not at rest", heads, sum)
	case undisturbed:
		c.broken(object, "conservation", "consumed %d descriptors, but their outcomes add up to %d", heads, sum)
	default:
		c.note(object, "conservation", "consumed %d descriptors, outcomes %d: the ring or the flow table was replaced", heads, sum)
	}
}

// younger reports whether the flow table of a worker, which holds its counters, was
// made after the cursor: then it does not know what was consumed before.
func (c *checker) younger(worker string) bool {
	for _, o := range c.in.Others {
		if o.Name != "flow/"+worker+".slab" {
			continue
		}
		for _, r := range c.in.RingsOf(worker) {
			if o.Header.CreatedNS > r.Readers[0].CreatedNS {
				return true
			}
		}
	}
	return false
}
