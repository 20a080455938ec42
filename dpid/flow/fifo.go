package flow

// fifo is a list of flow slots in order of arrival, with removal from the middle.
type fifo struct {
	next, prev  []uint32
	first, last uint32
	n           int
}

func newFIFO(flows int) (f fifo, err error) {
	f.first, f.last = none, none
	if f.next, err = newWords(flows); err != nil {
		return f, err
	}
	f.prev, err = newWords(flows)
	return f, err
}

func (f *fifo) push(s uint32) {
	f.next[s], f.prev[s] = none, f.last
	if f.last == none {
		f.first = s
	} else {
		f.next[f.last] = s
	}
	f.last = s
	f.n++
}

func (f *fifo) remove(s uint32) {
	n, p := f.next[s], f.prev[s]
	if p == none {
		f.first = n
	} else {
		f.next[p] = n
	}
	if n == none {
		f.last = p
	} else {
		f.prev[n] = p
	}
	f.n--
}

func (f *fifo) front() (uint32, bool) { return f.first, f.first != none }
