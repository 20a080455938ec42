package main

import (
	"flag"
	"fmt"
	"os"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "retire", args: "NAME", help: "take a ring out of use, so that its producer makes a new one",
		writes: true, least: 1, most: 1,
		flags: func(*flag.FlagSet) func(*env) error { return (*env).retire },
	})
}

// retire marks a ring as retired and removes its name. Readers of an event ring
// drain what they have mapped and look for the new one. A packet ring must be
// read to its end and left by its worker: what is in it is nowhere else.
func (e *env) retire() error {
	in, err := e.look()
	if err != nil {
		return err
	}
	name := e.args[0]
	r := in.Ring(name)
	if r == nil {
		return fmt.Errorf("%s has no readable ring called %q: ringctl ls lists them; an owner replaces a damaged one by itself when it starts", e.root, name)
	}
	for _, rd := range r.Readers {
		if err := mayLose(r, rd); err != nil {
			return err
		}
	}
	magic := uint64(layout.MagicPacketRing)
	if r.Kind == look.Event {
		magic = layout.MagicEventRing
	}
	m, err := claim(r.Path, name, "stop it first", layout.Spec{Magic: magic, RingID: r.Header.RingID})
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	err = m.Guard(func() error {
		if now := m.U64(layout.OffHot).Load(); now != r.Tail {
			return fmt.Errorf("%s: %d more %s were published meanwhile: try again", name, now-r.Tail, r.Unit())
		}
		m.Owner().SetState(layout.StateRetired)
		layout.FutexWake(layout.LowHalf(m.U64(layout.OffHot))) // sleepers look at the state
		return nil
	})
	if err != nil {
		return err
	}
	// Still under the lock: nobody can have taken the name meanwhile.
	if err := os.Remove(r.Path); err != nil {
		return fmt.Errorf("retire %s: %w", name, err)
	}
	return e.done("retire", name, "retired; "+r.Producer()+" makes a new one when it starts")
}

// mayLose says why a ring cannot be taken away from a reader.
func mayLose(r *look.Ring, rd *look.Reader) error {
	switch {
	case r.Kind == look.Event || rd.Foreign:
		return nil // it gets a snapshot
	case rd.Info.Owner.Alive:
		return fmt.Errorf("%s is being read by %s (pid %d): stop it first", r.Name, rd.Name, rd.Info.Owner.PID)
	case rd.Err != nil && !rd.Missing():
		return fmt.Errorf("%s: nobody can say what was read: %w", r.Name, rd.Err)
	case rd.Beyond:
		return fmt.Errorf("%s: nobody can say what was read: the position of its cursor is not in the ring", r.Name)
	case rd.Lag > 0:
		return fmt.Errorf("%s holds %d records that %s has not read: start it, or keep them with ringctl dump and remove %s yourself",
			r.Name, rd.Lag, rd.Name, r.Path)
	}
	return nil
}
