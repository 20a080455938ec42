package evtring

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

const most = 300 // longest payload of most tests

func TestResume(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	writeAll(t, p, 0, 10, most)
	r := attach(t, cfg, "a") // live: a new reader begins with what comes next
	if r.Resumed() {
		t.Error("Resumed() = true for a new cursor")
	}
	writeAll(t, p, 10, 50, most)
	for n := uint64(10); n < 40; n++ {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		check(t, rec, n, most)
		if n == 29 {
			r.Commit()
		}
	}
	r.kill()
	r = attach(t, cfg, "a")
	if !r.Resumed() {
		t.Error("Resumed() = false, want true")
	}
	readAll(t, r, 30, 50, most)
	r.Commit()
	if s := r.Stats(); s.Events != 40 || s.Lost != 0 {
		t.Errorf("stats %+v, want 40 events over both readers, none lost", s)
	}
	if r.Lag() != 0 || r.Position() != p.Tail() {
		t.Errorf("Lag() = %d, Position() = %d, want 0, %d", r.Lag(), r.Position(), p.Tail())
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = attach(t, cfg, "a")
	if !r.Resumed() {
		t.Error("Resumed() = false after Close, want true")
	}
	writeAll(t, p, 50, 60, most)
	readAll(t, r, 50, 60, most)
}

// TestReread: a reader killed after Next and before Commit gets the events again
// and counts them, when its saved sequence shows it.
func TestReread(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	writeAll(t, p, 0, 10, most)
	readAll(t, r, 0, 10, most)
	// Killed between the two stores of Commit.
	r.cur.U64(cursor.OffLastSeq).Store(r.lastSeq)
	r.kill()
	r = attach(t, cfg, "a")
	readAll(t, r, 0, 10, most)
	if s := r.Stats(); s.Reread != 10 || s.Lost != 0 {
		t.Errorf("stats %+v, want 10 read again, none lost", s)
	}
}

func TestLappedWhileAway(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	writeAll(t, p, 0, 10, most)
	readAll(t, r, 0, 10, most)
	r.Commit()
	r.kill()
	writeAll(t, p, 10, 5000, most)
	r = attach(t, cfg, "a")
	if r.Resumed() {
		t.Error("Resumed() = true, want false: lapped")
	}
	var over *Overrun
	if _, err := r.Next(); !errors.As(err, &over) || over.Lost == 0 {
		t.Fatalf("Next() = %v, want an Overrun with the number", err)
	}
	readAll(t, r, 10+over.Lost, 5000, most)
	if s := r.Stats(); s.Lost != over.Lost || s.Overruns != 1 {
		t.Errorf("stats %+v, want %d lost, 1 overrun", s, over.Lost)
	}
}

// TestNewRing: a cursor of another ring is no cursor.
func TestNewRing(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	writeAll(t, p, 0, 10, most)
	p.kill()
	bigger := cfg
	bigger.Capacity *= 2
	q := openProducer(t, bigger)
	if !q.Fresh() || !r.Replaced() || r.ProducerState() != layout.StateRetired {
		t.Errorf("fresh %v, replaced %v, state %v", q.Fresh(), r.Replaced(), r.ProducerState())
	}
	readAll(t, r, 0, 10, most)
	_ = r.Close()
	r = attach(t, cfg, "a")
	if r.Resumed() {
		t.Error("Resumed() = true on another ring")
	}
	writeAll(t, q, 0, 10, most)
	readAll(t, r, 0, 10, most)
}

func TestStrangeCursors(t *testing.T) {
	for name, pos := range map[string]uint64{"beyond the tail": 1 << 20, "not aligned": 8, "nonsense": 1<<63 - 16} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			p := openProducer(t, cfg)
			r := attach(t, cfg, "a")
			writeAll(t, p, 0, 10, most)
			r.cur.Position.Store(pos)
			r.kill()
			r = attach(t, cfg, "a")
			if r.Resumed() {
				t.Error("Resumed() = true")
			}
			writeAll(t, p, 10, 20, most)
			readAll(t, r, 10, 20, most)
		})
	}
}

// TestTakeOver: the counter goes on, the epoch rises, what was not published is
// gone, and readers see no gap.
func TestTakeOver(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	fastest := time.Hour
	for round := range uint64(30) {
		first := round * 40
		writeAll(t, p, first, first+40, 3000)
		for n := range round { // written, not published
			write(t, p, n, 3000)
		}
		intent := p.intentW.Load()
		p.kill()
		began := time.Now()
		p = openProducer(t, cfg)
		fastest = min(fastest, time.Since(began))
		if p.Fresh() || p.Epoch() != round+2 {
			t.Fatalf("fresh %v, epoch %d, want false, %d", p.Fresh(), p.Epoch(), round+2)
		}
		if got, want := p.NextSeq(), (round+2)<<40|(first+41); got != want {
			t.Fatalf("NextSeq() = %#x, want %#x", got, want)
		}
		if p.intentW.Load() < intent {
			t.Fatal("intent moved back")
		}
		var over *Overrun
		n := first
		for ; n < first+40; n++ {
			rec, err := r.Next()
			if errors.As(err, &over) {
				t.Fatalf("lost %d before event %d", over.Lost, n)
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, rec, n, 3000)
			if Epoch(rec.Seq) != round+1 || Counter(rec.Seq) != n+1 {
				t.Fatalf("event %d has sequence %#x", n, rec.Seq)
			}
		}
		r.Commit()
	}
	if fastest > 100*time.Millisecond {
		t.Errorf("fastest of 30 takeovers took %v, want less than 100 ms", fastest)
	}
}

