package main

import (
	"flag"
	"fmt"

	"weir/shm/cursor"
	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "resync", args: "READER.wNN", help: "ask the worker for a snapshot on behalf of a reader that is not running",
		writes: true, least: 1, most: 1,
		flags: func(*flag.FlagSet) func(*env) error { return (*env).resync },
	})
}

// reasonOperator is what the cursor says of why a snapshot was asked for: somebody
// asked. The numbers are the readers'.
const reasonOperator = 5

// resync asks as the reader itself would, in its cursor file, which is only ours to
// write while the reader does not run. The worker puts the snapshot into the ring;
// the reader finds it there when it starts.
func (e *env) resync() error {
	in, err := e.look()
	if err != nil {
		return err
	}
	name := e.args[0]
	r, rd := in.Reader(name)
	switch {
	case rd == nil || r.Kind != look.Event:
		return fmt.Errorf("%s has no event cursor called %q: it is READER.wNN, ringctl ls lists them", e.root, name)
	case rd.Err != nil:
		return rd.Err
	case rd.Foreign:
		return fmt.Errorf("%s belongs to an older ring: the reader will begin with a snapshot anyway", name)
	}
	m, err := claim(rd.Path, name, "restart it; it asks for a snapshot when it starts",
		layout.Spec{Magic: layout.MagicCursor, OwnerLine: layout.OffCursorOwner})
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	var n uint32
	err = m.Guard(func() error {
		n = m.U32(cursor.OffResyncReq).Load() + 1
		m.U32(cursor.OffReason).Store(reasonOperator)
		m.U32(cursor.OffResyncReq).Store(n) // last: the worker looks at it
		return nil
	})
	if err != nil {
		return err
	}
	return e.done("resync", name, fmt.Sprintf("snapshot %d asked for", n))
}
