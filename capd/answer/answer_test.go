package answer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/capd/hold"
	"weir/proto/verdict"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) { // between two looks
		if time.Now().After(deadline) {
			t.Fatalf("does not come: %s", what)
		}
	}
}

// start runs a box of thread 0 and two workers. apply is called as the capture thread's
// deputy; it may be nil.
func start(t *testing.T, apply func(*Box)) (*Box, layout.Root) {
	t.Helper()
	root := layout.Root(filepath.Join(t.TempDir(), "rings"))
	if err := root.Make(0o750); err != nil {
		t.Fatal(err)
	}
	var b *Box
	b = New(Config{Root: root, Workers: 2, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Apply: func() {
		if apply != nil {
			apply(b)
		}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return b, root
}

// speaker is a process that answers.
type speaker struct {
	*pktring.Producer
	stop func()
}

func speak(t *testing.T, path, cursor string) *speaker {
	t.Helper()
	p, err := pktring.OpenProducer(pktring.Config{Path: path, CursorPath: cursor, Descriptors: verdict.RingRecords, PayloadBytes: pktring.MinPayload, Mode: 0o640})
	if err != nil {
		t.Fatal(err)
	}
	s := &speaker{Producer: p, stop: sync.OnceFunc(func() { _ = p.Close() })}
	t.Cleanup(s.stop)
	return s
}

func (s *speaker) say(ids ...uint32) {
	b := make([]byte, verdict.Size)
	for _, id := range ids {
		f := verdict.Fields{ID: id, Kind: verdict.KindGoOn}
		f.Encode(b)
		s.Put(b, nil, nil)
	}
	s.Publish()
}

// take adds what is in the box to list, as "author id".
func take(b *Box, list *[]string) {
	b.Take(func(r verdict.Record, from hold.From) { *list = append(*list, fmt.Sprint(from, " ", r.ID())) })
}

// Answers of all who answer come, in their order.
func TestAnswers(t *testing.T) {
	t.Parallel()
	b, root := start(t, func(*Box) { t.Error("somebody else applies answers, while the thread is awake") })
	first := speak(t, root.VerdictRing(0, 0), root.VerdictCursor(0, 0))
	first.say(1, 2)
	speak(t, root.VerdictRing(1, 0), root.VerdictCursor(1, 0)).say(7)
	speak(t, root.PolicyVerdictRing(0), root.PolicyVerdictCursor(0)).say(8)
	var got []string
	eventually(t, "four answers", func() bool { take(b, &got); return len(got) >= 4 })
	slices.Sort(got)
	if want := []string{"0 1", "0 2", "0 7", "1 8"}; !slices.Equal(got, want) {
		t.Errorf("answers = %q, want %q", got, want)
	}
	first.say(3)
	eventually(t, "an answer is in the box", func() bool { return !b.empty() })
	if err := b.Sleep(func() error { return errors.New("asleep") }); err != nil {
		t.Error("the thread sleeps, with answers in the box")
	}
}

// While the capture thread sleeps its answers are applied for it.
func TestAsleep(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	b, root := start(t, func(b *Box) {
		mu.Lock()
		defer mu.Unlock()
		take(b, &got)
	})
	w := speak(t, root.VerdictRing(0, 0), root.VerdictCursor(0, 0))
	for i := range uint32(20) {
		want := fmt.Sprint("0 ", i)
		err := b.Sleep(func() error {
			w.say(i)
			eventually(t, "the answer is applied", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return slices.Contains(got, want)
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 20 {
		t.Errorf("answers = %q, want 20", got)
	}
}

func anybody(b *Box) bool { return b.Answers(0) || b.Answers(1) }

// Who answers is asked while it lives: it has its ring, and beats.
func TestAlive(t *testing.T) {
	t.Parallel()
	b, root := start(t, nil)
	if anybody(b) {
		t.Error("somebody is alive before anybody started")
	}
	w := speak(t, root.VerdictRing(1, 0), root.VerdictCursor(1, 0))
	p := speak(t, root.PolicyVerdictRing(0), root.PolicyVerdictCursor(0))
	eventually(t, "worker 1 and policyd are alive", func() bool { return b.Answers(1) })
	if b.Answers(0) {
		t.Error("worker 0 answers, which never started")
	}
	eventually(t, "a worker that does not beat is given up", func() bool { return !anybody(b) })
	eventually(t, "it beats again", func() bool {
		for _, s := range []*speaker{w, p} {
			if _, err := s.Housekeeping(); err != nil {
				t.Fatal(err)
			}
		}
		return b.Answers(1)
	})
	w.stop()
	eventually(t, "a worker that left is not asked", func() bool { return !anybody(b) })
}

func TestBeats(t *testing.T) {
	t.Parallel()
	const now = 5e9
	for _, tt := range []struct {
		beat uint64
		want bool
	}{{now, true}, {now + 1, true}, {now - uint64(silence) + 1, true}, {now - uint64(silence), false}, {0, false}} {
		if got := beats(tt.beat, now); got != tt.want {
			t.Errorf("beats(%d, %d) = %v, want %v", tt.beat, uint64(now), got, tt.want)
		}
	}
}

// A ring of another size is none of ours: nobody is heard, and nothing is held.
func TestForeignRing(t *testing.T) {
	t.Parallel()
	b, root := start(t, nil)
	p, err := pktring.OpenProducer(pktring.Config{
		Path: root.VerdictRing(0, 0), CursorPath: root.VerdictCursor(0, 0), Descriptors: 2 * verdict.RingRecords, PayloadBytes: pktring.MinPayload, Mode: 0o640,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	judge := speak(t, root.PolicyVerdictRing(0), root.PolicyVerdictCursor(0))
	judge.say(1)
	var got []string
	eventually(t, "policyd is heard", func() bool { take(b, &got); return len(got) == 1 })
	eventually(t, "rings were looked for again", func() bool { return b.policy.Load() })
	if b.Answers(0) {
		t.Error("who has a ring of another size is asked")
	}
}

// A ring that is replaced by another of its name is followed.
func TestReplaced(t *testing.T) {
	t.Parallel()
	b, root := start(t, nil)
	w := speak(t, root.VerdictRing(0, 0), root.VerdictCursor(0, 0))
	var got []string
	w.say(1)
	eventually(t, "the first ring is read", func() bool { take(b, &got); return len(got) == 1 })
	w.stop()
	if err := os.Remove(root.VerdictRing(0, 0)); err != nil {
		t.Fatal(err)
	}
	speak(t, root.VerdictRing(0, 0), root.VerdictCursor(0, 0)).say(2)
	eventually(t, "the second ring is read", func() bool { take(b, &got); return len(got) == 2 })
	if want := []string{"0 1", "0 2"}; !slices.Equal(got, want) {
		t.Errorf("answers = %q, want %q", got, want)
	}
}
