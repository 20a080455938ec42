package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"weir/shm/layout"
)

const (
	// maxLives is how often a daemon may be killed before the job gives up: a crash
	// loop must end.
	maxLives = 1000

	// A daemon that finds a ring owned by another tries again, as its service manager
	// would have it: the owner may be on its way out.
	exitTemp  = 75
	maxBusy   = 100
	busyPause = 20 * time.Millisecond

	// stopTime is how long daemons may take to leave.
	stopTime = 5 * time.Second
)

// set is the daemons of one job. A daemon that is killed is started again, as a
// service manager would; one that ends by itself with an error ends the job. One
// goroutine owns it.
type set struct {
	job   *job
	root  layout.Root
	procs []*process
	names []string // of the cursors of those who read events
	ends  chan *process
	left  int // processes that are not done
}

func newSet(j *job) *set {
	return &set{job: j, root: layout.Root(j.Dir), ends: make(chan *process)}
}

// run starts readers before writers, so that nobody misses anything, waits for the
// end of all and returns what went wrong first.
func (s *set) run(ctx context.Context) error {
	if err := s.startAll(ctx); err != nil {
		s.stop(syscall.SIGKILL) // no packet was seen: there is nothing to tell
		return err
	}
	if s.job.live() {
		return s.runLive(ctx)
	}
	err := s.wait(ctx)
	if ctx.Err() == nil {
		s.stop(syscall.SIGKILL) // one has failed: what others could tell is not true
	} else {
		s.stop(syscall.SIGTERM)
	}
	return err
}

func (s *set) startAll(ctx context.Context) error {
	conf := s.job.conf
	var files []string
	for w := range s.job.Workers {
		files = append(files, s.root.Stat(fmt.Sprintf("w%02d", w)))
		if err := s.start(&process{name: "dpid", args: []string{"-config", conf, "-worker", strconv.Itoa(w)}}); err != nil {
			return err
		}
	}
	// Where workers cannot work the kernel is not touched; readers of a ring that is
	// there need not look for it again and again.
	if err := s.await(ctx, files); err != nil {
		return err
	}
	var err error
	if s.names, err = s.startReaders(); err != nil {
		return err
	}
	// From here on no worker writes over what a reader has not read.
	files = files[:0]
	for _, r := range s.names {
		for w := range s.job.Workers {
			files = append(files, s.root.EventCursor(r, w))
		}
	}
	if err := s.await(ctx, files); err != nil {
		return err
	}
	return s.start(&process{name: "capd", args: append([]string{"-config", conf}, s.job.Captures...)})
}

// startReaders starts policyd where there is a policy, and what prints: the plan, or
// the flows when they are wanted. It returns the names of their cursors.
func (s *set) startReaders() (cursors []string, err error) {
	printer := &process{out: s.job.Stdout}
	if s.job.JSON {
		printer.args = []string{"-json"}
	}
	if s.job.live() {
		printer.args = append(printer.args, "-classified")
	}
	if s.job.Plan {
		return []string{"plan"}, s.startPolicyd("plan", printer)
	}
	if s.job.Policy != "" {
		cursors = append(cursors, "policyd")
		if err := s.startPolicyd("enforce", &process{out: s.job.Stderr}); err != nil {
			return nil, err
		}
	}
	if s.job.Quiet {
		return cursors, nil
	}
	if terminal(s.job.Stderr) {
		printer.tty = s.job.Stderr // for its progress line
	}
	return append(cursors, "flows"), s.startPolicyd("flows", printer)
}

func (s *set) startPolicyd(command string, p *process) error {
	args := []string{command, "-config", s.job.conf}
	if !s.job.live() {
		args = append(args, "-drain")
	}
	p.name, p.args = "policyd", append(args, p.args...)
	return s.start(p)
}

func (s *set) start(p *process) error {
	if err := p.start(s.job, s.ends); err != nil {
		return err
	}
	if p.live == 1 {
		s.procs = append(s.procs, p)
		s.left++
	}
	return nil
}

// await waits until all files are there.
func (s *set) await(ctx context.Context, files []string) error {
	for _, f := range files {
		for !exists(f) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case p := <-s.ends:
				if err := s.ended(ctx, p); err != nil {
					return err
				}
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// wait collects the ends of all, and returns at the first failure: what others say
// after that is not told.
func (s *set) wait(ctx context.Context) error {
	var first error
	for s.left > 0 {
		select {
		case p := <-s.ends:
			err := s.ended(ctx, p)
			if err == nil {
				continue
			}
			if first == nil {
				first = err
			}
			if p.name != "capd" || s.job.live() || !s.drains() {
				return first
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return first
}

// drains reports whether capd, which ended with an error, closed all of its rings: a
// capture that is cut short is drained all the same.
func (s *set) drains() bool {
	for w := range s.job.Workers {
		m, err := layout.OpenRO(s.root.PacketRing(0, w), layout.Spec{Magic: layout.MagicPacketRing, ABIMajor: layout.ABIMajor})
		if err != nil {
			return false
		}
		closed := m.Owner().State() == layout.StateClosed
		_ = m.Close() // only looked at
		if !closed {
			return false
		}
	}
	return true
}

// ended judges the end of a process: nil when it is done or was started again.
func (s *set) ended(ctx context.Context, p *process) error {
	p.cmd = nil
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		s.left--
		return nil
	case !errors.As(p.err, &exit):
		s.left--
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	again := !exit.Exited()
	if exit.ExitCode() == exitTemp && p.busy < maxBusy {
		p.busy++
		again = true
		select {
		case <-ctx.Done():
		case <-time.After(busyPause):
		}
	}
	if again && p.live < maxLives {
		return s.start(p)
	}
	s.left--
	return &failure{name: p.name, code: exit.ExitCode(), why: p.log.why}
}

// stop ends what still runs and waits for it, so that the directory can go.
func (s *set) stop(sig syscall.Signal) {
	s.signal(sig)
	deadline := time.After(stopTime)
	for _, p := range s.procs {
		for p.cmd != nil {
			select {
			case q := <-s.ends:
				q.cmd = nil
			case <-deadline:
				s.signal(syscall.SIGKILL)
			}
		}
	}
}

func (s *set) signal(sig syscall.Signal) {
	for _, p := range s.procs {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(sig)
		}
	}
}
