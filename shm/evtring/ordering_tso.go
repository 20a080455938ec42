//go:build amd64 || 386

package evtring

import "sync/atomic"

// loadFence keeps the loads before it before the loads after it. These machines
// never reorder loads, and the compiler does not move loads across atomics.
func loadFence(*atomic.Uint32) {}
