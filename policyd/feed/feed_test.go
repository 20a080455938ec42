package feed

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"weir/shm/evtring"
	"weir/shm/layout"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// rec is a handler that writes down what it is given.
type rec struct {
	attached []bool   // resumed or not
	events   []uint64 // numbers in payloads
	commits  int
	applied  int // events at the last commit
	lost     []uint64
	closed   []int
	onCommit func() error
	onEvent  func()
}

func (r *rec) Attached(_ int, resumed bool) { r.attached = append(r.attached, resumed) }
func (r *rec) Lost(_ int, n uint64)         { r.lost = append(r.lost, n) }
func (r *rec) Closed(w int)                 { r.closed = append(r.closed, w) }
func (r *rec) Event(_ int, e *evtring.Record) {
	r.events = append(r.events, binary.LittleEndian.Uint64(e.Payload))
	if r.onEvent != nil {
		r.onEvent()
	}
}

func (r *rec) Commit() error {
	r.commits++
	if r.onCommit != nil {
		if err := r.onCommit(); err != nil {
			return err
		}
	}
	r.applied = len(r.events)
	return nil
}

func root(t *testing.T) layout.Root {
	t.Helper()
	r := layout.Root(t.TempDir())
	if err := r.Make(0o700); err != nil {
		t.Fatal(err)
	}
	return r
}

