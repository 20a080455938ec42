package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// set is the daemons of one job. A daemon that is killed is started again, as a
// service manager would; one that ends by itself with an error ends the job.
type set struct {
	job   *job
	mu    sync.Mutex
	procs []*process
	ends  chan *process
}

// process is one daemon, through all its lives.
type process struct {
	name string
	args []string
	out  *os.File // standard output, nil = that of the launcher is not given
	cmd  *exec.Cmd
	err  error
	live int // how often it was started
}

// maxLives is how often a daemon may be killed before the job gives up: a crash
// loop must end.
const maxLives = 1000

// run starts readers before writers, so that nobody misses anything, waits for the
// end of all and returns what went wrong first.
func (s *set) run(ctx context.Context) error {
	s.ends = make(chan *process)
	for w := range s.job.Workers {
		if err := s.start(ctx, &process{name: "dpid", args: []string{"-config", s.job.conf, "-worker", strconv.Itoa(w)}}); err != nil {
			return err
		}
	}
	readers, err := s.startReaders(ctx)
	if err != nil {
		return err
	}
	if err := s.attached(ctx, readers); err != nil {
		return err
	}
	capd := &process{name: "capd", args: append([]string{"-config", s.job.conf}, s.job.Captures...)}
	if err := s.start(ctx, capd); err != nil {
		return err
	}
	return s.wait(ctx, len(s.procs))
}

// startReaders starts policyd and, when flows are wanted, their printer. It returns
// the names of their cursors.
func (s *set) startReaders(ctx context.Context) ([]string, error) {
	var names []string
	if s.job.Plan {
		args := []string{"plan", "-config", s.job.conf, "-drain"}
		if s.job.JSON {
			args = append(args, "-json")
		}
		return []string{"plan"}, s.start(ctx, &process{name: "policyd", args: args, out: os.Stdout})
	}
	if s.job.Policy != "" {
		names = append(names, "policyd")
		if err := s.start(ctx, &process{name: "policyd", args: []string{"enforce", "-config", s.job.conf, "-drain"}, out: os.Stderr}); err != nil {
			return nil, err
		}
	}
	if s.job.Quiet {
		return names, nil
	}
	args := []string{"flows", "-config", s.job.conf, "-drain"}
	if s.job.JSON {
		args = append(args, "-json")
	}
	names = append(names, "flows")
	return names, s.start(ctx, &process{name: "policyd", args: args, out: os.Stdout})
}

// attached waits until every reader has a cursor on every event ring: from then on
// no worker writes over what it has not read.
func (s *set) attached(ctx context.Context, readers []string) error {
	for _, r := range readers {
		for w := range s.job.Workers {
			path := filepath.Join(s.job.Dir, "evtcur", fmt.Sprintf("%s.w%02d.cur", r, w))
			for !exists(path) {
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
	}
	return nil
}

// wait collects the ends of n processes. After the first failure the others are
// told to leave.
func (s *set) wait(ctx context.Context, n int) error {
	var first error
	for left := n; left > 0; {
		select {
		case p := <-s.ends:
			if err := s.ended(ctx, p); err != nil {
				if first == nil {
					first = err
				}
				if p.name != "capd" { // a capture that is cut short is drained all the same
					s.signalAll(syscall.SIGTERM)
				}
				left--
			} else if p.cmd == nil {
				left--
			}
		case <-ctx.Done():
			s.signalAll(syscall.SIGTERM)
			return errors.New("interrupted")
		}
	}
	return first
}

// errExit says how a daemon ended; it has told why itself.
type errExit struct {
	name string
	code int
}

func (e errExit) Error() string { return fmt.Sprintf("%s ended with status %d", e.name, e.code) }

// ended judges the end of a process: nil and p.cmd == nil when it is done, nil when
// it was started again.
func (s *set) ended(ctx context.Context, p *process) error {
	var exit *exec.ExitError
	err := p.err
	p.cmd = nil
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("%s: %w", p.name, err)
	}
	killed := !exit.Exited() || exit.ExitCode() == 75
	if killed && p.live < maxLives && ctx.Err() == nil {
		return s.start(ctx, p)
	}
	return errExit{p.name, exit.ExitCode()}
}

// start starts p, for the first time or again.
func (s *set) start(ctx context.Context, p *process) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.job.bin, p.name), p.args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = s.job.Dir
	cmd.Stderr = os.Stderr
	if p.out != nil {
		cmd.Stdout = p.out
	}
	// Nobody outlives the launcher, however it ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	s.mu.Lock()
	p.cmd = cmd
	p.live++
	if p.live == 1 {
		s.procs = append(s.procs, p)
	}
	s.mu.Unlock()
	go func() {
		p.err = cmd.Wait()
		s.ends <- p
	}()
	return nil
}

func (s *set) signalAll(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(sig)
		}
	}
}

// killAll ends what still runs and waits for it, so that the directory can go.
func (s *set) killAll() {
	s.signalAll(syscall.SIGTERM)
	running := 0
	for _, p := range s.procs {
		if p.cmd != nil {
			running++
		}
	}
	deadline := time.After(5 * time.Second)
	for ; running > 0; running-- {
		select {
		case p := <-s.ends:
			p.cmd = nil
		case <-deadline:
			s.signalAll(syscall.SIGKILL)
			(<-s.ends).cmd = nil
		}
	}
}
