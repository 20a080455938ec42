package steer

import (
	"testing"

	"weir/proto/pkt"
)

// all is a worker that wants no bytes at all.
type all struct{ asked int }

func (a *all) Final(int, uint64, uint64) bool { a.asked++; return true }

// Packets whose bytes nobody wants go without, but for short ones, where it does not
// pay to ask, and for those that begin a connection.
func TestFinals(t *testing.T) {
	t.Parallel()
	long, short := string(random(300)), string(random(20))
	tests := []struct {
		name  string
		frame []byte
		bare  bool
	}{
		{"long", tcp(1, 2, long), true},
		{"short", tcp(1, 2, short), false},
		{"with a SYN", syn(tcp(1, 2, long)), false},
	}
	for _, tt := range tests {
		m, a := newMemoryRing(), &all{}
		s, err := New(Config{Seed: testSeed(), Outputs: []Output{m}, Finals: a})
		if err != nil {
			t.Fatal(err)
		}
		steerAll(t, s, outer(6, tt.frame))
		d := m.records[0].d()
		if bare := m.records[0].prefix == nil; bare != tt.bare || (s.HeaderOnly() == 1) != tt.bare {
			t.Errorf("%s: without its bytes %v (counted %d), want %v", tt.name, bare, s.HeaderOnly(), tt.bare)
		}
		if int(d.WireLen()) != len(outer(6, tt.frame)) || d.Flags()&pkt.FlagPayload != 0 == tt.bare {
			t.Errorf("%s: %d bytes on the wire, flags %#x", tt.name, d.WireLen(), d.Flags())
		}
	}
}

// syn sets the flag in a TCP header.
func syn(h []byte) []byte {
	h[13] |= tcpSYN
	return h
}
