package main

import (
	"net/netip"
	"testing"

	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
)

// worker is a worker without packets: it knows which flows live, writes their
// events, and answers requests for snapshots.
type worker struct {
	n        int
	p        *evtring.Producer
	live     map[uint64]uint32 // revision of each living flow
	next     uint64
	mute     bool // answers no requests
	gen      uint32
	everTLS  map[uint64]bool
	requests int
}

// ringSize holds whole snapshots: unlike a real worker this one does not wait for the
// reader in their middle, and a reader that is dead is not waited for for ever.
const ringSize = 1 << 24

func newWorker(t *testing.T, root layout.Root, n int, wait bool) *worker {
	t.Helper()
	p, err := evtring.OpenProducer(evtring.Config{
		Path: root.EventRing(n), Capacity: ringSize, Worker: n, CursorDir: root.EventCursors(), Wait: wait, Mode: 0o600,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return &worker{n: n, p: p, live: map[uint64]uint32{}, everTLS: map[uint64]bool{}}
}

// address and port of a flow follow from its id.
func ends(id uint64) (netip.Addr, uint16) {
	return netip.AddrFrom4([4]byte{10, byte(id >> 56), byte(id >> 16), byte(id >> 8)}), uint16(id&0xff) + 1000
}

func (w *worker) emit(typ event.Type, id uint64, tls bool) {
	w.live[id]++
	a, port := ends(id)
	c := event.Counters{
		ID: id, Rev: w.live[id], Worker: uint16(w.n), Client: a.As16(), Server: netip.MustParseAddr("203.0.113.7").As16(),
		ClientPort: port, ServerPort: 443, IPProto: 6, IPVersion: 4, First: 1e18, Last: 1e18, ClientBytes: 100, ServerBytes: 200,
	}
	d := event.Description{}
	if tls {
		d.Protocol, d.Application, d.Host = "tls", "example", []byte("www.example.com")
		w.everTLS[id] = true
	}
	b := make([]byte, event.DescriptionAt)
	c.Encode(b)
	b = d.Append(b)
	copy(w.p.Reserve(uint16(typ), event.Version, 0, 1e18, len(b)), b)
}

func (w *worker) begin() uint64 {
	w.next++
	id := uint64(w.n)<<56 | w.next
	w.emit(event.FlowNew, id, false)
	return id
}

func (w *worker) end(id uint64) {
	w.emit(event.FlowEnd, id, w.everTLS[id])
	delete(w.live, id)
}

// tend does what a worker does now and then.
func (w *worker) tend(t *testing.T) {
	t.Helper()
	if _, err := w.p.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	if !w.mute {
		for _, r := range w.p.ResyncRequests() {
			w.requests++
			w.snapshot(r)
		}
	}
	w.p.Publish()
}

func (w *worker) snapshot(r evtring.ResyncRequest) {
	w.gen++
	mark := func(typ event.Type) {
		s := event.Snapshot{Generation: w.gen, Request: r.Req, Consumer: r.Consumer}
		s.Encode(w.p.Reserve(uint16(typ), event.Version, evtring.FlagSnapshot, 1e18, event.SnapshotSize))
	}
	mark(event.SnapBegin)
	for id := range w.live {
		w.emit(event.SnapFlow, id, w.everTLS[id])
	}
	mark(event.SnapEnd)
}
