package flow

import (
	"encoding/binary"
	"testing"

	"weir/proto/event"
)

// TestWorth: of flows outside of probation that which is over goes first, then what
// nobody answered, then what was idle longest.
func TestWorth(t *testing.T) {
	g := Geometry{Flows: 64, Chunks: 64}
	table, _ := open(t, make([]byte, g.Size()), true, 0, g)
	flows := []struct {
		replied bool
		state   State
		last    uint64
	}{{true, Alive, 10}, {true, Alive, 5}, {false, Alive, 90}, {false, Alive, 80}, {true, Closing, 99}}
	slots := make([]uint32, len(flows))
	table.Begin(0, 0, 0)
	for i, f := range flows {
		k, lo, hi := key(i)
		s, r := table.Create(&k, lo, hi, f.last*second, 0, Alive)
		if f.replied {
			r.Set(Replied)
		}
		r.SetState(f.state)
		slots[i] = s
	}
	for _, want := range []int{4, 3, 2, 1, 0} {
		s, ok := table.Victim()
		if !ok || s != slots[want] {
			t.Fatalf("Victim() = slot %d, %v, want %d, that of %+v", s, ok, slots[want], flows[want])
		}
		r := table.Touch(s)
		table.Detach(s, r)
		table.Release(s)
	}
	if _, ok := table.Victim(); ok {
		t.Error("Victim() of an empty table found one")
	}
	table.Prepare(0, false)
	table.Commit()
}

// TestSmallerProbation: a slab with more flows in probation than the table is now
// allowed to have; the oldest is still the first to go, and none is forgotten.
func TestSmallerProbation(t *testing.T) {
	g := Geometry{Flows: 1024, Chunks: 64}
	mem := make([]byte, g.Size())
	reopen := func(limit int, fresh bool) *Table {
		table, _, err := Open(mem, fresh, 0, Options{Geometry: g, Seed: seed, Probation: limit, Deadline: func(r *Record) uint64 { return r.Last() }})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	table := reopen(900, true)
	for i := 0; i < 800; {
		table.Begin(0, 0, 0)
		for ; i < 800 && table.Room(1); i++ {
			k, lo, hi := key(i)
			table.Create(&k, lo, hi, uint64(i)*second, 0, Probation)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	table = reopen(16, false)
	if n := table.InProbation(); n != 800 || !table.Full(true) {
		t.Fatalf("InProbation() = %d, full %v, want 800, true", n, table.Full(true))
	}
	for i := 0; i < 800; {
		table.Begin(0, 0, 0)
		for ; i < 800 && table.Room(2); i++ {
			s, ok := table.Victim()
			if !ok || table.Record(s).First() != uint64(i)*second {
				t.Fatalf("victim %d is of second %d, %v, want %d", i, table.Record(s).First()/second, ok, i)
			}
			r := table.Touch(s)
			table.Detach(s, r)
			table.Release(s)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	if table.Live() != 0 || table.InProbation() != 0 {
		t.Errorf("%d flows, %d in probation, want none", table.Live(), table.InProbation())
	}
}

// TestForeignDescription: lengths that somebody else wrote into a description never
// make it longer than an event can be.
func TestForeignDescription(t *testing.T) {
	g := Geometry{Flows: 64, Chunks: 2048}
	table, _ := open(t, make([]byte, g.Size()), true, 0, g)
	table.Begin(0, 0, 0)
	k, lo, hi := key(1)
	_, r := table.Create(&k, lo, hi, second, 0, Alive)
	if _, ok := table.Describe(r, make([]byte, 60_000)); !ok {
		t.Fatal("Describe() = false")
	}
	head := table.chunkAt(r.chunk() - 1)[4:]
	for _, attrs := range []uint16{0, 2048, 2049, 60_000, 65_535} {
		binary.LittleEndian.PutUint16(head[30:], attrs)
		for _, l := range []byte{0, 255} {
			for i := range 5 {
				head[24+i] = l
			}
			if n := len(table.Description(nil, r)); n > event.MaxFlow-event.DescriptionAt {
				t.Errorf("attributes %d, strings %d: a description of %d bytes, at most %d", attrs, l, n, event.MaxFlow-event.DescriptionAt)
			}
		}
	}
}

func TestSpread(t *testing.T) {
	for _, n := range []uint32{1, 2, 3, 4, 5, 6, 64, 100, 1000, 1024, 30030} {
		seen := make([]bool, n)
		step, at := spread(n), uint64(0)
		for range n {
			at = (at + uint64(step)) % uint64(n)
			seen[at] = true
		}
		for i, ok := range seen {
			if !ok {
				t.Errorf("spread(%d) = %d does not come to slot %d", n, step, i)
				break
			}
		}
	}
	if s := spread(1<<31 - 2); s < 1<<29 {
		t.Errorf("spread(%d) = %d, want a large step", 1<<31-2, s)
	}
}
