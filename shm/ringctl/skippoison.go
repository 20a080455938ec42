package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "skip-poison", args: "cNN-wNN", help: "have the next worker leave out the packet that killed the last one",
		writes: true, least: 1, most: 1,
		flags: func(*flag.FlagSet) func(*env) error { return (*env).skipPoison },
	})
}

// skipPoison marks the packet that a worker died on as if it had killed two. The
// head stays where it is: the packets before it in the batch were not finished, and
// the next worker takes them again. A copy of the packet is kept.
func (e *env) skipPoison() error {
	in, r, err := e.packetRing(e.args[0])
	if err != nil {
		return err
	}
	rd := r.Readers[0]
	switch {
	case rd.Missing():
		return fmt.Errorf("%s was never read: no packet can have killed its worker", r.Name)
	case rd.Err != nil:
		return rd.Err
	case rd.Foreign:
		return fmt.Errorf("the cursor of %s belongs to an older ring", r.Name)
	}
	m, err := claim(rd.Path, "the cursor of "+r.Name, "a packet can only be skipped between two workers",
		layout.Spec{Magic: layout.MagicCursor, OwnerLine: layout.OffCursorOwner, RingID: r.Header.RingID})
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	var note uint64
	err = m.Guard(func() error {
		note = m.U64(cursor.OffInflight).Load()
		head := m.U64(cursor.OffPosition).Load()
		if pos := note - 1; note == 0 || pos-head >= r.Tail-head || r.Tail-head > r.Size {
			return fmt.Errorf("%s: no unread packet was in work when its worker ended", r.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	kept, err := keep(in, r, note-1)
	if err != nil {
		return fmt.Errorf("keep a copy of packet %d of %s: %w", note-1, r.Name, err)
	}
	err = m.Guard(func() error {
		m.U32(cursor.OffTries).Store(1) // the next attach makes it two
		m.U32(cursor.OffTriesPos).Store(uint32(note))
		return nil
	})
	if err != nil {
		return err
	}
	return e.done("skip-poison", r.Name, fmt.Sprintf("the next worker leaves out packet %d%s", note-1, kept))
}

// keep copies one packet into the quarantine, and says where.
func keep(in *look.Instance, r *look.Ring, pos uint64) (string, error) {
	if err := os.MkdirAll(in.Root.Quarantine(), 0o750); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%s-%d.pcapng", time.Now().UTC().Format("20060102T150405Z"), r.Name, pos)
	path := filepath.Join(in.Root.Quarantine(), name)
	var sum dumpJSON
	err := toFile(path, func(w io.Writer) error {
		return export(w, in.Topology, r, func(rec *record) bool { return rec.pos == pos }, &sum)
	})
	switch {
	case err != nil:
		return "", err
	case sum.Packets == 0:
		return " (it has no payload to keep)", os.Remove(path)
	}
	return "; it is kept in " + path, nil
}
