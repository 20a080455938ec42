package main

import (
	"testing"

	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/pktring"
)

// TestCheckWhileBusy looks while rings turn over as fast as they can, the event ring
// without waiting for anybody: nothing may look broken.
func TestCheckWhileBusy(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.must(s.events[0].Close())
	fast, err := evtring.OpenProducer(evtring.Config{Path: s.root.EventRing(0), Capacity: evtring.MinCapacity, Mode: 0o600, Tag: tagOf(t, s.root.EventRing(0))})
	s.must(err)
	s.events[0] = fast
	ring, err := pktring.OpenProducer(pktring.Config{
		Path: s.root.PacketRing(0, 1), CursorPath: s.root.PacketCursor(0, 1), Descriptors: 16, PayloadBytes: 16384,
		Wait: true, Consumer: 1, Mode: 0o640, Tag: tagOf(t, s.root.PacketRing(0, 1)),
	})
	s.must(err)
	s.packets[1] = ring
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _, _ = fast.Close(), ring.Close() }()
		for n := uint64(0); ; n++ {
			select {
			case <-stop:
				return
			default:
				s.tell(0, event.FlowUpdate, n)
				s.put(1, n)
				if n%4 == 3 {
					s.read(1, 4)
				}
			}
		}
	}()
	for range 30 {
		if got, status := broken(t, string(s.root)); status != exitOK {
			t.Errorf("check: status %d, broken %q, want none", status, got)
		}
		if _, errs, status := ringctl(t, "-root", string(s.root), "dump", "c00-w01", "-pcapng", "-"); status != exitOK {
			t.Errorf("dump: status %d, %s", status, errs)
		}
	}
	close(stop)
	<-done
}
