package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

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

// inPlace calls f with a ring directory of its own, which is gone afterwards, and
// its seed.
func inPlace(f func(root layout.Root, seed *flowkey.Seed) error) (err error) {
	dir, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root := layout.Root(dir)
	if err := root.Make(0o750); err != nil {
		return err
	}
	raw, err := layout.Seed(root.Seed())
	if err != nil {
		return err
	}
	seed := flowkey.ParseSeed(&raw)
	return f(root, &seed)
}

// benchWorker is a worker with what it works on.
type benchWorker struct {
	worker *worker.Worker
	table  *flow.Table
	count  map[string]uint64
}

// newWorker opens a worker as dpid does, with the sizes that a replay of a large
// capture gets, and shows its dissectors inspect packets of a flow. done closes
// everything, also after an error.
func newWorker(root layout.Root, ring *pktring.Consumer, catalogFile string, seed *flowkey.Seed, inspect int) (w *benchWorker, done func() error, err error) {
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
		Offline: true, Timeouts: times, MaxPackets: inspect, Contexts: 1 << 15, Spin: pktring.Spin, Sleep: 10 * time.Millisecond,
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

// maxPackets is how many packets of a flow the configuration lets inspect.
const maxPackets = 32

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
