package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/flowkey"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// memoryRun is one worker over packets that lie in its ring already: everything that
// dpid does, and nothing that capd does. The files are like those of dpid, in shared
// memory; only the packet ring is private, so large that the capture fits.
type memoryRun struct {
	packets uint64
	cpu     time.Duration
	count   map[string]uint64
}

// packets is where a run in memory takes its packets from.
type packets interface {
	open() (source.Source, func(), error)
	size() (int64, error) // bytes of all frames, at least
}

// capture is a capture file.
type capture string

func (c capture) size() (int64, error) {
	st, err := os.Stat(string(c))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (c capture) open() (source.Source, func(), error) {
	f, err := source.Open(string(c))
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}

// frameList is frames in memory.
type frameList []source.Frame

func (l frameList) size() (n int64, err error) {
	for i := range l {
		n += int64(len(l[i].Data)) + 64
	}
	return n, nil
}

func (l frameList) open() (source.Source, func(), error) { return &walk{list: l}, func() {}, nil }

// walk is a source over a frameList.
type walk struct{ list frameList }

// Next implements source.Source.
func (w *walk) Next(f *source.Frame) error {
	if len(w.list) == 0 {
		return io.EOF
	}
	*f, w.list = w.list[0], w.list[1:]
	return nil
}

// runInMemory steers packets into a ring and then measures a worker that empties it.
func runInMemory(from packets, catalogFile string) (run memoryRun, err error) {
	err = inPlace(func(root layout.Root, seed *flowkey.Seed) error {
		ring, err := fill(from, seed, true)
		if err != nil {
			return err
		}
		w, done, err := newWorker(root, ring, catalogFile, seed, maxPackets)
		if err != nil {
			return errors.Join(err, done())
		}
		before := cpuTime()
		err = w.worker.Run(context.Background())
		run.cpu = cpuTime() - before
		run.count = w.count
		run.packets = w.count["packets"]
		return errors.Join(err, done())
	})
	return run, err
}

// fill returns the reading end of a ring that holds all the packets and, with end,
// the mark of their end.
func fill(from packets, seed *flowkey.Seed, end bool) (*pktring.Consumer, error) {
	size, err := from.size()
	if err != nil {
		return nil, err
	}
	bytes := 1 << 16
	for int64(bytes) < size*5/4 {
		bytes *= 2
	}
	p, c, err := pktring.NewHeap(pktring.Config{Descriptors: bytes / 64, PayloadBytes: bytes, Wait: true})
	if err != nil {
		return nil, err
	}
	s, err := steer.New(steer.Config{Seed: seed, Outputs: []steer.Output{p}})
	if err != nil {
		return nil, err
	}
	f, done, err := from.open()
	if err != nil {
		return nil, err
	}
	defer done()
	// The ring must hold all of it: a wait would be for ever.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Run(ctx, f); err != nil {
		return nil, fmt.Errorf("fill a ring of %d bytes: %w", bytes, err)
	}
	if !end {
		return c, nil
	}
	return c, s.Finish(ctx)
}

// benchMemory holds dpid, from records in memory to events, against libndpi alone on
// a capture in memory, one thread each.
func benchMemory(b *bench) error {
	for _, m := range mixes {
		r := row{what: "dpid, mix " + m.name, mix: true, unit: "ns/packet", reference: "libndpi alone", want: 2}
		if err := b.memory(r, m); err != nil {
			if err := b.skipped(r, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) memory(r row, m mix) error {
	file, err := b.mix(m)
	if err != nil {
		return err
	}
	theirs, err := b.compileC("ndpi", "/usr/include/ndpi/ndpi_api.h", "libndpi-dev", "-I/usr/include/ndpi", "-lndpi")
	if err != nil {
		return err
	}
	var packets, flows, classified uint64
	err = b.compare(r,
		func() (float64, error) {
			run, err := runInMemory(capture(file), b.catalog())
			packets, flows, classified = run.packets, run.count["created"], run.count["classified"]
			return float64(run.cpu) / float64(packets), err
		},
		func() (float64, error) {
			out, _, err := b.run(theirs, file)
			if err != nil {
				return 0, err
			}
			var n, flows, unknown, ns float64
			if _, err := fmt.Sscan(out, &n, &flows, &unknown, &ns); err != nil {
				return 0, fmt.Errorf("%s says %q: %w", theirs, out, err)
			}
			return ns / n, nil
		})
	if err == nil {
		b.rows[len(b.rows)-1].note = fmt.Sprintf("%d packets, %d flows, %d of them classified by their bytes", packets, flows, classified)
	}
	return err
}
