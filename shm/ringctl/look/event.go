package look

import (
	"slices"

	"weir/shm/cursor"
	"weir/shm/evtring"
)

// eventRings looks at all event rings with their readers.
func (in *Instance) eventRings() {
	cursors := in.names("evtcur", ".cur")
	for _, name := range in.names("evt", ".ring") {
		r := &Ring{Name: name, Path: in.path("evt", name+".ring"), Kind: Event}
		i, err := evtring.Look(r.Path) // tail, before the cursors
		if err == nil {
			err = r.file()
		}
		if err != nil {
			in.problem(name, r.Path, err)
			continue
		}
		r.Header, r.Owner, r.Events = i.Header, i.Owner, i.Stats
		r.Size, r.Tail, r.Intent, r.Wait = i.Capacity, i.Tail, i.Intent, i.Wait
		r.Process = processOf(r.Owner)
		in.Rings = append(in.Rings, r)
		for _, c := range cursors {
			reader, ring, err := splitCursor(c)
			if err != nil || ring != name {
				continue
			}
			rd := r.reader(in.path("evtcur", c+".cur"), c, cursor.Event)
			rd.Name = reader
			r.Readers = append(r.Readers, rd)
			if rd.Err != nil {
				in.problem(c, rd.Path, rd.Err)
			}
		}
	}
}

// strayCursors reports cursors without a ring. Where the ring was retired or deleted
// that is in order: its reader makes a new one.
func (in *Instance) strayCursors() {
	for _, folder := range []string{"pktcur", "evtcur", "vrdcur"} {
		for _, name := range in.names(folder, ".cur") {
			ring, err := name, error(nil)
			if folder == "evtcur" {
				_, ring, err = splitCursor(name)
			}
			path := in.path(folder, name+".cur")
			switch {
			case err != nil:
				in.problem(name, path, err)
			case in.Ring(ring) == nil && !in.hasProblem(ring):
				in.Strays = append(in.Strays, name)
			}
		}
	}
}

func (in *Instance) hasProblem(name string) bool {
	return slices.ContainsFunc(in.Problems, func(p Problem) bool { return p.Name == name })
}
