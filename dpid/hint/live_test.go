//go:build !race

package hint

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
)

// TestLive reads while another goroutine writes. Names carry their address, so a
// torn read would show. The race detector cannot watch this: that the two meet in
// the same bytes is the point, and the sequence and the checksum sort it out.
func TestLive(t *testing.T) {
	m := newMem(64)
	var stop atomic.Bool
	done := make(chan uint64)
	go func() {
		w := NewWriter(m)
		n := uint64(0)
		for i := 1; !stop.Load(); i++ {
			server := addr(i % 40)
			name := bytes.Repeat([]byte{'a' + byte(i%40%26)}, 1+i%40+i/40%60)
			w.Add(DNS, &anyone, &server, 0, name, uint64(i), 60)
			w.Pass(uint64(i))
			n++
		}
		done <- n
	}()
	r := NewReader([][]byte{m})
	var found int
	var bad error
	for i := 0; i < 400_000 && bad == nil; i++ {
		server := addr(i % 40)
		name, _, ok := r.Name(DNS, &anyone, &server, 0, 1<<62)
		if !ok {
			continue
		}
		found++
		if len(bytes.Trim(name, string('a'+byte(i%40%26)))) != 0 || len(name) <= i%40 {
			bad = fmt.Errorf("read of address %d = %q", i%40, name)
		}
	}
	stop.Store(true)
	n := <-done
	if bad != nil {
		t.Fatal(bad)
	}
	if found == 0 || n == 0 {
		t.Errorf("%d reads found something of %d writes; the test is too weak", found, n)
	}
}
