package source

import "sync"

// FanoutGroup is what the sockets join that share the frames of one interface. The
// kernel gives each a number that nobody else on the host has, so that frames are
// shared with no other program. The zero value is ready; any goroutine may use it.
type FanoutGroup struct {
	mu  sync.Mutex
	now *fanout
}

// fanout is a group in the kernel. It is of one interface: when that is made again,
// and one socket has not left the old one yet, the others begin a new group.
type fanout struct {
	id      int
	index   int // of the interface
	members int
}
