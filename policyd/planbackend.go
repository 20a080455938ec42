package main

import (
	"cmp"
	"slices"

	"weir/policyd/target"
)

// planBackend is an engine.Backend that remembers what would have come into sets.
type planBackend struct {
	elements map[string]*planSet // by the set's name
}

// planSet is what would have come into one set.
type planSet struct {
	Set      string   `json:"set"`
	Type     string   `json:"type"`
	Elements int      `json:"elements"` // different ones, over the whole time
	Most     int      `json:"most"`     // at once; timeouts not counted
	Keys     []string `json:"keys,omitempty"`

	ever map[string]string // key to rule
	now  map[string]bool
}

// Open implements engine.Backend.
func (b *planBackend) Open(sets []*target.Set) error {
	for _, s := range sets {
		b.elements[s.String()] = &planSet{Set: s.String(), Type: s.Type(), ever: map[string]string{}, now: map[string]bool{}}
	}
	return nil
}

// Commit implements engine.Backend.
func (b *planBackend) Commit(changes []target.Change) error {
	for _, c := range changes {
		s, key := b.elements[c.Set.String()], c.Set.Format(c.Key)
		if c.Op == target.Delete {
			delete(s.now, key)
			continue
		}
		if s.ever[key] == "" {
			s.ever[key] = c.Rule
		}
		s.now[key] = true
		s.Most = max(s.Most, len(s.now))
	}
	return nil
}

// Dump implements engine.Backend: a plan begins with empty sets.
func (b *planBackend) Dump(*target.Set) ([]target.Found, error) { return nil, nil }

// Changed implements engine.Backend.
func (b *planBackend) Changed() (bool, error) { return false, nil }

// Limit implements engine.Backend.
func (b *planBackend) Limit() int { return 1 << 20 }

// Close implements engine.Backend.
func (b *planBackend) Close() error { return nil }

// result returns the sets in order, complete.
func (b *planBackend) result() []*planSet {
	sets := make([]*planSet, 0, len(b.elements))
	for _, s := range b.elements {
		s.Elements = len(s.ever)
		for k := range s.ever {
			s.Keys = append(s.Keys, k)
		}
		slices.Sort(s.Keys)
		sets = append(sets, s)
	}
	slices.SortFunc(sets, func(a, b *planSet) int { return cmp.Compare(a.Set, b.Set) })
	return sets
}
