package flow

import "testing"

// BenchmarkUndo compares the two ways to make a change of a record safe against a
// kill (docs/decisions/003): an undo copy and two atomic sequence stores for each
// packet, or one undo log for a batch of 32.
func BenchmarkUndo(b *testing.B) {
	g := Geometry{Flows: 4096, Chunks: 64}
	mem := make([]byte, g.Size())
	table, _ := open(b, mem, true, 0, g)
	slots := make([]uint32, 0, 2048)
	for i := 0; i < cap(slots); {
		table.Begin(0, 0, 0)
		for ; i < cap(slots) && table.Room(2); i++ {
			k, lo, hi := key(i)
			s, _ := table.Create(&k, lo, hi, second, 0, Alive)
			slots = append(slots, s)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	b.Run("record", func(b *testing.B) {
		undo := mem[undoAt : undoAt+RecordSize]
		for n := range b.N {
			slot := slots[n*7&(len(slots)-1)]
			r := table.record(slot)
			copy(undo, r[:])
			seq := atomicWord(mem, recordsAt+int(slot)*RecordSize+60)
			seq.Store(seq.Load() | 1)
			r.Count(false, 100, uint64(n))
			seq.Store(seq.Load() + 1)
		}
	})
	b.Run("batch", func(b *testing.B) {
		for n := 0; n < b.N; n += 32 {
			table.Begin(0, uint64(n), 0)
			for i := n; i < n+32; i++ {
				table.Touch(slots[i*7&(len(slots)-1)]).Count(false, 100, uint64(i))
			}
			table.Prepare(uint64(n+32), false)
			table.Commit()
		}
	})
}
