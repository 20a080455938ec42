package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/flowkey"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// apart holds steering and worker in two processes, as in production, against both
// by turns in one: what the ring and two sets of caches cost. CPU time of both.
func (b *bench) apart(s *stream) error {
	return inPlace(func(root layout.Root, seed *flowkey.Seed) error {
		return inPlace(func(other layout.Root, otherSeed *flowkey.Seed) error {
			t, done, err := newTurns(root, seed, b.catalog(), 1)
			if err != nil {
				return errors.Join(err, done())
			}
			t.step = 500
			if err := t.open(s.flows); err != nil {
				return errors.Join(err, done())
			}
			a, err := b.startApart(other, otherSeed, s.flows)
			if err != nil {
				return errors.Join(err, done())
			}
			err = b.compare(row{what: "final, capd and dpid apart", unit: "ns/packet", reference: "in one process", want: 0.75,
				note: "the packets of the row above; CPU time of both processes, waiting included"},
				func() (float64, error) { return a.pass(s.frames) },
				func() (float64, error) { ns, _, err := t.pass(s.frames); return ns, err })
			return errors.Join(err, a.end(), done())
		})
	})
}

// twoProcesses is this one, which steers, and another, in which the worker is.
type twoProcesses struct {
	out   *pktring.Producer
	feed  *turns // without a worker of its own
	other *exec.Cmd
}

func (b *bench) startApart(root layout.Root, seed *flowkey.Seed, flows int) (a *twoProcesses, err error) {
	a = &twoProcesses{}
	a.out, err = pktring.OpenProducer(pktring.Config{
		Path: root.PacketRing(0, 0), CursorPath: root.PacketCursor(0, 0), Descriptors: 1 << 15, PayloadBytes: 8 << 20, Wait: true, Mode: 0o600})
	if err != nil {
		return nil, err
	}
	a.feed = &turns{now: uint64(mixBase) * 1000, step: 500}
	if a.feed.steer, err = steer.New(steer.Config{Seed: seed, Outputs: []steer.Output{a.out}}); err != nil {
		return nil, errors.Join(err, a.out.Close())
	}
	self, err := os.Executable()
	if err != nil {
		return nil, errors.Join(err, a.out.Close())
	}
	a.other = exec.CommandContext(b.ctx, self, "worker", string(root), b.catalog(), strconv.Itoa(flows))
	a.other.Stderr = os.Stderr
	ready, err := a.other.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, a.out.Close())
	}
	if err := a.other.Start(); err != nil {
		return nil, errors.Join(err, a.out.Close())
	}
	if _, err = bufio.NewReader(ready).ReadString('\n'); err == nil {
		err = errors.Join(a.feed.firsts(flows, a.feed.put), a.drain())
	}
	if err != nil {
		return nil, errors.Join(err, a.other.Process.Kill(), a.other.Wait(), a.out.Close())
	}
	return a, nil
}

// pass returns the CPU time of a packet in both processes.
func (a *twoProcesses) pass(frames []source.Frame) (float64, error) {
	before, err := a.cpu()
	if err != nil {
		return 0, err
	}
	took := time.Duration(0)
	for at := 0; at < len(frames); at += pieceSize {
		piece := frames[at:min(at+pieceSize, len(frames))]
		took -= touch(piece)
		if err := a.feed.put(piece); err != nil {
			return 0, err
		}
	}
	if err := a.drain(); err != nil {
		return 0, err
	}
	after, err := a.cpu()
	return float64(took+after-before) / float64(len(frames)), err
}

func (a *twoProcesses) cpu() (time.Duration, error) {
	other, err := processTime(a.other.Process.Pid)
	return cpuTime() + other, err
}

// drain waits until the worker has taken everything.
func (a *twoProcesses) drain() error {
	if !a.out.ConsumerAlive() {
		return errors.New("the process of the worker has no cursor")
	}
	for end := time.Now().Add(time.Minute); a.out.InRing() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("the worker does not empty its ring")
		}
	}
	return nil
}

// end lets the other process end; its error is that of what it found in its table.
func (a *twoProcesses) end() error {
	err := a.feed.steer.Finish(context.Background())
	if err != nil {
		return errors.Join(err, a.other.Process.Kill(), a.other.Wait(), a.out.Close())
	}
	return errors.Join(a.other.Wait(), a.out.Close())
}

// workApart is the other process: a worker on a ring that another process fills.
func workApart(args []string) error {
	if len(args) != 3 {
		return errors.New("want a ring directory, a catalogue and a number of flows")
	}
	root := layout.Root(args[0])
	flows, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	raw, err := layout.Seed(root.Seed())
	if err != nil {
		return err
	}
	seed := flowkey.ParseSeed(&raw)
	c, err := pktring.OpenConsumer(root.PacketRing(0, 0), root.PacketCursor(0, 0), pktring.Options{Name: "bench", Mode: 0o600})
	if err != nil {
		return err
	}
	w, done, err := newWorker(root, c, args[1], &seed, 1)
	if err != nil {
		return errors.Join(err, done())
	}
	fmt.Println("ready")
	err = w.worker.Run(context.Background())
	if got := w.count["created"]; err == nil && got != uint64(flows) {
		err = fmt.Errorf("%d flows were made, want %d", got, flows)
	}
	return errors.Join(err, done(), c.Close())
}
