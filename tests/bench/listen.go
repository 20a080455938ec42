package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"weir/shm/layout"
	"weir/shm/stat"
)

// wire is two ends, each in a network namespace of its own.
type wire struct {
	b        *bench
	from, to string // namespaces
	made     []string
}

func (b *bench) newWire() (*wire, error) {
	if os.Geteuid() != 0 {
		return nil, missing("root: network namespaces are made")
	}
	for _, tool := range []string{"ip", "taskset"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, missing(fmt.Sprintf("%s: run scripts/setup bench", tool))
		}
	}
	id := fmt.Sprintf("weir-bench-%d-", os.Getpid())
	w := &wire{b: b, from: id + "from", to: id + "to"}
	for _, n := range []string{w.from, w.to} {
		if err := ip("netns add " + n); err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.made = append(w.made, n)
	}
	for _, args := range []string{
		// Nobody speaks on the wire but who sends.
		"netns exec " + w.from + " sysctl -qw net.ipv6.conf.default.disable_ipv6=1", "netns exec " + w.to + " sysctl -qw net.ipv6.conf.default.disable_ipv6=1",
		"-n " + w.from + " link add w0 type veth peer name w1 netns " + w.to,
		"-n " + w.from + " link set w0 up", "-n " + w.to + " link set w1 up",
	} {
		if err := ip(args); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

func (w *wire) close() error {
	var errs []error
	for _, n := range w.made {
		errs = append(errs, ip("netns del "+n))
	}
	return errors.Join(errs...)
}

// listener is a program that captures from w1.
type listener struct {
	name    string
	program string
	debian  string // its package
	args    []string
	said    *regexp.Regexp // in its report, with the number of packets that it had
	dir     string         // of Weir: its counters are its report
}

// listened is what became of frames of one pass.
type listened struct {
	sent, had uint64
	rate      float64       // frames sent in a second
	cpu       time.Duration // of the program and its children, while it listened
}

func (x *listened) lost() uint64 { return x.sent - min(x.had, x.sent) }

// perPacket is CPU time of a packet that was had, in ns.
func (x *listened) perPacket() float64 { return float64(x.cpu) / float64(max(x.had, 1)) }

// others are all CPUs but the first, which sends and receives, where there are others.
func others() string {
	last := runtime.NumCPU() - 1
	return fmt.Sprintf("%d-%d", min(1, last), last)
}

// listen runs l while frames are sent at a rate, 0 for as many as go.
func (w *wire) listen(l *listener, rate, ms, flows int) (r listened, err error) {
	if l.dir != "" {
		defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	}
	args := append([]string{"netns", "exec", w.to, "taskset", "-c", others(), l.program}, l.args...)
	cmd := exec.CommandContext(w.b.ctx, "ip", args...) // each becomes the next: one process
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return r, err
	}
	err = w.blast(cmd.Process.Pid, rate, ms, flows, &r)
	_ = cmd.Process.Signal(syscall.SIGINT) // fails when it has ended
	err = errors.Join(err, cmd.Wait())
	if err == nil {
		r.had, err = l.report(said.Bytes())
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w\n%s", l.name, err, said.Bytes())
	}
	return r, nil
}

// blast sends when the process captures, and waits until it has had time for what is
// in its buffers.
func (w *wire) blast(pid, rate, ms, flows int, r *listened) error {
	err := eventually(func() bool {
		b, err := exec.Command("ip", "netns", "exec", w.to, "cat", "/proc/net/packet").Output()
		return err == nil && bytes.Count(b, []byte("\n")) > 1
	})
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond) // what it does when it begins is not of a packet
	before, err := treeTime(pid)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, _, err := w.b.run("ip", "netns", "exec", w.from, self, "blast", "w0", strconv.Itoa(rate), strconv.Itoa(ms), strconv.Itoa(flows))
	if err != nil {
		return err
	}
	var ns float64
	if _, err := fmt.Sscan(out, &r.sent, &ns); err != nil {
		return fmt.Errorf("the sender said %q: %w", out, err)
	}
	r.rate = float64(r.sent) / ns * 1e9
	time.Sleep(300 * time.Millisecond)
	after, err := treeTime(pid)
	r.cpu = after - before
	time.Sleep(time.Second) // the others leave a block that is not full to the kernel for as long
	return err
}

// treeTime is the CPU time of a process and all below it.
func treeTime(pid int) (sum time.Duration, err error) {
	pids, err := processTree(pid)
	for _, p := range pids {
		t, e := processTime(p)
		sum, err = sum+t, errors.Join(err, e)
	}
	return sum, err
}

// report returns how many packets a program says that it had.
func (l *listener) report(said []byte) (uint64, error) {
	if l.dir != "" {
		return counted(layout.Root(l.dir).Stat("w00"), "packets")
	}
	m := l.said.FindSubmatch(said)
	if m == nil {
		return 0, errors.New("it did not report")
	}
	return strconv.ParseUint(string(m[1]), 10, 64)
}

// counted reads a counter of a file.
func counted(file, name string) (uint64, error) {
	f, err := stat.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	for i, n := range f.Names() {
		if n == name {
			return f.Get(i), nil
		}
	}
	return 0, fmt.Errorf("%s has no counter %q", file, name)
}

// listeners are Weir, its rings below a folder, and those that it is held against. What
// is not installed is missing.
func (b *bench) listeners(parent string) (list []*listener, err error) {
	dir := filepath.Join(parent, "set")
	list = []*listener{
		{name: "weir", program: filepath.Join(b.bin, "weir"), args: []string{"live", "-i", "w1", "-quiet", "-keep", "-dir", dir}, dir: dir},
		{name: "ndpiReader", program: "ndpiReader", debian: "libndpi-bin", args: []string{"-i", "w1"}, said: regexp.MustCompile(`IP packets:\s+(\d+)`)},
		{name: "tcpdump", program: "tcpdump", debian: "tcpdump", args: []string{"-i", "w1", "-n", "-Z", "root", "-w", "/dev/null"}, said: regexp.MustCompile(`(\d+) packets captured`)},
	}
	for _, l := range list {
		if _, err := exec.LookPath(l.program); err != nil {
			return nil, missing(l.name + ": install the package " + l.debian)
		}
	}
	return list, nil
}
