package view

// maxFree bounds the flows that are kept for others: events of a batch end no more.
const maxFree = 1 << 10

// recycle makes the flow that ended last free for another.
func (v *View[S]) recycle() {
	f := v.ended
	if v.ended = nil; f == nil || len(v.free) == maxFree || cap(f.Flow) > flowBytes {
		return
	}
	*f = Flow[S]{Flow: f.Flow[:0]}
	v.free = append(v.free, f)
}

// take returns a flow without a payload.
func (v *View[S]) take() *Flow[S] {
	n := len(v.free) - 1
	if n < 0 {
		return &Flow[S]{}
	}
	f := v.free[n]
	v.free[n], v.free = nil, v.free[:n]
	return f
}
