//go:build !amd64 && !386

package evtring

import "sync/atomic"

// loadFence keeps the loads before it before the loads after it. Go has no
// fence; a read-modify-write of a private word orders both sides.
func loadFence(w *atomic.Uint32) { w.Add(1) }