func producer(t *testing.T, r layout.Root, w int, wait bool) *evtring.Producer {
	t.Helper()
	p, err := evtring.OpenProducer(evtring.Config{
		Path: r.EventRing(w), Capacity: evtring.MinCapacity, Worker: w, CursorDir: r.EventCursors(), Wait: wait, Mode: 0o600,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func put(p *evtring.Producer, from, to uint64) {
	for i := from; i < to; i++ {
		binary.LittleEndian.PutUint64(p.Reserve(1, 1, 0, i, 8), i)
	}
	p.Publish()
}

func numbers(from, to uint64) []uint64 {
	var l []uint64
	for i := from; i < to; i++ {
		l = append(l, i)
	}
	return l
}

// run reads until done reports true in a commit.
func run(t *testing.T, f *Feed, h *rec, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	inner := h.onCommit
	h.onCommit = func() error {
		if inner != nil {
			if err := inner(); err != nil {
				return err
			}
		}
		if done() {
			cancel()
		}
		return nil
	}
	if err := f.Run(ctx, h, false); err != nil {
		t.Fatal(err)
	}
	h.onCommit = inner
	if !done() {
		t.Fatalf("not done after 20 s: %+v", h)
	}
}

func TestDrain(t *testing.T) {
	r := root(t)
	for w := range 2 {
		p := producer(t, r, w, true)
		put(p, uint64(w*1000), uint64(w*1000+700))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h := &rec{}
	if err := New(r, "x", 2, quiet).Run(context.Background(), h, true); err != nil {
		t.Fatal(err)
	}
	slices.Sort(h.events)
	if want := append(numbers(0, 700), numbers(1000, 1700)...); !slices.Equal(h.events, want) {
		t.Errorf("%d events, want %d", len(h.events), len(want))
	}
	if h.applied != len(h.events) || !slices.Equal(h.closed, []int{0, 1}) || !slices.Equal(h.attached, []bool{false, false}) {
		t.Errorf("applied %d, closed %v, attached %v", h.applied, h.closed, h.attached)
	}
}

func TestResumeAfterCommit(t *testing.T) {
	r := root(t)
	p := producer(t, r, 0, false)
	h := &rec{}
	f := New(r, "x", 1, quiet)
	fed := false
	h.onCommit = func() error {
		if len(h.attached) > 0 && !fed {
			fed = true
			put(p, 0, 100)
		}
		return nil
	}
	run(t, f, h, func() bool { return len(h.events) == 100 })

	// The next one dies before it has committed.
	put(p, 100, 200)
	dead := &rec{onCommit: func() error { return errors.New("the kernel said no") }}
	if err := New(r, "x", 1, quiet).Run(context.Background(), dead, false); err == nil {
		t.Fatal("Run = nil, want the error of Commit")
	}
	if !slices.Equal(dead.attached, []bool{true}) || !slices.Equal(dead.events, numbers(100, 200)) {
		t.Errorf("attached %v with %d events, want it resumed with the next 100", dead.attached, len(dead.events))
	}

	again := &rec{}
	run(t, New(r, "x", 1, quiet), again, func() bool { return len(again.events) >= 100 })
	if !slices.Equal(again.events, numbers(100, 200)) || len(again.lost) != 0 {
		t.Errorf("events %v.., lost %v, want those again that were not applied", again.events[:3], again.lost)
	}
}

func TestAwaitsRing(t *testing.T) {
	r := root(t)
	h := &rec{}
	f := New(r, "x", 1, quiet)
	turns := 0
	h.onCommit = func() error {
		if turns++; turns == 2 {
			put(producer(t, r, 0, true), 0, 10)
		}
		return nil
	}
	run(t, f, h, func() bool { return len(h.events) == 10 })
}

func TestLapped(t *testing.T) {
	r := root(t)
	p := producer(t, r, 0, false)
	h := &rec{}
	step := 0
	h.onCommit = func() error {
		if len(h.attached) == 1 && step == 0 {
			step = 1
			put(p, 0, 100_000) // many times round
		}
		return nil
	}
	run(t, New(r, "x", 1, quiet), h, func() bool { return len(h.events) > 0 && h.events[len(h.events)-1] == 99_999 })
	lost := uint64(0)
	for _, n := range h.lost {
		lost += n
	}
	if int(lost)+len(h.events) != 100_000 || lost == 0 {
		t.Errorf("%d lost and %d read, want 100000 together", lost, len(h.events))
	}
}

func TestReplacedRing(t *testing.T) {
	for name, replace := range map[string]func(*testing.T, layout.Root, *evtring.Producer){
		"retired": func(_ *testing.T, _ layout.Root, p *evtring.Producer) { p.Retire(); _ = p.Close() },
		"deleted": func(t *testing.T, r layout.Root, p *evtring.Producer) {
			if err := errors.Join(p.Close(), os.Remove(r.EventRing(0))); err != nil {
				t.Error(err)
			}
		},
		"truncated": func(t *testing.T, r layout.Root, p *evtring.Producer) {
			if err := errors.Join(p.Close(), os.Truncate(r.EventRing(0), 0), os.Remove(r.EventRing(0))); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := root(t)
			p := producer(t, r, 0, true)
			put(p, 0, 10)
			h := &rec{}
			step := 0
			h.onCommit = func() error {
				switch {
				case step == 0 && len(h.events) == 10:
					step = 1
					replace(t, r, p)
					if name == "retired" {
						_ = os.Remove(r.EventRing(0))
					}
					put(producer(t, r, 0, true), 10, 20)
				}
				return nil
			}
			run(t, New(r, "x", 1, quiet), h, func() bool { return len(h.events) >= 20 })
			if !slices.Equal(h.events, numbers(0, 20)) || len(h.lost) == 0 || len(h.attached) != 2 {
				t.Errorf("events %v, lost %v, attached %v: want all, and to be told that the ring changed", h.events, h.lost, h.attached)
			}
		})
	}
}

func TestOwned(t *testing.T) {
	r := root(t)
	producer(t, r, 0, false)
	h := &rec{}
	var err error
	run(t, New(r, "x", 1, quiet), h, func() bool {
		if len(h.attached) > 0 && err == nil {
			err = New(r, "x", 1, quiet).Run(context.Background(), &rec{}, false)
		}
		return err != nil
	})
	if !errors.Is(err, layout.ErrOwned) {
		t.Errorf("a second reader of the same name: %v, want ErrOwned", err)
	}
}

func TestDo(t *testing.T) {
	f := New(root(t), "x", 1, quiet)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- f.Run(ctx, &rec{}, false) }()
	var st []Status
	if !f.Do(ctx, func() { st = f.Status() }) || len(st) != 1 || st[0].State != "waiting for the ring" {
		t.Errorf("Do: status %+v", st)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if f.Do(ctx, func() {}) {
		t.Error("Do after the end = true, want false")
	}
}

func TestResyncRequest(t *testing.T) {
	r := root(t)
	p := producer(t, r, 0, false)
	f := New(r, "x", 1, quiet)
	if f.Resync(0, ReasonStart) != 0 {
		t.Error("Resync without a ring succeeded")
	}
	h := &rec{}
	req := uint32(0)
	run(t, f, h, func() bool {
		if len(h.attached) > 0 && req == 0 {
			req = f.Resync(0, ReasonLost)
			return false
		}
		return req != 0
	})
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err := p.Housekeeping(); err != nil {
			t.Fatal(err)
		}
		if got := p.ResyncRequests(); len(got) > 0 {
			if got[0].Consumer != "x" || got[0].Req != req || got[0].Reason != ReasonLost {
				t.Errorf("ResyncRequests = %+v, want request %d of x", got, req)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("the producer sees no request")
		}
	}
}

func TestHostileRing(t *testing.T) {
	r := root(t)
	p := producer(t, r, 0, true)
	put(p, 0, 1000)
	f, err := os.OpenFile(r.EventRing(0), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	garbage := make([]byte, 4096)
	for i := range garbage {
		garbage[i] = byte(i * 7)
	}
	if _, err := f.WriteAt(garbage, layout.HeaderSize+8192); err != nil {
		t.Fatal(err)
	}
	h := &rec{}
	run(t, New(r, "x", 1, quiet), h, func() bool { return len(h.lost) > 0 })
}
