package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"weir/shm/layout"
	"weir/shm/stat"
)

// crowd is a capture whose flows are all alive at its end: they open one after the
// other, nothing happens for a while, and one packet of yet another flow comes last.
type crowd struct {
	flows     int
	open, gap time.Duration
	pace      float64 // of the replay
	packets   uint64  // with the last one
}

// benchSetMemory measures the memory of all our processes while many flows are alive,
// rings and all else included, against the most that ndpiReader had on the same file.
// ndpiReader forgets flows after 30 s: the capture is shorter.
func benchSetMemory(b *bench) error {
	c := crowd{flows: 320_000, open: 20 * time.Second, gap: 9 * time.Second, pace: 2}
	if b.quick {
		c = crowd{flows: 500, open: 100 * time.Millisecond, gap: time.Second, pace: 1}
	}
	r := row{what: fmt.Sprintf("memory of all processes, %d flows", c.flows), unit: "B/flow", reference: "ndpiReader", want: 1. / 8, atMost: true}
	theirs, err := exec.LookPath("ndpiReader")
	if err != nil {
		return b.skipped(r, missing("ndpiReader: install the package libndpi-bin"))
	}
	dir, err := os.MkdirTemp(b.cache, "crowd-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "crowd.pcap")
	if err := c.write(b, file); err != nil {
		return err
	}
	ours, flows, err := b.residentWith(&c, file)
	if err != nil {
		return err
	}
	_, used, err := b.run(theirs, "-q", "-i", file)
	if err != nil {
		return err
	}
	r.value, r.referenceValue = float64(ours.all)/float64(flows), float64(used.maxRSS)/float64(c.flows)
	r.ratio = r.value / r.referenceValue
	r.note = fmt.Sprintf("measured once; TLS, all alive: %d flows; MiB: all %s (dpid %s, policyd %s, capd %s, weir %s), of it rings %s; ndpiReader %s",
		flows, mib(ours.all), mib(ours.byName["dpid"]), mib(ours.byName["policyd"]), mib(ours.byName["capd"]), mib(ours.byName["weir"]),
		mib(ours.rings), mib(used.maxRSS))
	b.rows = append(b.rows, r)
	return nil
}

func mib(bytes int64) string { return number(math.Round(float64(bytes)/(1<<18)) / 4) }

// write makes the capture. Conversations are of TLS and do not end.
func (c *crowd) write(b *bench, file string) (err error) {
	talk, err := conversation(filepath.Join(b.root, "dpid", "dissect", "testdata", "tls", "yes-curl.txt"))
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := newPcapWriter(f)
	for i := range c.flows {
		at := uint64(c.open) / uint64(c.flows) * uint64(i)
		frames := newFlow(i, 6, talk)
		for k, frame := range frames {
			w.write(at+uint64(k)*1000, uint32(len(frame)), frame)
		}
		c.packets += uint64(len(frames))
	}
	last := finalFrame(c.flows, false, nil)
	w.write(uint64(c.open+c.gap), last.WireLen, last.Data)
	c.packets++
	return w.Flush()
}

// residentWith replays the capture and returns the most memory that was in use in
// the silence before its last packet, and how many flows there were.
func (b *bench) residentWith(c *crowd, file string) (most resident, flows uint64, err error) {
	dir, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return most, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // daemons without privileges pass through
		return most, 0, err
	}
	root := layout.Root(filepath.Join(dir, "set"))
	cmd := exec.CommandContext(b.ctx, filepath.Join(b.bin, "weir"), "replay", "-quiet", "-dir", string(root),
		"-pace", strconv.FormatFloat(c.pace, 'g', -1, 64), "-policy", filepath.Join(b.root, "tests", "bench", "policy.toml"), file)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return most, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil && flows == 0 {
				err = errors.New("it was over before it was measured")
			}
			if err != nil {
				return most, 0, fmt.Errorf("weir replay: %w\n%s", err, said.Bytes())
			}
			return most, flows, nil
		case <-every.C:
			now, n, err := c.sample(root, cmd.Process.Pid)
			if err != nil {
				return most, 0, errors.Join(err, cmd.Process.Kill(), <-ended)
			}
			if now.all > most.all {
				most, flows = now, n
			}
		}
	}
}

// sample returns the memory of a set that has counted all packets but the last, and
// its flows; else nothing.
func (c *crowd) sample(root layout.Root, pid int) (now resident, flows uint64, err error) {
	counters, err := stat.Open(root.Stat("w00"))
	if err != nil {
		return now, 0, nil // not there yet, or not any more
	}
	defer func() { _ = counters.Close() }()
	var packets uint64
	for i, name := range counters.Names() {
		switch name {
		case "packets":
			packets = counters.Get(i)
		case "flows":
			flows = counters.Get(i)
		}
	}
	if packets != c.packets-1 {
		return now, 0, nil
	}
	if flows != uint64(c.flows) {
		return now, 0, fmt.Errorf("%d flows are alive after %d packets, want %d", flows, packets, c.flows)
	}
	pids, err := processTree(pid)
	if err != nil {
		return now, 0, err
	}
	now, err = memoryOf(pids)
	if gone(err) || now.byName["capd"] == 0 || now.byName["dpid"] == 0 || now.byName["policyd"] == 0 {
		return resident{}, 0, nil // one has ended: the last packet came, and is not in the counters yet
	}
	return now, flows, err
}
