package flow

import "testing"

// TestFirstDeadline: the first flow's deadline says nothing of the time, so a
// nearer one that comes later is met in its own second, also after a restart.
func TestFirstDeadline(t *testing.T) {
	g := Geometry{Flows: 64, Chunks: 64}
	mem := make([]byte, g.Size())
	begin := uint64(1_700_000_000 * second)
	timeout := map[uint16]uint64{longPort: 300 * second, shortPort: 10 * second}
	open := func(fresh bool) *Table {
		table, _, err := Open(mem, fresh, 0, Options{Geometry: g, Seed: seed, Deadline: func(r *Record) uint64 {
			return r.Last() + timeout[portOf(r)]
		}})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	table := open(true)
	table.Begin(0, 0, 0)
	for i, port := range []int{longPort, shortPort} {
		k, lo, hi := key(port - 1024)
		_, r := table.Create(&k, lo, hi, begin, 0, Alive)
		if portOf(r) != uint16(port) {
			t.Fatalf("flow %d has port %d, want %d", i, portOf(r), port)
		}
	}
	table.Prepare(0, false)
	table.Commit()
	for _, restart := range []bool{false, true} {
		if restart {
			table = open(false)
		}
		if _, ok := table.Expired(begin + 9*second); ok {
			t.Errorf("restart %v: a flow of 10 s is over after 9", restart)
		}
		slot, ok := table.Expired(begin + 12*second)
		if !ok || portOf(table.Record(slot)) != shortPort {
			t.Errorf("restart %v: Expired() after 12 s = %v, want the flow of 10 s", restart, ok)
		}
	}
}

const (
	longPort  = 2000
	shortPort = 2001
)

// portOf returns the port by which the flows of these tests differ.
func portOf(r *Record) uint16 { return uint16(r[64+32]) | uint16(r[64+33])<<8 }
