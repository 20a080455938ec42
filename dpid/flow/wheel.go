package flow

const (
	wheelTick  = 1_000_000_000 // ns of one slot
	wheelSlots = 512           // a deadline further away is looked at on the way
	none       = ^uint32(0)
)

// wheel is a lazy timing wheel: a flow stands in the slot of a deadline it had
// once. A packet does not move it; when its slot comes the true deadline is
// computed, and a flow that lives on moves to that. Lists are index arrays, so the
// garbage collector sees nothing.
type wheel struct {
	next, prev []uint32 // by flow slot; prev of a list's first is its wheel slot | first
	head       [wheelSlots]uint32
	now        uint64 // tick number that is being served
	started    bool
}

const firstOf = 1 << 31 // marks prev as a wheel slot

func newWheel(flows int) (w wheel, err error) {
	if w.next, err = newWords(flows); err != nil {
		return w, err
	}
	if w.prev, err = newWords(flows); err != nil {
		return w, err
	}
	for i := range w.head {
		w.head[i] = none
	}
	return w, nil
}

// add puts flow slot s into the slot of deadline (ns).
func (w *wheel) add(s uint32, deadline uint64) {
	tick := deadline/wheelTick + 1
	w.started = true // now stays 0 until the first due: deadlines do not tell the time
	if tick <= w.now {
		tick = w.now + 1
	} else if tick >= w.now+wheelSlots {
		tick = w.now + wheelSlots - 1
	}
	i := uint32(tick % wheelSlots)
	h := w.head[i]
	w.next[s], w.prev[s] = h, i|firstOf
	if h != none {
		w.prev[h] = s
	}
	w.head[i] = s
}

// remove takes s out of its list.
func (w *wheel) remove(s uint32) {
	n, p := w.next[s], w.prev[s]
	if p&firstOf != 0 {
		w.head[p&^firstOf] = n
	} else {
		w.next[p] = n
	}
	if n != none {
		w.prev[n] = p
	}
}

// due returns a flow of a slot that time has passed, and false when there is none
// up to now (ns). The flow stays in its list: the caller removes or re-adds it.
func (w *wheel) due(now uint64) (uint32, bool) {
	tick := now / wheelTick
	if !w.started {
		return 0, false
	}
	if tick > w.now+wheelSlots { // one round sees every flow
		w.now = tick - wheelSlots
	}
	for w.now <= tick {
		if s := w.head[w.now%wheelSlots]; s != none {
			return s, true
		}
		if w.now == tick {
			break
		}
		w.now++
	}
	return 0, false
}
