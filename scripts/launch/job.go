package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// job is one replay: private ring directory, all processes, one set of captures.
type job struct {
	Captures []string
	Workers  int
	Policy   string
	JSON     bool
	Plan     bool
	Dir      string
	Keep     bool
	Quiet    bool
	Pace     float64
	LogLevel string
	Stdout   io.Writer
	Stderr   io.Writer

	bin     string // folder of the binaries
	conf    string // configuration file of this job
	catalog string // compiled for this job, "" = the one beside the binaries
	size    int64  // bytes of the captures
}

// maxWorkers is a bound of sense, not of the rings.
const maxWorkers = 64

// check finds what can be known to be wrong before anything is started.
func (j *job) check() error {
	if len(j.Captures) == 0 {
		return errors.New("no capture given")
	}
	if j.Workers < 1 || j.Workers > maxWorkers {
		return fmt.Errorf("-workers %d: must be 1 to %d", j.Workers, maxWorkers)
	}
	for _, c := range j.Captures {
		st, err := os.Stat(c)
		switch {
		case err != nil:
			return fmt.Errorf("capture %w", err)
		case st.IsDir():
			return fmt.Errorf("capture %s: is a directory; name the files in it", c)
		}
		j.size += st.Size()
	}
	if j.Policy != "" {
		if _, err := os.Stat(j.Policy); err != nil {
			return fmt.Errorf("policy %w", err)
		}
	}
	return nil
}

// run does the job and leaves nothing behind.
func (j *job) run(ctx context.Context) (err error) {
	if err := j.findBinaries(); err != nil {
		return err
	}
	for i, c := range j.Captures { // the daemons have a folder of their own
		if j.Captures[i], err = filepath.Abs(c); err != nil {
			return err
		}
	}
	if err := j.checkPolicy(ctx); err != nil {
		return err
	}
	if err := j.makeDir(); err != nil {
		return err
	}
	if !j.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(j.Dir)) }()
	}
	if j.catalog, err = j.compileLists(ctx); err != nil {
		return err
	}
	if err := j.writeConfig(); err != nil {
		return err
	}
	s := &set{job: j}
	defer s.killAll()
	return s.run(ctx)
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
		if err := os.Mkdir(j.Dir, 0o750); err != nil {
			return fmt.Errorf("ring directory: %w: another instance may be using it", err)
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

// writeConfig writes the configuration of this job. Sizes follow the captures: a
// replay of ten packets must not spend its time on clearing memory.
func (j *job) writeConfig() error {
	packets := max(j.size/64, 1024)
	flows := clampPower(packets/int64(j.Workers), 1<<10, 1<<20)
	payload := clampPower(j.size*2, 1<<20, 16<<20)
	events := clampPower(j.size*4, 2<<20, 64<<20)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[instance]\nname = \"replay\"\ndir = %s\nlog_level = %s", quote(j.Dir), quote(j.LogLevel))
	line("[capture]\nsource = \"pcap\"\nthreads = 1\npace = %s", strconv.FormatFloat(j.Pace, 'f', -1, 64)+decimal(j.Pace))
	line("[workers]\ncount = %d", j.Workers)
	line("[rings]\npacket_descriptors = %d\npacket_payload = %d\nevent_size = %d", payload/256, payload, events)
	line("[flow]\nmax_flows = %d\nmetadata = %d\nstats_interval = \"0s\"", flows, max(flows*512, 1<<20))
	line("[inspect]\ncontexts = %d", clampPower(flows/4, 256, 1<<14))
	line("[hint]\ndns_entries = %d", clampPower(flows, 1<<10, 1<<16))
	c := j.catalog
	if c == "" {
		c = filepath.Join(j.bin, "catalog.weir")
	}
	if exists(c) {
		line("[catalog]\nfile = %s", quote(c))
	}
	j.conf = filepath.Join(j.Dir, "weir.toml")
	if err := os.WriteFile(j.conf, []byte(b.String()), 0o644); err != nil {
		return err
	}
	if j.Policy == "" {
		return nil
	}
	policy, err := filepath.Abs(j.Policy)
	if err != nil {
		return err
	}
	d := filepath.Join(j.Dir, "weir.d")
	if err := os.Mkdir(d, 0o755); err != nil {
		return err
	}
	return os.Symlink(policy, filepath.Join(d, "policy.toml"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func quote(s string) string { return strconv.Quote(s) }

// decimal makes a TOML float of a whole number.
func decimal(f float64) string {
	if f == float64(int64(f)) {
		return ".0"
	}
	return ""
}

// clampPower returns the smallest power of two not below n, within [lo, hi].
func clampPower(n, lo, hi int64) int64 {
	p := lo
	for p < n && p < hi {
		p *= 2
	}
	return p
}
