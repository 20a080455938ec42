package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"

	"weir/proto/pkt"
	"weir/proto/topology"
	"weir/shm/pktring"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "dump", args: "NAME [-pcapng FILE] [-unread]", help: "copy what is in a packet ring now, or list it",
		least: 1, most: 1,
		flags: func(fs *flag.FlagSet) func(*env) error {
			file := fs.String("pcapng", "", "write packets to `FILE`, - for standard output")
			unread := fs.Bool("unread", false, "only what the worker has not read; else also what was read and is not overwritten")
			return func(e *env) error { return e.dump(*file, *unread) }
		},
	})
}

// dumpJSON is the one line of dump -pcapng -json.
type dumpJSON struct {
	Ring    string `json:"ring"`
	File    string `json:"file"`
	From    uint64 `json:"from"` // position of the oldest record in the ring
	To      uint64 `json:"to"`   // behind the newest
	Packets int    `json:"packets"`
	Bare    int    `json:"without_payload"`
	Marks   int    `json:"marks"`   // ticks, ends, losses
	Gone    int    `json:"gone"`    // overwritten while we looked
	Damaged int    `json:"damaged"` // make no sense
}

// record is one record of a packet ring, copied.
type record struct {
	pos     uint64
	desc    pkt.Descriptor
	payload []byte // prefix and frame, or nil
	unread  bool
	working bool // the worker works on it, or died on it
}

// choose says which records are wanted.
type choose func(*record) bool

func wanted(unread bool) choose {
	return func(rec *record) bool { return rec.unread || !unread }
}

// visit calls f for what is in the ring and counts what cannot be read.
func visit(r *look.Ring, want choose, sum *dumpJSON, f func(*record) error) error {
	v, err := pktring.OpenView(r.Path)
	if err != nil {
		return err
	}
	defer func() { _ = v.Close() }()
	head, working := r.Freed, uint64(0)
	if rd := r.Readers[0]; rd.Err == nil && !rd.Foreign && !rd.Beyond {
		head, working = rd.Info.Position, rd.Info.Inflight
	}
	if r.Tail-r.Freed > r.Size {
		return fmt.Errorf("%s: positions make no sense (freed %d, tail %d): see ringctl check", r.Name, r.Freed, r.Tail)
	}
	sum.Ring, sum.From, sum.To = r.Name, r.Freed, r.Tail
	var desc [pktring.DescSize]byte
	rec := record{desc: desc[:]}
	var buf []byte
	for rec.pos = r.Freed; rec.pos != r.Tail; rec.pos++ {
		rec.unread = int64(rec.pos-head) >= 0
		rec.working = working != 0 && working-1 == rec.pos
		if !want(&rec) {
			continue
		}
		payload, err := look.Record(v, rec.pos, &desc, buf[:0])
		switch {
		case errors.Is(err, pktring.ErrGone):
			sum.Gone++
			continue
		case err != nil:
			sum.Damaged++
			continue
		}
		buf, rec.payload = payload[:0], payload
		if err := f(&rec); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) dump(file string, unread bool) error {
	in, r, err := e.packetRing(e.args[0])
	if err != nil {
		return err
	}
	if file == "" {
		return e.list(r, unread)
	}
	var sum dumpJSON
	sum.File = file
	if file == "-" {
		err = export(e.stdout, in.Topology, r, wanted(unread), &sum)
	} else {
		err = toFile(file, func(w io.Writer) error { return export(w, in.Topology, r, wanted(unread), &sum) })
	}
	if err != nil {
		return fmt.Errorf("dump %s: %w", r.Name, err)
	}
	if file == "-" {
		return nil
	}
	if e.json {
		return e.object(sum)
	}
	fmt.Fprintf(e.out, "%s: %d packets written to %s", r.Name, sum.Packets, file)
	for _, c := range []struct {
		n    int
		what string
	}{{sum.Bare, "without payload"}, {sum.Marks, "marks"}, {sum.Gone, "overwritten meanwhile"}, {sum.Damaged, "damaged"}} {
		if c.n > 0 {
			fmt.Fprintf(e.out, ", %d %s left out", c.n, c.what)
		}
	}
	fmt.Fprintln(e.out)
	return nil
}

// packetRing finds a ring of packets.
func (e *env) packetRing(name string) (*look.Instance, *look.Ring, error) {
	in, err := e.look()
	if err != nil {
		return nil, nil, err
	}
	r := in.Ring(name)
	switch {
	case r != nil && r.Kind == look.Packet:
		return in, r, nil
	case r != nil:
		return nil, nil, fmt.Errorf("%s is not a packet ring: those are called cNN-wNN", name)
	}
	for _, p := range in.Problems {
		if p.Name == name {
			return nil, nil, p.Err
		}
	}
	return nil, nil, fmt.Errorf("%s has no packet ring called %q: ringctl ls lists them", e.root, name)
}

// toFile writes a file that only its owner may read: it holds traffic. A file that
// did not come to its end is removed if it is one that we made: not what was there
// before, least of all a device.
func toFile(path string, write func(io.Writer) error) error {
	made := true
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		made = false
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	}
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err != nil && made {
		_ = os.Remove(path)
	}
	return err
}

func interfaceRole(t *topology.Topology, i uint16) string {
	if t == nil {
		return ""
	}
	return t.Role(i)
}

func interfaceName(t *topology.Topology, i uint16) string {
	if t != nil {
		if name := t.Name(i); name != "" {
			return name
		}
	}
	return fmt.Sprintf("if%d", i)
}
