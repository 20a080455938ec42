package engine

import (
	"io"
	"testing"

	"weir/policyd/target"
	"weir/proto/event"
	"weir/shm/evtring"
)

// TestPlaces: rules are asked again when the counters of a flow come with news of
// where its ends are, though none looks at counters, and not for counters alone.
func TestPlaces(t *testing.T) {
	s := start(t, `
[[rule]]
name = "out"
match = 'direction == "outbound" and interface_role == "lan"'
tag = ["out"]
`, target.NewDry(io.Discard))
	s.opt.Role = func(uint16) string { return "lan" }
	s.whole()
	tell := func(typ event.Type, rev uint32, bytes uint64, places uint8) {
		b := flowSpec{id: 1, rev: rev, cport: 50001, proto: "tls", bytes: bytes}.payload()
		b[event.PlaceAt] = places
		s.Event(0, &evtring.Record{Type: uint16(typ), Version: event.Version, TS: 1e18, Payload: b})
	}
	const remote, out = event.PlaceRemote | event.PlaceRemote<<4, event.PlaceLocal | event.PlaceRemote<<4
	steps := []struct {
		what        string
		typ         event.Type
		places      event.Place
		live        int
		evaluations uint64
	}{
		{"classified", event.FlowClass, remote, 0, 1},
		{"counters", event.FlowStats, remote, 0, 1},
		{"the network is ours", event.FlowStats, out, 1, 2},
		{"more counters", event.FlowStats, out, 1, 2},
		{"it is not any more", event.FlowStats, remote, 0, 3},
	}
	for i, step := range steps {
		tell(step.typ, uint32(i+1), uint64(1000*i), uint8(step.places))
		if got := s.Rules()[0].Live; got != step.live || s.counts.Evaluations != step.evaluations {
			t.Errorf("%s: %d live matches, %d evaluations, want %d, %d", step.what, got, s.counts.Evaluations, step.live, step.evaluations)
		}
	}
}
