// Package look reads a whole ring directory at one moment: rings, cursors,
// counters, owners.
//
// It only looks: it takes no lock, writes nothing and is not known to anybody, so
// it works on a live instance and on a copy of its directory alike. Nothing in the
// files is trusted; a file that cannot be read is reported beside those that can.
//
// The invariant: of two positions the one that is ahead is read first, so what a
// reader has not read is never made too small, and what does not fit is clamped. A
// third party still sees two moments at once; small differences mean nothing.
package look

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"weir/proto/topology"
	"weir/shm/layout"
)

// Instance is what a ring directory said at one moment.
type Instance struct {
	Root     layout.Root
	At       uint64 // CLOCK_MONOTONIC ns
	Topology *topology.Topology
	Rings    []*Ring // packet rings, event rings, verdict rings; each by name
	Counters []*Counters
	Others   []*Other  // slabs, tables: only their headers are known here
	Problems []Problem // files that cannot be read
	Strays   []string  // names of cursors whose ring is not there
	Stale    []string  // files that were begun by processes killed since
}

// Problem is a file that is there and cannot be read, or does not belong there.
type Problem struct {
	Name string // as people say it: a ring, a cursor, a path below the root
	Path string
	Err  error
}

// Dir looks at the directory root. The error is about the directory itself.
func Dir(root layout.Root) (*Instance, error) {
	if fi, err := os.Stat(string(root)); err != nil {
		return nil, fmt.Errorf("look at ring directory: %w", err)
	} else if !fi.IsDir() {
		return nil, fmt.Errorf("look at ring directory: %s is not a directory", root)
	}
	in := &Instance{Root: root, At: layout.Monotonic()}
	in.topology()
	for _, name := range in.names("pkt", ".ring") {
		in.packetRing(Packet, "pkt", "pktcur", name)
	}
	in.eventRings()
	for _, name := range in.names("vrd", ".ring") {
		in.packetRing(Verdict, "vrd", "vrdcur", name)
	}
	in.strayCursors()
	for _, name := range in.names("stat", ".stat") {
		in.counters(name)
	}
	in.others()
	return in, nil
}

// Ring returns the ring called name, nil when there is none.
func (in *Instance) Ring(name string) *Ring {
	for _, r := range in.Rings {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// RingsOf returns the packet rings of a worker, by the name of its files: wNN.
func (in *Instance) RingsOf(worker string) (rings []*Ring) {
	for _, r := range in.Rings {
		if r.Kind == Packet && fmt.Sprintf("w%02d", r.Worker()) == worker {
			rings = append(rings, r)
		}
	}
	return rings
}

// Reader returns the ring and the reader whose cursor is called name: that of the
// ring for packet rings, READER.wNN for event rings.
func (in *Instance) Reader(name string) (*Ring, *Reader) {
	for _, r := range in.Rings {
		for _, rd := range r.Readers {
			if rd.Cursor == name {
				return r, rd
			}
		}
	}
	return nil, nil
}

// Counter returns the counters called name, nil when there are none.
func (in *Instance) Counter(name string) *Counters {
	for _, c := range in.Counters {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// AnyAlive reports whether a process holds any of the files. If none does, all
// have ended, or the directory is a copy.
func (in *Instance) AnyAlive() bool {
	for _, r := range in.Rings {
		if r.Owner.Alive || slices.ContainsFunc(r.Readers, func(rd *Reader) bool { return rd.Info.Owner.Alive }) {
			return true
		}
	}
	return slices.ContainsFunc(in.Counters, func(c *Counters) bool { return c.Alive })
}

func (in *Instance) path(folder, file string) string {
	return string(in.Root) + "/" + folder + "/" + file
}

func (in *Instance) problem(name, path string, err error) {
	in.Problems = append(in.Problems, Problem{Name: name, Path: path, Err: err})
}

// names returns the names of the files in a folder that end in ext, without it, in
// order. A folder that is not there has none.
func (in *Instance) names(folder, ext string) []string {
	entries, err := os.ReadDir(in.path(folder, ""))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			in.problem(folder, in.path(folder, ""), err)
		}
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ext); ok {
			names = append(names, name)
		}
	}
	return names
}

func (in *Instance) topology() {
	t, err := Topology(in.Root)
	switch {
	case err == nil:
		in.Topology = t
	case !errors.Is(err, fs.ErrNotExist):
		in.problem("topology.json", in.Root.Topology(), err)
	}
}

// maxTopology is far more than a topology has, in bytes.
const maxTopology = 1 << 20

// Topology reads the description of the instance. It does not follow a path that
// names a device or a pipe, which might never end.
func Topology(root layout.Root) (*topology.Topology, error) {
	path := root.Topology()
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxTopology {
		return nil, &layout.AttachError{Path: path, Want: maxTopology, Got: uint64(fi.Size()), Err: layout.ErrGeometry}
	}
	return topology.Load(path)
}
