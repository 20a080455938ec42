package layout

import "runtime/debug"

// Guard protects code that touches mappings against the loss of their memory.
// Maps may change while the code runs.
type Guard struct{ Maps []*Mapping }

// Run runs f and turns a fault inside one of the mappings into ErrRingLost. Call
// it once per batch, not per record. Nothing may be locked or half-changed while
// inside.
func (g *Guard) Run(f func() error) (err error) {
	// Per goroutine. Without it a fault ends the process and cannot be recovered.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if !g.Lost(r) {
			panic(r) // a bug, not a lost mapping
		}
		err = ErrRingLost
	}()
	return f()
}

// Lost reports whether what was recovered is a fault inside one of the mappings, for
// whoever can do without one of them and recovers by itself inside of Run.
func (g *Guard) Lost(recovered any) bool {
	for _, m := range g.Maps {
		if m != nil && m.Lost(recovered) {
			return true
		}
	}
	return false
}

// Lost reports whether what was recovered is a fault inside m.
func (m *Mapping) Lost(recovered any) bool {
	fault, ok := recovered.(interface{ Addr() uintptr })
	return ok && m.contains(fault.Addr())
}

// Guard runs f and turns a fault inside m into ErrRingLost.
func (m *Mapping) Guard(f func() error) error {
	g := Guard{Maps: []*Mapping{m}}
	return g.Run(f)
}
