package evtring

import (
	"errors"
	"path/filepath"
	"testing"

	"weir/shm/internal/shmtest"
	"weir/shm/layout"
)

// testConfig is a smallest ring in a folder of its own.
func testConfig(tb testing.TB) Config {
	tb.Helper()
	dir := shmtest.Dir(tb)
	return Config{Path: filepath.Join(dir, "w03.ring"), CursorDir: dir, Worker: 3, Capacity: MinCapacity, Mode: 0o600}
}

func (c Config) cursor(name string) string { return filepath.Join(c.CursorDir, name+".w03.cur") }

func openProducer(tb testing.TB, cfg Config) *Producer {
	tb.Helper()
	p, err := OpenProducer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p
}

func attach(tb testing.TB, cfg Config, name string) *Reader {
	tb.Helper()
	r, err := Attach(cfg.Path, cfg.cursor(name), name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

// kill lets go of the producer's files as a SIGKILL would: nothing is written.
func (p *Producer) kill() {
	p.closed = true
	p.readers.close()
	_ = p.m.Close()
}

// kill lets go of the reader's files as a SIGKILL would.
func (r *Reader) kill() {
	r.closed = true
	if r.cur != nil {
		_ = r.cur.Close()
	}
	_ = r.m.Close()
}

// look makes the producer see new cursors now.
func (p *Producer) look(tb testing.TB) {
	tb.Helper()
	p.nextCheck = 0
	if _, err := p.Housekeeping(); err != nil {
		tb.Fatal(err)
	}
}

// size is the payload length of the n-th event of an endless row.
func size(n uint64, most int) int { return int(n * 0x9e3779b97f4a7c15 >> 33 % uint64(most+1)) }

// write writes event n, whose payload follows from n.
func write(tb testing.TB, p *Producer, n uint64, most int) {
	tb.Helper()
	b := p.Reserve(uint16(n), uint8(n>>3), uint8(n>>5), n*1000, size(n, most))
	if b == nil {
		tb.Fatalf("Reserve(%d) = nil", size(n, most))
	}
	for i := range b {
		b[i] = byte(n) + byte(i)
	}
}

func writeAll(tb testing.TB, p *Producer, first, last uint64, most int) {
	tb.Helper()
	for n := first; n < last; n++ {
		write(tb, p, n, most)
	}
	p.Publish()
}

// check compares a record with event n.
func check(tb testing.TB, rec Record, n uint64, most int) {
	tb.Helper()
	if rec.Type != uint16(n) || rec.Version != uint8(n>>3) || rec.Flags != uint8(n>>5) || rec.TS != n*1000 ||
		len(rec.Payload) != size(n, most) || cap(rec.Payload) != len(rec.Payload) {
		tb.Fatalf("event %d: type %d, time %d, payload of %d (capacity %d), want %d, %d, %d",
			n, rec.Type, rec.TS, len(rec.Payload), cap(rec.Payload), uint16(n), n*1000, size(n, most))
	}
	for i, b := range rec.Payload {
		if b != byte(n)+byte(i) {
			tb.Fatalf("event %d: byte %d of the payload is %#x, want %#x", n, i, b, byte(n)+byte(i))
		}
	}
}

// readAll checks that exactly events first..last-1 follow.
func readAll(tb testing.TB, r *Reader, first, last uint64, most int) {
	tb.Helper()
	for n := first; n < last; n++ {
		rec, err := r.Next()
		if err != nil {
			tb.Fatalf("Next() before event %d = %v", n, err)
		}
		check(tb, rec, n, most)
	}
	if rec, err := r.Next(); !errors.Is(err, ErrIdle) {
		tb.Fatalf("Next() after event %d = event of time %d, %v, want ErrIdle", int64(last)-1, rec.TS, err)
	}
}

// heapPair returns both ends of a ring in ordinary memory, with the positions at
// pos, a block boundary.
func heapPair(tb testing.TB, pos uint64) (*Producer, *Reader) {
	tb.Helper()
	p, r, err := newHeap(Config{Capacity: MinCapacity})
	if err != nil {
		tb.Fatal(err)
	}
	p.next, p.published, p.intent = pos, pos, pos
	p.tail.Store(pos)
	p.intentW.Store(pos)
	r.position, r.returned = pos, pos
	r.expect, r.known, r.trusted = 1, true, true
	return p, r
}

// newHeap returns a ring in ordinary memory and a reader without cursor.
func newHeap(cfg Config) (*Producer, *Reader, error) {
	spec, err := cfg.spec()
	if err != nil {
		return nil, nil, err
	}
	p := &Producer{cfg: cfg, spec: spec, fresh: true}
	p.use(layout.NewHeap(spec))
	p.epoch = p.owner.Claim()
	r, err := newReader(p.m)
	return p, r, err
}
