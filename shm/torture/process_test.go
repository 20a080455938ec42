package torture

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/shm/layout"
)

// process is a child in one of the roles.
type process struct {
	role string
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan error
}

func start(t *testing.T, role, dir string) *process {
	t.Helper()
	p := &process{role: role, cmd: exec.Command(os.Args[0]), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), roleEnv+"="+role, "WEIR_TORTURE_DIR="+dir)
	p.cmd.Stderr = &p.out
	// A test that dies takes its children with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process at once. It must not have ended by itself.
func (p *process) kill(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.done:
		t.Fatalf("%s ended by itself: %v\n%s", p.role, err, p.out.String())
	default:
	}
	p.signal(syscall.SIGKILL)
	if err := <-p.done; err == nil {
		t.Fatalf("%s ended well after SIGKILL", p.role)
	}
}

// end waits until the process has ended in good order.
func (p *process) end(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.done:
		if err != nil {
			t.Fatalf("%s: %v\n%s", p.role, err, p.out.String())
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not end", p.role)
	}
}

// terminated is set when the process shall close its ring and leave.
func terminated() *atomic.Bool {
	var flag atomic.Bool
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() { <-c; flag.Store(true) }()
	return &flag
}

// folder is where the files of a test lie, in memory where there is a place.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "weir-torture-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// progress is what a reading process has seen over all its lives. It is a mapped
// file, so that a kill loses nothing of it.
type progress struct{ m *layout.Mapping }

const (
	progressMagic = 0x3154524f54524557 // "WERTORT1"

	offNext   = 1024 // number after the last one seen
	offTwice  = 1032 // seen more than once
	offLost   = 1040 // told as lost
	offLives  = 1048
	offWindow = 1056 // most that one restart saw again

	// Packets: a "lost" record that was released before the packet after it.
	offLostCount = 1064
	offLostAfter = 1072 // position after it
)

// openProgress returns the progress of the reading role in dir.
func openProgress(dir string) (*progress, error) {
	m, _, err := layout.CreateOrOpen(filepath.Join(dir, "progress"), progressSpec)
	if err != nil {
		return nil, err
	}
	p := &progress{m}
	p.add(offLives, 1)
	return p, nil
}

var progressSpec = layout.Spec{Magic: progressMagic, ABIMajor: 1, Size: layout.HeaderSize}

// look reads the progress from another process.
func look(dir string) (*progress, error) {
	m, err := layout.OpenRO(filepath.Join(dir, "progress"), progressSpec)
	return &progress{m}, err
}

func (p *progress) get(off int) uint64    { return p.m.U64(off).Load() }
func (p *progress) add(off int, n uint64) { p.m.U64(off).Store(p.get(off) + n) }
func (p *progress) set(off int, n uint64) { p.m.U64(off).Store(n) }

// life is what one life of the reading process has seen.
type life struct {
	*progress
	window uint64 // how many records a restart may see again
	next   uint64 // in this life
	again  uint64 // seen again by this life
	began  bool
}

// saw checks number n, before which lost were told to be missing: the first of a
// life may not lie beyond what was seen before, all others follow each other, and
// no more than a window is seen again.
func (l *life) saw(n, lost uint64) error {
	from, next := n-lost, l.get(offNext)
	switch {
	case l.began && from != l.next:
		return fmt.Errorf("saw %d with %d told lost, want %d", n, lost, l.next)
	case !l.began && from > next:
		return fmt.Errorf("began with %d with %d told lost, want at most %d", n, lost, next)
	}
	l.began, l.next = true, n+1
	if n >= next {
		l.add(offLost, lost)
		l.set(offNext, n+1)
		return nil
	}
	if l.again++; l.again > l.window {
		return fmt.Errorf("saw %d again, the %dth of this life, want at most %d", n, l.again, l.window)
	}
	l.add(offTwice, 1)
	l.set(offWindow, max(l.get(offWindow), l.again))
	return nil
}

// record is the content of packet or event n: its length and the byte that it
// begins to count from.
func record(n uint64, most int) (length int, first byte) {
	h := n*0x9e3779b97f4a7c15 + 7
	return int(h >> 33 % uint64(most+1)), byte(h >> 20)
}

func paint(b []byte, first byte) {
	for i := range b {
		b[i] = first + byte(i)
	}
}

func painted(b []byte, first byte) bool {
	for i := range b {
		if b[i] != first+byte(i) {
			return false
		}
	}
	return true
}
