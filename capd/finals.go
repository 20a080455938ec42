package main

import (
	"errors"
	"log/slog"
	"slices"

	"weir/shm/hashset"
	"weir/shm/layout"
)

// finals are the sets of final flows of all workers, as one capture thread sees them.
// Where there is none, packets go with all of their bytes.
type finals struct {
	root         layout.Root
	tag          uint32
	log          *slog.Logger
	sets         []*hashset.Reader // by worker; nil: none
	said         []bool            // by worker: what is wrong with the file
	layout.Guard                   // covers the sets
}

func newFinals(b *base) *finals {
	n := b.cfg.Workers.Count
	return &finals{root: b.root, tag: b.tag, log: b.log, sets: make([]*hashset.Reader, n), said: make([]bool, n)}
}

// Final implements steer.Finals.
func (f *finals) Final(w int, lo, hi uint64) bool { return f.sets[w] != nil && f.sets[w].Has(lo, hi) }

// look opens what is there now and lets go what was replaced. It costs some system
// calls.
func (f *finals) look() {
	for w := range f.sets {
		if r := f.sets[w]; r != nil {
			if !r.Replaced() {
				continue
			}
			f.Maps = slices.DeleteFunc(f.Maps, func(m *layout.Mapping) bool { return m == r.Map() })
			_ = r.Close() // it was read only
			f.sets[w] = nil
		}
		r, err := hashset.Open(f.root.Final(w), f.tag)
		switch {
		case err == nil:
			f.sets[w], f.said[w] = r, false
			f.Maps = append(f.Maps, r.Map())
		case errors.Is(err, layout.ErrAwait):
		case !f.said[w]:
			f.said[w] = true
			f.log.Warn("packets of final flows go with their bytes", "worker", w, "error", err)
		}
	}
}

func (f *finals) close() {
	for w, r := range f.sets {
		if r != nil {
			_ = r.Close() // it was read only
			f.sets[w] = nil
		}
	}
}
