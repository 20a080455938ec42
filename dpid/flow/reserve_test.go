package flow

import "testing"

// TestReserve: where memory comes in steps and ends, the table is as large as the
// steps it got, and goes on with that.
func TestReserve(t *testing.T) {
	const step = reserveStep / RecordSize
	g := Geometry{Flows: 4 * step, Chunks: 4 * reserveStep / ChunkSize}
	mem := make([]byte, g.Size())
	asked, grant := 0, 3 // two steps of records, one of chunks
	table, _, err := Open(mem, true, 0, Options{
		Geometry: g, Seed: seed, SlabID: 1, Probation: g.Flows,
		Deadline: func(r *Record) uint64 { return r.Last() + second },
		Reserve: func(part []byte) bool {
			if len(part) != reserveStep {
				t.Errorf("Reserve of %d bytes, want %d", len(part), reserveStep)
			}
			asked++
			return asked <= grant
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if asked != 0 {
		t.Errorf("Open reserved %d times, want 0: nothing is used yet", asked)
	}
	made, described := 0, 0
	for i := 0; i < 3*step; i++ {
		table.Begin(0, uint64(i), 0)
		if table.Full(false) {
			break
		}
		k, lo, hi := key(i)
		_, r := table.Create(&k, lo, hi, second, 0, Alive)
		made++
		if i%8 == 0 && redescribed(table, r) {
			described++
		}
		table.Prepare(uint64(i+1), false)
		table.Commit()
	}
	if made != 2*step || table.Cap() != made || table.Live() != made {
		t.Errorf("%d flows made, Cap() = %d, Live() = %d, want %d of each", made, table.Cap(), table.Live(), 2*step)
	}
	if described != made/8 {
		t.Errorf("%d descriptions, want %d", described, made/8)
	}
	if asked != grant+1 {
		t.Errorf("Reserve was called %d times, want %d: a refusal is final", asked, grant+1)
	}
	slot, _ := table.Victim()
	table.Begin(0, 1<<20, 0)
	table.Detach(slot, table.Touch(slot))
	table.Release(slot)
	table.Prepare(1<<20, false)
	table.Commit()
	if table.Full(false) {
		t.Error("Full() = true after a flow was freed")
	}
}

// TestGrowIndex: an index that began small finds every flow after it has grown, also
// those that were detached and begun anew on the way.
func TestGrowIndex(t *testing.T) {
	const flows = 5 * firstIndex
	g := Geometry{Flows: flows, Chunks: 64}
	table, _, err := Open(make([]byte, g.Size()), true, 0, Options{
		Geometry: g, Seed: seed, SlabID: 1, Deadline: func(r *Record) uint64 { return r.Last() + second },
		Reserve: func([]byte) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	begun := len(table.index.b)
	gone := map[int]bool{}
	for i := 0; i < flows; {
		table.Begin(0, 0, 0)
		for ; i < flows && table.Room(3) && !table.Full(false); i++ {
			k, lo, hi := key(i)
			slot, r := table.Create(&k, lo, hi, second, 0, Alive)
			if i%5 == 0 {
				gone[i] = true
				table.Detach(slot, r)
				table.Release(slot)
			}
		}
		table.Prepare(0, false)
		table.Commit()
	}
	if len(table.index.b) < 4*begun || table.index.n != table.Live() {
		t.Errorf("index of %d buckets, %d at first, with %d entries for %d flows", len(table.index.b), begun, table.index.n, table.Live())
	}
	for i := range flows {
		_, lo, hi := key(i)
		slot, ok := table.Find(lo, hi)
		if ok == gone[i] || ok && table.Record(slot).HashLo() != lo {
			t.Fatalf("Find of flow %d = %d, %v, want %v", i, slot, ok, !gone[i])
		}
	}
}

func redescribed(table *Table, r *Record) bool {
	_, ok := table.Describe(r, describe("x"))
	return ok
}
