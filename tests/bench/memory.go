package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/dpid/catalog"
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/dpid/worker"
	"weir/proto/flowkey"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/stat"
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
	dir, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root := layout.Root(dir)
	if err := root.Make(0o750); err != nil {
		return run, err
	}
	raw, err := layout.Seed(root.Seed())
	if err != nil {
		return run, err
	}
	seed := flowkey.ParseSeed(&raw)
	ring, err := fill(from, &seed, true)
	if err != nil {
		return run, err
	}
	w, done, err := newWorker(root, ring, catalogFile, &seed)
	if err != nil {
		return run, err
	}
	before := cpuTime()
	err = w.worker.Run(context.Background())
	run.cpu = cpuTime() - before
	run.count = w.count
	run.packets = w.count["packets"]
	return run, errors.Join(err, done())
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

// benchWorker is a worker with what it works on.
type benchWorker struct {
	worker *worker.Worker
	table  *flow.Table
	count  map[string]uint64
}

// newWorker opens a worker as dpid does, with the sizes that a replay of a large
// capture gets. done closes everything.
func newWorker(root layout.Root, ring *pktring.Consumer, catalogFile string, seed *flowkey.Seed) (w *benchWorker, done func() error, err error) {
	var open []io.Closer
	done = func() (err error) {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
		return err
	}
	keep := func(c io.Closer) { open = append(open, c) }
	dissect.Prepare()
	events, err := evtring.OpenProducer(evtring.Config{
		Path: root.EventRing(0), Capacity: 8 << 20, CursorDir: root.EventCursors(), Wait: true, Mode: 0o640})
	if err != nil {
		return nil, done, err
	}
	keep(events)
	g := flow.Geometry{Flows: 1 << 21, Chunks: 1 << 21 * 128 / flow.ChunkSize}
	slab, fresh, err := layout.CreateOrOpen(root.Slab(0), layout.Spec{
		Magic: 0x42414c53, ABIMajor: 1, Size: int64(g.Size()), Mode: 0o640, Sparse: true})
	if err != nil {
		return nil, done, err
	}
	keep(slab)
	hints, _, err := layout.CreateOrOpen(root.Hint(0), layout.Spec{Magic: 0x544e4948, ABIMajor: 1, Size: hint.FileSize(1 << 16), Mode: 0o640})
	if err != nil {
		return nil, done, err
	}
	keep(hints)
	counters, err := stat.Create(filepath.Join(string(root), "stat", "w00"), worker.CounterNames, 0o644)
	if err != nil {
		return nil, done, err
	}
	keep(counters)
	names, err := catalog.Open(catalogFile)
	if err != nil {
		return nil, done, err
	}
	times := benchTimeouts
	table, adopted, err := flow.Open(slab.Bytes(), fresh, events.Tail(), flow.Options{
		Geometry: g, Seed: seed, SlabID: 1, Deadline: times.Deadline(), Probation: g.Flows,
		Reserve: func(part []byte) bool {
			for i := 0; i < len(part); i += os.Getpagesize() {
				part[i] = 0
			}
			return true
		}})
	if err != nil {
		return nil, done, err
	}
	w = &benchWorker{table: table, count: map[string]uint64{}}
	w.worker = worker.New(worker.Settings{
		Offline: true, Timeouts: times, MaxPackets: 32, Contexts: 1 << 15, Spin: pktring.Spin, Sleep: 10 * time.Millisecond,
	}, worker.Parts{
		Rings: []*pktring.Consumer{ring}, Events: events, Table: table, Adopted: adopted, Hints: hint.NewWriter(hints.Bytes()),
		Names: hint.NewReader([][]byte{hints.Bytes()}), Catalog: names, Log: slog.New(slog.DiscardHandler),
		Export: func(b []byte) {
			for i, n := range worker.CounterNames {
				w.count[n] = le.Uint64(b[8*i:])
			}
		},
	})
	return w, done, nil
}

// benchTimeouts are the defaults of the configuration.
var benchTimeouts = worker.Timeouts{
	TCPEstablished: 300 * time.Second, TCPClosing: 10 * time.Second, TCPUnanswered: 30 * time.Second,
	UDP: 60 * time.Second, DNS: 10 * time.Second, ICMP: 30 * time.Second, Other: 60 * time.Second,
}

// shmDir is where shared memory is, or the folder for temporary files.
func shmDir() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
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
