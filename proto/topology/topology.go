// Package topology is the small file beside the rings that says how an instance is
// built: how many capture threads and workers, and what the interface indices in
// flow keys and events are called. capd writes it, everybody may read it.
//
// It is for display and for tools: no daemon takes a size or a path from it.
package topology

import (
	"encoding/json"
	"fmt"
	"os"
)

// Interface is one entry of the interface table.
type Interface struct {
	Index uint16 `json:"index"`
	Name  string `json:"name"`
	Role  string `json:"role,omitempty"` // lan or wan
}

// Topology is the contents of the file.
type Topology struct {
	Threads    int         `json:"threads"` // capture threads
	Workers    int         `json:"workers"`
	SeedID     uint64      `json:"seed_id,string"`
	Interfaces []Interface `json:"interfaces"`
	Captures   []string    `json:"captures,omitempty"`         // files of this run: path, size, time of change
	TimeBase   int64       `json:"time_base,string,omitempty"` // live: ns from CLOCK_BOOTTIME to the time of packets and events
}

// Name returns the name of interface index i, "" when the table does not have it.
func (t *Topology) Name(i uint16) string {
	for _, f := range t.Interfaces {
		if f.Index == i {
			return f.Name
		}
	}
	return ""
}

// Role returns the role of interface index i, "" when it has none.
func (t *Topology) Role(i uint16) string {
	for _, f := range t.Interfaces {
		if f.Index == i {
			return f.Role
		}
	}
	return ""
}

// Load reads the file at path.
func Load(path string) (*Topology, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	t := new(Topology)
	if err := json.Unmarshal(b, t); err != nil {
		return nil, fmt.Errorf("topology %s: %w", path, err)
	}
	return t, nil
}

// Save writes the file at path; readers see the old one or the new one, whole.
func (t *Topology) Save(path string) error {
	b, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("topology: %w", err)
	}
	tmp := fmt.Sprintf("%s.tmp.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("topology: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("topology: %w", err)
	}
	return nil
}
