package evtring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/shm/cursor"
	"weir/shm/internal/shmtest"
	"weir/shm/layout"
)

// TestDamage flips bytes under a reader: what is wrong is skipped and counted, the
// number of lost events is exact, and all others arrive.
func TestDamage(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(b []byte) // of the record
	}{
		{"payload", func(b []byte) { b[40] ^= 1 }},
		{"sequence", func(b []byte) { b[offSeq] ^= 1 }},
		{"checksum", func(b []byte) { b[offCRC] ^= 1 }},
		{"short length", func(b []byte) { host.PutUint32(b, 31) }},
		{"long length", func(b []byte) { host.PutUint32(b, MaxRecord+1) }},
		{"length beyond the block", func(b []byte) { host.PutUint32(b, MaxRecord) }},
		{"padding", func(b []byte) { host.PutUint32(b, padBit|64) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, r := heapPair(t, 0)
			var at []uint64
			for n := range uint64(1000) { // two and a half blocks
				b := p.Reserve(1, 0, 0, n, 100)
				clear(b)
				at = append(at, p.rec)
			}
			p.Publish()
			tt.spoil(p.data[at[500]:])
			var got, lost, damages uint64
			for {
				rec, err := r.Next()
				var over *Overrun
				switch {
				case err == nil:
					if rec.TS != got+lost {
						t.Fatalf("event %d, want %d", rec.TS, got+lost)
					}
					got++
				case errors.As(err, &over):
					lost += over.Lost
				case errors.Is(err, ErrCorrupt):
					damages++
				}
				if errors.Is(err, ErrIdle) {
					break
				}
			}
			if got+lost != 1000 || damages != 1 || lost == 0 || got < 550 {
				t.Errorf("%d read, %d lost, %d damages, want 1000 in all, 1 damage", got, lost, damages)
			}
			if s := r.Stats(); s.Corrupt != 1 || s.Lost != lost {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestDamageInTheLastBlock: told at once, though the number comes later.
func TestDamageInTheLastBlock(t *testing.T) {
	p, r := heapPair(t, 0)
	writeAll(t, p, 0, 10, most)
	p.data[p.rec+offCRC] ^= 1 // the last
	for n := range uint64(9) {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		check(t, rec, n, most)
	}
	var ce *CorruptError
	if _, err := r.Next(); !errors.As(err, &ce) || ce.Position != p.rec || ce.Count != 1 {
		t.Fatalf("Next() = %v, want damage at %d", err, p.rec)
	}
	if _, err := r.Next(); !errors.Is(err, ErrIdle) {
		t.Fatalf("Next() = %v, want ErrIdle", err)
	}
	writeAll(t, p, 10, 400, most)
	var over *Overrun
	if _, err := r.Next(); !errors.As(err, &over) {
		t.Fatalf("Next() = %v, want Overrun", err)
	}
	readAll(t, r, 9+over.Lost, 400, most)
}

// TestHostileHeader: words of the header that make no sense are survived, and
// repaired by the next publication.
func TestHostileHeader(t *testing.T) {
	for _, tail := range []uint64{0, 1, 1 << 40, 1<<64 - 1, 1 << 63} {
		for _, intent := range []uint64{0, 1 << 40, 1<<64 - 1} {
			p, r := heapPair(t, 0)
			writeAll(t, p, 0, 1000, most)
			for range 500 {
				if _, err := r.Next(); err != nil {
					t.Fatal(err)
				}
			}
			p.tail.Store(tail)
			p.intentW.Store(intent)
			for range 1000 {
				_, _ = r.Next()
			}
			r.Wait(0)
			p.intentW.Store(p.intent)
			writeAll(t, p, 1000, 6000, most)
			last := uint64(0)
			for range 10000 {
				rec, err := r.Next()
				if errors.Is(err, ErrIdle) {
					break
				}
				if err == nil {
					last = rec.TS / 1000
				}
			}
			if last != 5999 {
				t.Errorf("tail %d, intent %d: last event read %d, want 5999", tail, intent, last)
			}
		}
	}
}

func TestWake(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	p.look(t)
	const total = 1000 // they all fit the ring
	done := make(chan time.Duration)
	go func() {
		var worst time.Duration
		for n := 0; n < total; {
			rec, err := r.Next()
			if err != nil {
				r.Commit()
				r.sleep(time.Minute)
				continue
			}
			worst = max(worst, time.Duration(layout.Monotonic()-rec.TS))
			n++
		}
		done <- worst
	}()
	for n := range total {
		p.Reserve(1, 0, 0, layout.Monotonic(), 100)
		if n%3 == 0 {
			p.Publish()
		}
	}
	p.Publish()
	select {
	case worst := <-done:
		t.Logf("slowest hand-over %v", worst)
	case <-time.After(30 * time.Second):
		t.Fatal("reader hangs")
	}
}

func TestWaitAny(t *testing.T) {
	var ps []*Producer
	var rs []*Reader
	for range 3 {
		cfg := testConfig(t)
		p := openProducer(t, cfg)
		ps, rs = append(ps, p), append(rs, attach(t, cfg, "a"))
		p.look(t)
	}
	if r := WaitAny(rs, time.Millisecond); r != nil {
		t.Error("WaitAny() of empty rings is not nil")
	}
	for i, p := range ps {
		got := make(chan *Reader)
		go func() {
			for {
				if r := WaitAny(rs, time.Minute); r != nil {
					got <- r
					return
				}
			}
		}()
		writeAll(t, p, 0, 1, most)
		select {
		case r := <-got:
			if r != rs[i] {
				t.Errorf("WaitAny() is not ring %d", i)
			}
			readAll(t, r, 0, 1, most)
		case <-time.After(10 * time.Second):
			t.Fatalf("WaitAny() hangs though ring %d has an event", i)
		}
	}
}

func TestLagAndShedding(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "slow")
	closed := attach(t, cfg, "closed")
	_ = closed.Close()
	p.look(t)
	if p.MaxLag() != 0 || p.ShedLow() {
		t.Errorf("MaxLag() = %d, ShedLow() = %v, want 0, false", p.MaxLag(), p.ShedLow())
	}
	n := uint64(0)
	for ; p.Tail() < MinCapacity/4; n++ {
		write(t, p, n, most)
		p.Publish()
	}
	p.look(t)
	if p.MaxLag() != p.Tail() || p.ShedLow() {
		t.Errorf("MaxLag() = %d, ShedLow() = %v at a quarter, want %d, false", p.MaxLag(), p.ShedLow(), p.Tail())
	}
	for ; p.Tail() < MinCapacity/2+intentStep+1000; n++ {
		write(t, p, n, most)
		p.Publish()
	}
	if !p.ShedLow() {
		t.Error("ShedLow() = false beyond half a ring, want true without Housekeeping")
	}
	p.Shed(3)
	s, ok := p.Reader("slow")
	if !ok || !s.Alive || s.Lag != p.Tail() || s.State != layout.StateLive {
		t.Errorf("Reader(slow) = %+v, %v", s, ok)
	}
	if _, ok := p.Reader("nobody"); ok {
		t.Error("Reader(nobody) is there")
	}
	if got := len(p.Readers()); got != 2 {
		t.Errorf("%d readers, want 2", got)
	}
	for ; p.Tail() < 2*MinCapacity; n++ {
		write(t, p, n, most)
		p.Publish()
	}
	p.look(t)
	if p.ShedLow() || p.MaxLag() != 0 {
		t.Error("a reader that is lapped already is still shed for")
	}
	r.position = p.Tail()
	r.returned = p.Tail()
	r.Commit()
	p.look(t)
	if p.ShedLow() || p.MaxLag() != 0 {
		t.Errorf("MaxLag() = %d after catching up, want 0", p.MaxLag())
	}
	p.SnapshotBegun()
	p.SnapshotDone()
	p.Publish()
	if s := p.Stats(); s.Shed != 3 || s.SnapshotsBegun != 1 || s.SnapshotsDone != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestResyncRequests(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	a, b := attach(t, cfg, "a"), attach(t, cfg, "b")
	p.look(t)
	if got := p.ResyncRequests(); len(got) != 0 {
		t.Errorf("ResyncRequests() = %v, want none", got)
	}
	a.RequestResync(1)
	if req := a.RequestResync(2); req != 2 {
		t.Errorf("RequestResync() = %d, want 2", req)
	}
	b.RequestResync(9)
	want := map[string]ResyncRequest{"a": {"a", 2, 2}, "b": {"b", 1, 9}}
	got := p.ResyncRequests()
	for _, q := range got {
		if q != want[q.Consumer] {
			t.Errorf("request %+v, want %+v", q, want[q.Consumer])
		}
	}
	if len(got) != 2 || len(p.ResyncRequests()) != 0 {
		t.Errorf("%d requests, want 2, once", len(got))
	}
	b.ResyncDone(1)
	p.kill()
	p = openProducer(t, cfg)
	got = p.ResyncRequests()
	if len(got) != 1 || got[0] != want["a"] {
		t.Errorf("a new producer sees %v, want the one that was not done", got)
	}
}

// offline makes a waiting ring with a short patience.
func offline(t *testing.T) (Config, *Producer, *Reader) {
	cfg := testConfig(t)
	cfg.Wait = true
	p := openProducer(t, cfg)
	return cfg, p, attach(t, cfg, "a")
}

// TestOfflineNothingIsLost: a slow reader, a fast producer, a small ring, and a
// second reader that comes late.
func TestOfflineNothingIsLost(t *testing.T) {
	cfg, p, r := offline(t)
	const total = 20000
	done := make(chan error, 2)
	read := func(r *Reader) {
		for n := uint64(0); n < total; {
			rec, err := r.Next()
			switch {
			case errors.Is(err, ErrIdle):
				r.Commit()
				r.Wait(time.Second)
			case err != nil:
				done <- err
				return
			default:
				if rec.TS != n*1000 {
					done <- errors.New("wrong event")
					return
				}
				if n++; n%100 == 0 {
					r.Commit()
				}
			}
		}
		r.Commit()
		done <- r.Close()
	}
	go read(r)
	for n := range uint64(total) {
		if n == 100 { // not lapped yet: it gets everything too
			go read(attach(t, cfg, "late"))
		}
		write(t, p, n, most)
		if n%10 == 9 {
			p.Publish()
			if n%1000 == 999 && !p.WaitRoom(10*time.Second) {
				t.Fatal("WaitRoom() = false, want room")
			}
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestOfflineNewReaderBeginsWithTheOldest: offline there is no snapshot to ask for.
func TestOfflineNewReaderBeginsWithTheOldest(t *testing.T) {
	cfg, p, _ := offline(t)
	writeAll(t, p, 0, 50, most)
	r := attach(t, cfg, "late")
	if r.Resumed() {
		t.Error("Resumed() = true")
	}
	readAll(t, r, 0, 50, most)
}

func TestOfflineWaitsForTheDead(t *testing.T) {
	cfg, p, r := offline(t)
	n := uint64(0)
	for ; p.Tail() < MinCapacity/2; n++ {
		write(t, p, n, most)
		p.Publish()
	}
	r.kill()
	p.look(t)
	for p.WaitRoom(0) {
		write(t, p, n, most)
		n++
		p.Publish()
	}
	if p.WaitRoom(20 * time.Millisecond) {
		t.Error("WaitRoom() = true, want false while a dead reader blocks")
	}
	if p.Stats().WaitedNS == 0 {
		t.Error("WaitedNS = 0")
	}
	r = attach(t, cfg, "a")
	if !r.Resumed() {
		t.Fatal("Resumed() = false: the dead reader was not waited for")
	}
	readAll(t, r, 0, n, most)
	r.Commit()
	if !p.WaitRoom(10 * time.Second) {
		t.Error("WaitRoom() = false after the reader caught up")
	}
}

func TestOfflineGivesUp(t *testing.T) {
	_, p, r := offline(t)
	p.look(t)
	r.kill()
	n := uint64(0)
	for p.WaitRoom(0) {
		write(t, p, n, most)
		n++
		p.Publish()
	}
	p.readers.scanned = 0 // notice the death
	p.WaitRoom(time.Millisecond)
	for _, g := range p.readers.list {
		g.moved = layout.Monotonic() - uint64(giveUpAfter) - 1
	}
	if !p.WaitRoom(10 * time.Second) {
		t.Fatal("WaitRoom() = false, want the dead reader given up")
	}
	if got := p.Stats().GivenUp; got != 1 {
		t.Errorf("GivenUp = %d, want 1", got)
	}
	writeAll(t, p, n, n+5000, most)
}

func TestOfflineClosedReadersAreNotWaitedFor(t *testing.T) {
	_, p, r := offline(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	writeAll(t, p, 0, 5000, most)
	if got := p.Stats(); got.GivenUp != 0 || got.WaitedNS != 0 {
		t.Errorf("stats %+v, want no waiting", got)
	}
}

func TestCloseIsSeen(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	write(t, p, 0, most)
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.ProducerState(); got != layout.StateClosed || r.Replaced() || r.ProducerAlive() {
		t.Errorf("state %v, replaced %v, alive %v, want closed, false, false", got, r.Replaced(), r.ProducerAlive())
	}
	readAll(t, r, 0, 1, most)
	p = openProducer(t, cfg)
	p.Retire()
	_ = p.Close()
	if got := r.ProducerState(); got != layout.StateRetired || !r.Replaced() {
		t.Errorf("state %v, want retired, also after Close", got)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeleted(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	if err := os.RemoveAll(filepath.Dir(cfg.Path)); err != nil {
		t.Fatal(err)
	}
	writeAll(t, p, 0, 20, most)
	if err := os.Mkdir(filepath.Dir(cfg.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	p.nextCheck = 0
	if rebuilt, err := p.Housekeeping(); !rebuilt || err != nil {
		t.Fatalf("Housekeeping() = %v, %v, want true, nil", rebuilt, err)
	}
	if rebuilt, err := p.Housekeeping(); rebuilt || err != nil {
		t.Fatalf("second Housekeeping() = %v, %v, want false, nil", rebuilt, err)
	}
	if !r.Replaced() {
		t.Error("Replaced() = false")
	}
	readAll(t, r, 0, 20, most)
	_ = r.Close()
	r = attach(t, cfg, "a")
	writeAll(t, p, 20, 40, most)
	readAll(t, r, 20, 40, most)
}

func TestCursorDeleted(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	writeAll(t, p, 0, 20, most)
	readAll(t, r, 0, 20, most)
	if err := os.Remove(cfg.cursor("a")); err != nil {
		t.Fatal(err)
	}
	p.look(t)
	if got := len(p.Readers()); got != 0 {
		t.Errorf("%d readers, want 0", got)
	}
	if err := r.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	p.look(t)
	if s, ok := p.Reader("a"); !ok || s.Lag != 0 || !s.Alive {
		t.Errorf("Reader(a) = %+v, %v, want it back with lag 0", s, ok)
	}
	r.kill()
	writeAll(t, p, 20, 30, most)
	r = attach(t, cfg, "a")
	readAll(t, r, 20, 30, most)
}

func TestTruncated(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	p.look(t)
	writeAll(t, p, 0, 20, most)
	if err := os.Truncate(cfg.Path, 4096); err != nil {
		t.Fatal(err)
	}
	if err := r.Guard(func() error { _, err := r.Next(); return err }); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("reading a truncated ring = %v, want ErrRingLost", err)
	}
	if err := p.Guard(func() error { writeAll(t, p, 20, 30, most); return nil }); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("writing a truncated ring = %v, want ErrRingLost", err)
	}
	if rebuilt, err := p.Housekeeping(); !rebuilt || err != nil {
		t.Fatalf("Housekeeping() = %v, %v, want a new ring", rebuilt, err)
	}
	_ = r.Close()
	r = attach(t, cfg, "a")
	writeAll(t, p, 0, 10, most)
	readAll(t, r, 0, 10, most)
}

func TestCursorTruncated(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	attach(t, cfg, "a")
	p.look(t)
	if err := os.Truncate(cfg.cursor("a"), 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Guard(func() error { writeAll(t, p, 0, 10, most); return nil }); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("reading a truncated cursor = %v, want ErrRingLost", err)
	}
	p.look(t)
	if err := p.Guard(func() error { writeAll(t, p, 10, 20, most); return nil }); err != nil {
		t.Errorf("after Housekeeping() = %v, want nil", err)
	}
}

func TestHeaderOverwritten(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	copy(p.m.Bytes(), bytes.Repeat([]byte{0xff}, layout.StaticSize))
	writeAll(t, p, 0, 20, most)
	readAll(t, r, 0, 20, most)
	if _, err := Tail(cfg.Path, Now); !errors.Is(err, layout.ErrCorrupt) {
		t.Errorf("Tail() = %v, want ErrCorrupt", err)
	}
	p.kill()
	if q := openProducer(t, cfg); !q.Fresh() || !r.Replaced() {
		t.Error("damaged header taken over")
	}
}

// TestFlippedBytes changes random bytes of both files while they are in use.
// Nothing is promised but survival, and that no damaged event is handed out.
func TestFlippedBytes(t *testing.T) {
	rnd := shmtest.Rand(t)
	for range 30 {
		cfg := testConfig(t)
		p := openProducer(t, cfg)
		r := attach(t, cfg, "a")
		p.look(t)
		for n := uint64(0); n < 3000; n++ {
			b := p.Reserve(1, 0, 0, n, int(n%200))
			for i := range b {
				b[i] = byte(n)
			}
			if n%10 == 9 {
				p.Publish() // the last event has its checksum now
			}
			if n%10 == 9 && rnd.IntN(2) == 0 {
				target := p.m.Bytes()
				if rnd.IntN(4) == 0 {
					target = r.cur.Bytes()
				}
				limit := len(target)
				if rnd.IntN(2) == 0 {
					limit = 600
				}
				target[rnd.IntN(limit)] ^= 1 << rnd.IntN(8)
			}
			for range rnd.IntN(20) {
				rec, err := r.Next()
				if err != nil {
					continue
				}
				for _, b := range rec.Payload {
					if b != byte(rec.TS) {
						t.Fatalf("event %d has a payload byte %#x", rec.TS, b)
					}
				}
			}
			r.Commit()
			switch rnd.IntN(300) {
			case 0:
				p.kill()
				p = openProducer(t, cfg)
			case 1:
				p.look(t)
				p.ResyncRequests()
				p.Readers()
			case 2:
				r.kill()
				again, err := Attach(cfg.Path, cfg.cursor("a"), "a")
				if err != nil {
					p.kill()
					p = openProducer(t, cfg)
					again = attach(t, cfg, "a")
				}
				r = again
			}
		}
	}
}

func TestCursorOfTheOtherKind(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	f, _, err := cursor.Open(cfg.cursor("a"), cursor.Packet, p.RingID(), "a", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	p.look(t)
	if got := len(p.Readers()); got != 0 {
		t.Errorf("%d readers, want 0: a packet cursor is none", got)
	}
}

// TestOfflineWakesAreRare: a reader after throughput is woken for an eighth of a
// ring, at the end, and when the producer has to wait for it; not for each batch.
func TestOfflineWakesAreRare(t *testing.T) {
	_, p, r := offline(t)
	live := testConfig(t)
	q := openProducer(t, live)
	s := attach(t, live, "a")
	q.look(t)
	p.look(t)
	r.prepare()
	s.prepare()
	writeAll(t, p, 0, 10, most)
	writeAll(t, q, 0, 10, most)
	if p.Stats().Wakes != 0 || q.Stats().Wakes != 1 {
		t.Errorf("wakes for ten events: offline %d, live %d, want 0, 1", p.Stats().Wakes, q.Stats().Wakes)
	}
	n := uint64(10)
	for ; p.Tail() < MinCapacity/8; n++ {
		write(t, p, n, most)
		p.Publish()
	}
	if got := p.Stats().Wakes; got != 1 {
		t.Errorf("%d wakes for an eighth of a ring, want 1", got)
	}
	r.awake()
	readAll(t, r, 0, n, most)
	r.Commit()
	r.prepare()
	writeAll(t, p, n, n+1, most)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, sleep := r.prepare(); sleep {
		t.Error("prepare() of a closed ring with one event = sleep, want it read at once")
	}
}

// TestOfflineReserveWaits: also without WaitRoom nothing unread is overwritten.
func TestOfflineReserveWaits(t *testing.T) {
	_, p, r := offline(t)
	const total = 4000 // more than two rings
	done := make(chan struct{})
	go func() {
		defer close(done)
		writeAll(t, p, 0, total, most)
	}()
	for end := time.Now().Add(20 * time.Second); r.want.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the producer does not wait")
		}
	}
	if got := r.intent.Load(); got > MinCapacity {
		t.Fatalf("intent is %d, beyond what an unread ring of %d holds", got, MinCapacity)
	}
	for n := uint64(0); n < total; {
		rec, err := r.Next()
		if errors.Is(err, ErrIdle) {
			r.Commit()
			r.Wait(time.Second)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		check(t, rec, n, most)
		n++
	}
	<-done
}
