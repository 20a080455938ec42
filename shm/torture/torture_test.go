package torture

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// war is one test: a writer, a reader, and who of them suffers.
type war struct {
	name           string
	writer, reader string
	hitWriter      bool
	hitReader      bool
	nothingLost    bool
	second         func(dir string) error // tries to be a second writer
}

func secondPacketProducer(wait bool) func(string) error {
	return func(dir string) error {
		_, err := pktring.OpenProducer(packetRing(dir, wait))
		return err
	}
}

func secondEventProducer(wait bool) func(string) error {
	return func(dir string) error {
		_, err := evtring.OpenProducer(eventRing(dir, wait))
		return err
	}
}

func TestKill(t *testing.T) {
	for _, w := range []war{
		{"packet producer", "pkt-producer", "pkt-consumer", true, false, true, secondPacketProducer(true)},
		{"packet consumer", "pkt-producer", "pkt-consumer", false, true, true, secondPacketProducer(true)},
		{"both ends of a dropping packet ring", "pkt-producer-drop", "pkt-consumer", true, true, false, secondPacketProducer(false)},
		{"event producer", "evt-producer", "evt-reader", true, false, false, secondEventProducer(false)},
		{"event reader", "evt-producer", "evt-reader", false, true, false, secondEventProducer(false)},
		{"both ends of an offline event ring", "evt-producer-wait", "evt-reader", true, true, true, secondEventProducer(true)},
	} {
		t.Run(w.name, w.run)
	}
}

func (w war) run(t *testing.T) {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", s)
	rnd := rand.New(rand.NewPCG(s, 1))
	dir := folder(t)
	writer, reader := start(t, w.writer, dir), start(t, w.reader, dir)
	seen := w.firstRecord(t, dir, reader)
	hits, stops := 0, 0
	for end := time.Now().Add(*short); *kills == 0 && time.Now().Before(end) || hits < *kills; {
		time.Sleep(time.Duration(1+rnd.IntN(30)) * time.Millisecond)
		victim := &writer
		if !w.hitWriter || w.hitReader && rnd.IntN(2) == 0 {
			victim = &reader
		}
		if rnd.IntN(5) == 0 {
			w.freeze(t, rnd, dir, *victim, writer)
			stops++
			continue
		}
		(*victim).kill(t)
		*victim = start(t, (*victim).role, dir)
		hits++
	}
	writer.term(t)
	writer.end(t)
	reader.end(t)
	w.verdict(t, dir, seen, hits, stops)
}

// firstRecord waits until the reader has seen something.
func (w war) firstRecord(t *testing.T, dir string, reader *process) *progress {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case err := <-reader.done:
			t.Fatalf("%s ended: %v\n%s", reader.role, err, reader.out.String())
		default:
		}
		p, err := look(dir)
		if err != nil {
			continue
		}
		if p.get(offNext) != 0 {
			t.Cleanup(func() { _ = p.m.Close() })
			return p
		}
		_ = p.m.Close()
	}
	t.Fatal("nothing arrives")
	return nil
}

// freeze stops a process for a moment. A stopped writer keeps its ring: nobody
// else may have it, or there would be two writers when it goes on.
func (w war) freeze(t *testing.T, rnd *rand.Rand, dir string, victim, writer *process) {
	t.Helper()
	victim.signal(syscall.SIGSTOP)
	if victim == writer && layout.Locked(ringFile(dir)) {
		if err := w.second(dir); !errors.Is(err, layout.ErrOwned) {
			t.Errorf("second writer beside a stopped one: %v, want ErrOwned", err)
		}
	}
	time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond)
	victim.signal(syscall.SIGCONT)
}

// ringFile is the one ring in dir.
func ringFile(dir string) string {
	names, _ := filepath.Glob(filepath.Join(dir, "*.ring"))
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// term asks the process to leave in good order, when it is ready to be asked.
func (p *process) term(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		select {
		case err := <-p.done:
			p.done <- err
			return
		default:
		}
		// It listens to the signal before it claims the ring.
		if m, err := layout.OpenRO(ringFile(filepath.Dir(p.ring())), layout.Spec{Magic: p.magic(), ABIMajor: layout.ABIMajor}); err == nil {
			mine := m.Owner().PID() == p.cmd.Process.Pid
			_ = m.Close()
			if mine {
				p.signal(syscall.SIGTERM)
				return
			}
		}
	}
	t.Fatalf("%s does not claim its ring", p.role)
}

func (p *process) ring() string {
	for _, e := range p.cmd.Env {
		if dir, ok := strings.CutPrefix(e, "WEIR_TORTURE_DIR="); ok {
			return filepath.Join(dir, "x")
		}
	}
	return ""
}

func (p *process) magic() uint64 {
	if strings.HasPrefix(p.role, "evt") {
		return layout.MagicEventRing
	}
	return layout.MagicPacketRing
}

// verdict compares what the reader saw with what the ring says was written.
func (w war) verdict(t *testing.T, dir string, seen *progress, hits, stops int) {
	t.Helper()
	next, twice, lost := seen.get(offNext), seen.get(offTwice), seen.get(offLost)
	t.Logf("%d kills, %d stops, %d records, %d seen twice (at most %d at once), %d told lost",
		hits, stops, next, twice, seen.get(offWindow), lost)
	if hits == 0 || next < uint64(hits) {
		t.Errorf("%d kills, %d records: the test is too tame", hits, next)
	}
	if w.nothingLost && lost != 0 {
		t.Errorf("%d lost, want none", lost)
	}
	if !w.hitReader && twice != 0 {
		t.Errorf("%d seen twice though the reader was never killed", twice)
	}
	if written := lastWritten(t, dir) + 1; next != written {
		t.Errorf("the reader saw up to %d, written were %d", next, written)
	}
}

// lastWritten is the number of the last record that the ring holds.
func lastWritten(t *testing.T, dir string) uint64 {
	t.Helper()
	path := ringFile(dir)
	if filepath.Base(path) == "w00.ring" {
		r, err := evtring.Tail(path, evtring.Oldest)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		for last := uint64(0); ; {
			rec, err := r.Next()
			if errors.Is(err, evtring.ErrIdle) {
				return last
			}
			if err == nil {
				last = evtring.Counter(rec.Seq)
			}
		}
	}
	v, err := pktring.OpenView(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	i, err := v.Info()
	if err != nil || i.Tail != i.Freed && i.Owner.State != layout.StateClosed {
		t.Fatalf("Info() = %+v, %v", i, err)
	}
	var desc [pktring.DescSize]byte
	// Consumed, but nothing was written since: the last descriptor is still whole.
	if _, err := v.Record(i.Tail-1, &desc, nil); err != nil && !errors.Is(err, pktring.ErrGone) {
		t.Fatal(err)
	}
	return le.Uint64(desc[offOrdinal:])
}
