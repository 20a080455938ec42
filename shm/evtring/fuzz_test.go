package evtring

import (
	"errors"
	"testing"

	"weir/shm/cursor"
)

// FuzzReader reads arbitrary bytes with arbitrary positions: it must end, stay
// inside, and hand out nothing whose checksum is wrong.
func FuzzReader(f *testing.F) {
	p, _, err := newHeap(Config{Capacity: MinCapacity})
	if err != nil {
		f.Fatal(err)
	}
	for n := range uint64(50) {
		p.Reserve(1, 0, 0, n, int(n))
	}
	p.Publish()
	f.Add(p.Tail(), p.intent, uint64(0), p.data[:p.Tail()])
	f.Add(uint64(1<<40), uint64(1<<40), uint64(1<<40-1000), []byte{64, 0, 0, 0})
	f.Add(uint64(70000), uint64(0), uint64(1<<64-1), []byte{0, 0, 1, 0x80})
	f.Fuzz(func(t *testing.T, tail, intent, pos uint64, data []byte) {
		p, r, err := newHeap(Config{Capacity: MinCapacity})
		if err != nil {
			t.Fatal(err)
		}
		copy(p.data, data)
		p.tail.Store(tail)
		p.intentW.Store(intent)
		cur := cursor.NewHeap(cursor.Event, r.RingID())
		cur.Position.Store(pos)
		r.start(cur, false)
		for range 100 {
			rec, err := r.Next()
			if errors.Is(err, ErrIdle) {
				break
			}
			if err == nil && len(rec.Payload) > MaxPayload {
				t.Fatalf("payload of %d", len(rec.Payload))
			}
			r.Commit()
		}
		r.Lag()
		r.Wait(0)
	})
}

// FuzzTakeOver gives a producer an arbitrary ring: it accepts it only when it can
// go on.
func FuzzTakeOver(f *testing.F) {
	p, _, err := newHeap(Config{Capacity: MinCapacity})
	if err != nil {
		f.Fatal(err)
	}
	for n := range uint64(50) {
		p.Reserve(1, 0, 0, n, int(n))
	}
	p.Publish()
	f.Add(p.Tail(), p.intent, p.data[:p.Tail()])
	f.Add(uint64(1<<40), uint64(1<<40), []byte{64, 0, 0, 0})
	f.Fuzz(func(t *testing.T, tail, intent uint64, data []byte) {
		p, r, err := newHeap(Config{Capacity: MinCapacity})
		if err != nil {
			t.Fatal(err)
		}
		copy(p.data, data)
		p.tail.Store(tail)
		p.intentW.Store(intent)
		if p.takeOver() != nil {
			return
		}
		r.position = tail
		writeAll(t, p, 0, 20, 100)
		readAll(t, r, 0, 20, 100)
	})
}

// FuzzCursor shows a producer an arbitrary cursor.
func FuzzCursor(f *testing.F) {
	f.Add(cursor.NewHeap(cursor.Event, 7).Bytes()[:1024], false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, b []byte, wait bool) {
		p, r, err := newHeap(Config{Capacity: MinCapacity, Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		cur := cursor.NewHeap(cursor.Event, p.RingID())
		copy(cur.Bytes(), b)
		p.readers.list = []*registered{{name: "x", file: cur, owner: cur.Owner()}}
		writeAll(t, p, 0, 100, 100)
		p.ResyncRequests()
		p.Readers()
		if p.MaxLag() > MinCapacity {
			t.Errorf("MaxLag() = %d of %d", p.MaxLag(), MinCapacity)
		}
		p.ShedLow()
		p.WaitRoom(0)
		r.start(cur, false)
		for range 300 {
			if _, err := r.Next(); errors.Is(err, ErrIdle) {
				break
			}
		}
	})
}
