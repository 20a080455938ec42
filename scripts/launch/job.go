package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/proto/config"
)

// job is one replay or one live run: private ring directory, all processes, one set
// of captures or interfaces.
type job struct {
	Captures   []string
	Interfaces []string      // of a live run
	LAN, WAN   []string      // interfaces with these roles; in a live run without a queue, of Interfaces
	Queue      string        // of a live run: the rules that bring packets to a netfilter queue
	Hold       time.Duration // of a live run: packets wait so long for a verdict; 0 = for none
	Filter     string
	For        time.Duration // of a live run; 0 = until it is interrupted
	Threads    int           // capture threads of each interface, or queues
	Workers    int
	Policy     string
	JSON       bool
	Plan       bool
	Dir        string
	Keep       bool
	Quiet      bool
	Pace       float64
	LogLevel   string
	Stdout     *os.File
	Stderr     *os.File

	bin  string // folder of the binaries
	conf string // configuration file of this job
	size int64  // bytes of the captures, unpacked
}

// usageError is a mistake of the caller's, found before anything was made.
type usageError struct{ error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// Unwrap returns the mistake.
func (e *usageError) Unwrap() error { return e.error }

// errInterrupted is the end that a signal asked for.
var errInterrupted = errors.New("interrupted")

// maxWorkers is a bound of sense, not of the rings.
const maxWorkers = 64

// check finds what can be known to be wrong before anything is started.
func (j *job) check() error {
	levels := []string{"debug", "info", "warn", "error"}
	switch {
	case len(j.Captures) == 0 && !j.live():
		return usagef("no capture given")
	case j.live() && (j.Threads < 1 || j.rings() > config.MaxThreads):
		return usagef("-threads %d: must be 1 to %d over all interfaces", j.Threads, config.MaxThreads)
	case j.Workers < 1 || j.Workers > maxWorkers:
		return usagef("-workers %d: must be 1 to %d", j.Workers, maxWorkers)
	case !(j.Pace >= 0 && j.Pace <= 1e6): // NaN is neither
		return usagef("-pace %v: must be 0 to 1e6", j.Pace)
	case !slices.Contains(levels, j.LogLevel):
		return usagef("-log-level %q: must be one of %s", j.LogLevel, strings.Join(levels, ", "))
	}
	for _, name := range j.Interfaces { // capd itself would wait for it
		if _, err := net.InterfaceByName(name); err != nil {
			return usagef("interface %q: there is none of this name: \"ip link\" lists them", name)
		}
	}
	for _, c := range j.Captures {
		n, err := unpackedSize(c)
		if err != nil {
			return usagef("capture %w", err)
		}
		j.size += min(n, math.MaxInt64/2-j.size)
	}
	return j.checkPolicyFile()
}

// live reports whether packets come from the kernel, as they pass.
func (j *job) live() bool { return len(j.Interfaces) > 0 || j.Queue != "" }

// rings is the number of packet rings that each worker reads.
func (j *job) rings() int { return max(j.Threads, 1) * max(len(j.Interfaces), 1) }

// run does the job and leaves nothing behind.
func (j *job) run(ctx context.Context) (err error) {
	for i, c := range j.Captures { // the daemons have a folder of their own
		if j.Captures[i], err = filepath.Abs(c); err != nil {
			return err
		}
	}
	return j.inDir(ctx, func() error { return newSet(j).run(ctx) })
}

// inDir makes the ring directory and the configuration of this job, does the work, and
// removes them.
func (j *job) inDir(ctx context.Context, work func() error) (err error) {
	if j.bin == "" {
		if err := j.findBinaries(); err != nil {
			return err
		}
	}
	if err := j.makeDir(); err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errInterrupted // whatever it hindered
			if j.live() {
				err = nil // nothing else ends it
			}
		}
		if j.Keep {
			fmt.Fprintf(j.Stderr, "weir: the rings are kept in %s\n", j.Dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(j.Dir))
	}()
	if err := j.configure(ctx); err != nil {
		return err
	}
	return work()
}

// findBinaries takes the daemons that lie beside this one.
func (j *job) findBinaries() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	j.bin = filepath.Dir(self)
	for _, b := range []string{"capd", "dpid", "policyd"} {
		if _, err := os.Stat(filepath.Join(j.bin, b)); err != nil {
			return fmt.Errorf("%s is not beside %s: run \"make build\": %w", b, self, err)
		}
	}
	return nil
}

// makeDir makes the ring directory. As root, its folders belong to the group of the
// user that dpid becomes, and so do the files in them: it must read others' cursors
// after it has given root up.
func (j *job) makeDir() (err error) {
	if j.Dir != "" {
		if j.Dir, err = filepath.Abs(j.Dir); err != nil {
			return err
		}
		err := os.Mkdir(j.Dir, 0o750)
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("ring directory: %w: another instance may be using it; name one that does not exist", err)
		}
		if err != nil {
			return fmt.Errorf("ring directory: %w", err)
		}
	} else {
		base := "/dev/shm"
		if st, err := os.Stat(base); err != nil || !st.IsDir() {
			base = os.TempDir()
		}
		if j.Dir, err = os.MkdirTemp(base, "weir-replay-"); err != nil {
			return fmt.Errorf("ring directory: %w", err)
		}
	}
	if err := shareFolders(j.Dir); err != nil {
		_ = os.RemoveAll(j.Dir)
		return fmt.Errorf("ring directory: %w", err)
	}
	return nil
}
