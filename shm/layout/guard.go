package layout

import "runtime/debug"

// Guard runs f and turns a fault inside m into ErrRingLost. Call it once per
// batch, not per record. Nothing may be locked or half-changed while inside.
func (m *Mapping) Guard(f func() error) error { return guard([]*Mapping{m}, f) }

// A Guard protects code that touches several mappings at once.
type Guard []*Mapping

// Run runs f and turns a fault inside one of the mappings into ErrRingLost.
func (g Guard) Run(f func() error) error { return guard(g, f) }

func guard(ms []*Mapping, f func() error) (err error) {
	// Per goroutine. Without it a fault ends the process and cannot be recovered.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr })
		if !ok || !inside(ms, fault.Addr()) {
			panic(r) // a bug, not a lost mapping
		}
		err = ErrRingLost
	}()
	return f()
}

func inside(ms []*Mapping, addr uintptr) bool {
	for _, m := range ms {
		if m != nil && m.contains(addr) {
			return true
		}
	}
	return false
}
