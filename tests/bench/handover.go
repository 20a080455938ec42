package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"weir/shm/pktring"
)

// benchHandOver measures how long a packet takes from one process to another when
// both spin: half of the way there and back over two rings, against the round trip of
// a cache line, of which a hand-over needs at least one.
func benchHandOver(b *bench) error {
	rounds := 200_000
	if b.quick {
		rounds = 2000
	}
	r := row{what: "hand-over, spinning", unit: "ns", reference: "cache-line round trip", want: 3, atMost: true,
		note: "median of a frame of 64 B, there and back over two rings between two processes, halved; the clock's reading included"}
	return b.compare(r,
		func() (float64, error) { return b.handOver(rounds) },
		func() (float64, error) { return roundTrip(), nil })
}

// handOver returns half of the median round in ns.
func (b *bench) handOver(rounds int) (ns float64, err error) {
	dir, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p, err := pingProducer(dir, "ping")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(b.ctx, self, "ping-answer", dir, strconv.Itoa(rounds))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	times, err := rally(dir, p, out, rounds)
	if err != nil {
		return 0, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return float64(median(times)) / 2, cmd.Wait()
}

// rally plays ping against the process that says that it is ready on out.
func rally(dir string, p *pktring.Producer, out io.Reader, rounds int) (times []time.Duration, err error) {
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("the answering process ended: %w", err)
	}
	c, err := pingConsumer(dir, "pong")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if !p.ConsumerAlive() {
		return nil, errors.New("the answering process has no cursor")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	times = make([]time.Duration, rounds)
	for i := range times {
		start := time.Now()
		if err := pingPut(p); err != nil {
			return nil, err
		}
		if !pingTake(c) {
			return nil, errors.New("the answering process is silent")
		}
		times[i] = time.Since(start)
	}
	return times, nil
}

// answerPings is the other process.
func answerPings(args []string) (err error) {
	if len(args) != 2 {
		return errors.New("want a folder and a number of rounds")
	}
	rounds, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	c, err := pingConsumer(args[0], "ping")
	if err != nil {
		return err
	}
	p, err := pingProducer(args[0], "pong")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	runtime.LockOSThread()
	for i := range rounds {
		if !pingTake(c) {
			return errors.New("the measuring process is silent")
		}
		if i == 0 && !p.ConsumerAlive() { // it attached before its first ping
			return errors.New("the measuring process has no cursor")
		}
		if err := pingPut(p); err != nil {
			return err
		}
	}
	return errors.Join(p.Close(), c.Close())
}

func pingProducer(dir, name string) (*pktring.Producer, error) {
	return pktring.OpenProducer(pktring.Config{
		Path: filepath.Join(dir, name), CursorPath: filepath.Join(dir, name+".cur"),
		Descriptors: 1 << 10, PayloadBytes: 1 << 20, Mode: 0o600,
	})
}

func pingConsumer(dir, name string) (*pktring.Consumer, error) {
	return pktring.OpenConsumer(filepath.Join(dir, name), filepath.Join(dir, name+".cur"), pktring.Options{Name: "bench", Mode: 0o600})
}

// pingPut shows one frame to the other side.
func pingPut(p *pktring.Producer) error {
	var desc [pktring.DescSize]byte
	var prefix [pktring.PrefixSize]byte
	var frame [64]byte
	if !p.Put(desc[:], prefix[:], frame[:]) {
		return errors.New("no room in a ring that is empty")
	}
	p.Publish()
	return nil
}

// pingTake spins until there is a frame and takes it. It gives up when there is none
// for seconds, because the other side is gone.
func pingTake(c *pktring.Consumer) bool {
	for range 1 << 30 {
		run := c.Peek(1)
		if len(run) == 0 {
			continue
		}
		sink += uint64(c.Payload(run)[pktring.PrefixSize])
		c.Release(1)
		return true
	}
	return false
}