func TestTakeOverWithoutEvents(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	write(t, p, 0, most)
	p.kill()
	p = openProducer(t, cfg)
	if p.Fresh() || Counter(p.NextSeq()) != 1 {
		t.Errorf("fresh %v, next %#x, want the empty ring taken over", p.Fresh(), p.NextSeq())
	}
}

func TestDamagedRingIsRetired(t *testing.T) {
	for name, spoil := range map[string]func(p *Producer){
		"tail beyond intent": func(p *Producer) { p.tail.Store(p.intentW.Load() + 16) },
		"tail not aligned":   func(p *Producer) { p.tail.Store(p.Tail() - 8) },
		"tail in a record":   func(p *Producer) { p.tail.Store(p.Tail() - 16) },
		"length":             func(p *Producer) { host.PutUint32(p.data, 5) },
		"long length":        func(p *Producer) { host.PutUint32(p.data, 40000) },
		"payload":            func(p *Producer) { p.data[40] ^= 1 },
		"early padding":      func(p *Producer) { host.PutUint32(p.data, padBit|BlockSize) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			p := openProducer(t, cfg)
			r := attach(t, cfg, "a")
			for n := range uint64(10) {
				b := p.Reserve(1, 0, 0, n, 100)
				clear(b)
			}
			p.Publish()
			spoil(p)
			p.kill()
			q := openProducer(t, cfg)
			if !q.Fresh() || !r.Replaced() {
				t.Errorf("fresh %v, replaced %v, want a new file", q.Fresh(), r.Replaced())
			}
			_ = r.Close()
			r = attach(t, cfg, "a")
			writeAll(t, q, 0, 10, most)
			readAll(t, r, 0, 10, most)
		})
	}
}

func TestSecondOwnersRefused(t *testing.T) {
	cfg := testConfig(t)
	openProducer(t, cfg)
	r := attach(t, cfg, "a")
	if _, err := OpenProducer(cfg); !errors.Is(err, layout.ErrOwned) {
		t.Errorf("second OpenProducer() = %v, want ErrOwned", err)
	}
	_, err := Attach(cfg.Path, cfg.cursor("a"), "a")
	var ae *layout.AttachError
	if !errors.Is(err, layout.ErrOwned) || !errors.As(err, &ae) || ae.Got != uint64(os.Getpid()) {
		t.Errorf("second Attach() = %v, want ErrOwned with our pid", err)
	}
	if !r.ProducerAlive() || r.ProducerEpoch() != 1 {
		t.Error("ProducerAlive() = false, want true")
	}
	attach(t, cfg, "b") // any number of readers with names of their own
}

func TestAttachErrors(t *testing.T) {
	cfg := testConfig(t)
	if _, err := Attach(cfg.Path, cfg.cursor("a"), "a"); !errors.Is(err, layout.ErrAwait) {
		t.Errorf("Attach() without a ring = %v, want ErrAwait", err)
	}
	if _, err := Tail(cfg.Path, Oldest); !errors.Is(err, layout.ErrAwait) {
		t.Errorf("Tail() without a ring = %v, want ErrAwait", err)
	}
	for _, n := range []int{0, -1, 1000, MinCapacity / 2, MinCapacity + 1} {
		cfg.Capacity = n
		if _, err := OpenProducer(cfg); err == nil {
			t.Errorf("OpenProducer() with %d bytes = nil, want an error", n)
		}
	}
	spec, _ := (&Config{Capacity: MinCapacity}).spec()
	spec.Params[2] = 1 << 12 // another block size
	m, err := layout.Create(cfg.Path, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if _, err := Attach(cfg.Path, cfg.cursor("a"), "a"); !errors.Is(err, layout.ErrGeometry) {
		t.Errorf("Attach() to other blocks = %v, want ErrGeometry", err)
	}
}

// TestTail: looking leaves no trace.
func TestTail(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	writeAll(t, p, 0, 10, most)
	oldest, err := Tail(cfg.Path, Oldest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = oldest.Close() }()
	now, err := Tail(cfg.Path, Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = now.Close() }()
	writeAll(t, p, 10, 20, most)
	readAll(t, oldest, 0, 20, most)
	readAll(t, now, 10, 20, most)
	oldest.Commit()
	oldest.ResyncDone(1)
	if oldest.RequestResync(1) != 0 || oldest.Housekeeping() != nil {
		t.Error("a looking reader did something")
	}
	if oldest.Wait(0) {
		t.Error("Wait() at the tail = true")
	}
	if names, _ := filepath.Glob(filepath.Join(cfg.CursorDir, "*.cur")); len(names) != 0 {
		t.Errorf("cursors: %v, want none", names)
	}
	writeAll(t, p, 20, 5000, most)
	late, err := Tail(cfg.Path, Oldest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Close() }()
	rec, err := late.Next()
	if err != nil {
		t.Fatal(err)
	}
	first := Counter(rec.Seq) - 1
	check(t, rec, first, most)
	if kept := uint64(5000) - first; kept < 500 {
		t.Errorf("oldest is event %d of 5000, want at least half a ring", first)
	}
	readAll(t, late, first+1, 5000, most)
}
