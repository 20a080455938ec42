package evtring

import (
	"errors"
	"testing"
	"time"

	"weir/shm/internal/shmtest"
)

// TestModel drives ring and reader with random operations: every event is read
// right, or told as lost, exactly.
func TestModel(t *testing.T) {
	tests := []struct {
		name string
		most int // longest payload
		slow int // one read batch in so many
		pos  uint64
	}{
		{"small events", 300, 2, 0},
		{"lapped again and again", 300, 60, 0},
		{"longest events", MaxPayload, 4, 0},
		{"near the end of positions", 2000, 8, 1<<64 - 5*BlockSize},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rnd := shmtest.Rand(t)
			p, r := heapPair(t, tt.pos)
			var next, read, lost uint64
			laps := 0
			for range 4000 {
				for range rnd.IntN(20) {
					write(t, p, next, tt.most)
					next++
				}
				if rnd.IntN(4) != 0 {
					p.Publish()
				}
				if rnd.IntN(tt.slow) != 0 {
					continue
				}
				for range rnd.IntN(60 * tt.slow) {
					rec, err := r.Next()
					var over *Overrun
					switch {
					case err == nil:
						check(t, rec, read, tt.most)
						read++
					case errors.As(err, &over):
						if read+lost > 0 && over.Lost == 0 {
							t.Fatal("Overrun with 0 lost")
						}
						lost += over.Lost
						read += over.Lost
						laps++
					case errors.Is(err, ErrIdle):
					default:
						t.Fatal(err)
					}
					if errors.Is(err, ErrIdle) {
						break
					}
				}
			}
			p.Publish()
			for {
				rec, err := r.Next()
				if errors.Is(err, ErrIdle) {
					break
				}
				var over *Overrun
				if errors.As(err, &over) {
					read += over.Lost
					lost += over.Lost
					continue
				}
				check(t, rec, read, tt.most)
				read++
			}
			if read != next {
				t.Errorf("read and lost %d of %d events", read, next)
			}
			if tt.slow > 10 && laps == 0 || r.Stats().Lost != lost || r.Stats().Events != next-lost {
				t.Errorf("%d laps, stats %+v, want %d lost of %d", laps, r.Stats(), lost, next)
			}
			if s := p.Stats(); s.Events != next {
				t.Errorf("producer counted %d events, want %d", s.Events, next)
			}
		})
	}
}

func TestLengths(t *testing.T) {
	p, r := heapPair(t, 0)
	if b := p.Reserve(1, 0, 0, 0, MaxPayload+1); b != nil {
		t.Errorf("Reserve(MaxPayload+1) = %d bytes, want nil", len(b))
	}
	if b := p.Reserve(1, 0, 0, 0, -1); b != nil {
		t.Error("Reserve(-1) is not nil")
	}
	for _, n := range []int{0, 1, 15, 16, 17, MaxPayload - 1, MaxPayload} {
		b := p.Reserve(7, 1, 2, 3, n)
		if len(b) != n || cap(b) != n {
			t.Fatalf("Reserve(%d) has length %d, capacity %d", n, len(b), cap(b))
		}
		if n > 0 {
			b[n-1] = 9
		}
		p.Publish()
		rec, err := r.Next()
		if err != nil || len(rec.Payload) != n || n > 0 && rec.Payload[n-1] != 9 {
			t.Fatalf("Next() = payload of %d, %v, want %d", len(rec.Payload), err, n)
		}
	}
}

func TestTrim(t *testing.T) {
	p, r := heapPair(t, 0)
	copy(p.Reserve(1, 0, 0, 0, 1000), "hello")
	p.Trim(5)
	copy(p.Reserve(2, 0, 0, 0, 5), "world")
	p.Trim(6) // not longer
	p.Trim(-1)
	p.Publish()
	p.Trim(1) // nothing is open
	for _, want := range []string{"hello", "world"} {
		if rec, err := r.Next(); err != nil || string(rec.Payload) != want {
			t.Errorf("Next() = %q, %v, want %q", rec.Payload, err, want)
		}
	}
	if got := p.Tail(); got != 2*48 {
		t.Errorf("Tail() = %d, want %d", got, 2*48)
	}
}

// TestPositions: an event is published if and only if Tail is greater than the
// Next taken before it, also where a record goes to the next block.
func TestPositions(t *testing.T) {
	p, _ := heapPair(t, 0)
	var before []uint64
	for n := range uint64(400) {
		before = append(before, p.Next())
		write(t, p, n, 5000)
		if p.Tail() > before[n] {
			t.Fatalf("event %d is published before Publish", n)
		}
		if n%5 == 4 {
			p.Publish()
			for i, pos := range before {
				if p.Tail() <= pos {
					t.Fatalf("event %d is not published after Publish", i)
				}
			}
		}
	}
}

// TestBatchWithoutEnd: a batch longer than the ring publishes itself in time.
func TestBatchWithoutEnd(t *testing.T) {
	p, r := heapPair(t, 0)
	for n := range uint64(5000) {
		write(t, p, n, 300)
		if d := p.Next() - p.Tail(); d > MinCapacity/4+2*intentStep {
			t.Fatalf("%d bytes are not published, of %d", d, MinCapacity)
		}
	}
	p.Publish()
	var over *Overrun
	if _, err := r.Next(); !errors.As(err, &over) {
		t.Fatalf("Next() = %v, want Overrun", err)
	}
	readAll(t, r, over.Lost, 5000, 300)
}

// TestNothingUnpublishedIsSeen: neither complete nor incomplete events.
func TestNothingUnpublishedIsSeen(t *testing.T) {
	p, r := heapPair(t, 0)
	write(t, p, 0, 100)
	write(t, p, 1, 100)
	if _, err := r.Next(); !errors.Is(err, ErrIdle) {
		t.Fatalf("Next() = %v, want ErrIdle", err)
	}
	p.Publish()
	readAll(t, r, 0, 2, 100)
}

func TestNoAllocs(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	p.look(t)
	batch := func() error {
		for n := range uint64(32) {
			write(t, p, n, 300)
		}
		p.Publish()
		return nil
	}
	drain := func() error {
		for {
			if _, err := r.Next(); err != nil {
				r.Commit()
				return nil
			}
		}
	}
	got := testing.AllocsPerRun(100, func() {
		_ = p.Guard(batch)
		r.Wait(time.Millisecond)
		_ = r.Guard(drain)
	})
	if got != 0 {
		t.Errorf("%v allocations a batch, want 0", got)
	}
}

// TestHeapRace lets the race detector watch a reader that is never lapped. One
// that is lapped reads what is being overwritten, on purpose, and throws it away:
// the detector cannot know that.
func TestHeapRace(t *testing.T) {
	p, r := heapPair(t, 0)
	const total = 20000
	read := make(chan struct{}, 64) // 64 batches of 10 small events fit the ring
	go func() {
		for n := uint64(0); n < total; n++ {
			write(t, p, n, 100)
			if n%10 == 9 {
				read <- struct{}{}
				p.Publish()
			}
		}
	}()
	for n := uint64(0); n < total; {
		rec, err := r.Next()
		if errors.Is(err, ErrIdle) {
			r.Wait(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		check(t, rec, n, 100)
		if n++; n%10 == 0 {
			<-read
		}
	}
}
