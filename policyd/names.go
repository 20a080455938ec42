package main

import (
	"os"
	"time"

	"weir/proto/event"
	"weir/proto/pkt"
	"weir/proto/topology"
)

// interfaces gives interface table indices their names. capd writes the table into
// the topology file, and adds to it while it runs.
type interfaces struct {
	path  string
	names map[uint16]string
	roles map[uint16]string
	size  int64
	mtime time.Time
}

// name returns the name of index i, "" when the table does not have it. The file is
// read again only when an index is missing and the file has changed.
func (t *interfaces) name(i uint16) string {
	n, ok := t.names[i]
	if ok {
		return n
	}
	fi, err := os.Stat(t.path)
	if err != nil || fi.Size() == t.size && fi.ModTime().Equal(t.mtime) {
		return ""
	}
	top, err := topology.Load(t.path)
	if err != nil {
		return ""
	}
	t.size, t.mtime, t.names = fi.Size(), fi.ModTime(), make(map[uint16]string, len(top.Interfaces))
	t.roles = map[uint16]string{}
	for _, f := range top.Interfaces {
		t.names[f.Index], t.roles[f.Index] = f.Name, f.Role
	}
	return t.names[i]
}

// role returns the role of index i, "" when it has none.
func (t *interfaces) role(i uint16) string {
	t.name(i)
	return t.roles[i]
}

// jsonNames are the words of a flow's JSON form.
func (t *interfaces) jsonNames() *event.Names {
	return &event.Names{Interface: t.name, Tunnel: pkt.LinkName, Role: t.role}
}

// numbers gives names numbers, for flow records that were read from JSON.
type numbers struct {
	names []string
	roles map[string]string // by name
}

func (n *numbers) jsonNumbers() *event.Numbers {
	return &event.Numbers{Interface: n.index, Tunnel: tunnel, Role: n.learn}
}

func (n *numbers) index(name string) uint16 {
	for i, s := range n.names {
		if s == name {
			return uint16(i)
		}
	}
	if len(n.names) == 1<<16 {
		return 0
	}
	n.names = append(n.names, name)
	return uint16(len(n.names) - 1)
}

func (n *numbers) name(i uint16) string {
	if int(i) < len(n.names) {
		return n.names[i]
	}
	return ""
}

// learn keeps the role of an interface.
func (n *numbers) learn(name, role string) {
	if n.roles == nil {
		n.roles = map[string]string{}
	}
	if len(n.roles) < 1<<16 {
		n.roles[name] = role
	}
}

func (n *numbers) role(i uint16) string { return n.roles[n.name(i)] }

func tunnel(name string) uint8 {
	for l := uint8(0); pkt.LinkName(l) != "unknown"; l++ {
		if pkt.LinkName(l) == name {
			return l
		}
	}
	return 0
}
