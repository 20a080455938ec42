package conntrack

import "sync/atomic"

// pipe carries values from one goroutine to another, without locks and allocations. A
// value that finds it full is lost; whoever puts it is told.
type pipe[T any] struct {
	head atomic.Uint64 // next to take
	_    [56]byte
	tail atomic.Uint64 // next to put
	_    [56]byte
	ring []T // a power of two
}

func newPipe[T any](size int) *pipe[T] { return &pipe[T]{ring: make([]T, size)} }

func (p *pipe[T]) put(v *T) bool {
	t := p.tail.Load()
	if t-p.head.Load() == uint64(len(p.ring)) {
		return false
	}
	p.ring[t&uint64(len(p.ring)-1)] = *v
	p.tail.Store(t + 1)
	return true
}

func (p *pipe[T]) take(v *T) bool {
	h := p.head.Load()
	if h == p.tail.Load() {
		return false
	}
	*v = p.ring[h&uint64(len(p.ring)-1)]
	p.head.Store(h + 1)
	return true
}
