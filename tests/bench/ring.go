package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"weir/shm/pktring"
)

// near is the round trip of a cache line above which two CPUs are called far.
const near = 250 // ns

// benchRing holds the packet ring between two processes against a byte ring in C
// between two processes, frame by frame of one size.
func benchRing(b *bench) error {
	for i, size := range []int{64, 128, 512, 1500} {
		r := row{what: fmt.Sprintf("packet ring, %d B", size), unit: "ns/packet", reference: "byte ring in C",
			want: []float64{0.27, 0.3, 0.5, 0.7}[i]}
		if err := b.ring(r, size); err != nil {
			if err := b.skipped(r, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) ring(r row, size int) error {
	theirs, err := b.compileC("ring", "/usr/include/stdlib.h", "libc6-dev")
	if err != nil {
		return err
	}
	count := 6_000_000
	if size > 512 {
		count = 2_000_000
	}
	if b.quick {
		count = 20_000
	}
	before := roundTrip()
	err = b.compare(r,
		func() (float64, error) { return b.ringOnce(size, count) },
		func() (ns float64, err error) {
			out, _, err := b.run(theirs, strconv.Itoa(size), strconv.Itoa(count))
			if err == nil {
				_, err = fmt.Sscan(out, &ns)
			}
			return ns, err
		})
	if err == nil {
		after := roundTrip()
		b.last().note = fmt.Sprintf("cache-line round trip %.0f ns before (%s), %.0f ns after (%s)", before, distance(before), after, distance(after))
	}
	return err
}

func distance(ns float64) string {
	if ns < near {
		return "near"
	}
	return "far"
}

// roundTrip returns how long a cache line takes to another CPU and back, in ns: the
// shortest of some, because whoever else runs only makes it longer.
func roundTrip() float64 {
	best := time.Hour
	for range 5 {
		best = min(best, pingPong(20_000))
	}
	return float64(best) / 20_000
}

func pingPong(n uint32) time.Duration {
	var line struct {
		_    [128]byte
		word atomic.Uint32
		_    [128]byte
	}
	go func() {
		runtime.LockOSThread()
		for i := uint32(0); i < n; i++ {
			for line.word.Load() != 2*i+1 { // spins: that is what is measured
			}
			line.word.Store(2*i + 2)
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	for i := uint32(0); i < n; i++ {
		line.word.Store(2*i + 1)
		for line.word.Load() != 2*i+2 {
		}
	}
	return time.Since(start)
}

// ringOnce moves count frames of size bytes to another process.
func (b *bench) ringOnce(size, count int) (ns float64, err error) {
	dir, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := pktring.OpenProducer(pktring.Config{
		Path: filepath.Join(dir, "ring"), CursorPath: filepath.Join(dir, "cursor"),
		Descriptors: 1 << 15, PayloadBytes: 8 << 20, Mode: 0o600,
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(b.ctx, self, "ring-consumer", dir, strconv.Itoa(count))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil { // "ready"
		return 0, errors.Join(fmt.Errorf("the reading process ended: %w", err), cmd.Wait())
	}
	if !p.ConsumerAlive() {
		return 0, errors.Join(errors.New("the reading process has no cursor"), cmd.Process.Kill(), cmd.Wait())
	}
	start := time.Now()
	putFrames(p, size, count)
	_, err = lines.ReadString('\n') // "done"
	took := time.Since(start)
	return float64(took) / float64(count), errors.Join(err, cmd.Wait())
}

// putFrames puts count frames in batches of 32.
func putFrames(p *pktring.Producer, size, count int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var desc [pktring.DescSize]byte
	var prefix [pktring.PrefixSize]byte
	frame := make([]byte, size)
	for i := range count {
		for !p.Put(desc[:], prefix[:], frame) {
			p.Publish()
		}
		if i%32 == 31 {
			p.Publish()
		}
	}
	p.Publish()
}

// takeFrames is the reading process: it looks at each descriptor and at the first
// byte of each frame, and never sleeps.
func takeFrames(args []string) error {
	if len(args) != 2 {
		return errors.New("want a folder and a number of frames")
	}
	dir := args[0]
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	c, err := pktring.OpenConsumer(filepath.Join(dir, "ring"), filepath.Join(dir, "cursor"), pktring.Options{Name: "bench", Mode: 0o600})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	sum := uint64(0)
	for got := 0; got < count; {
		run := c.Peek(32)
		k := len(run) / pktring.DescSize
		for ; len(run) > 0; run = run[pktring.DescSize:] {
			sum += le.Uint64(run) + uint64(c.Payload(run)[pktring.PrefixSize])
		}
		if k > 0 {
			c.Release(k)
			got += k
		}
	}
	fmt.Println("done")
	if sum != 0 {
		return fmt.Errorf("frames of zeros came with the sum %d", sum)
	}
	return c.Close()
}
