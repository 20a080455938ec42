package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"weir/dpid/catalog"
	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/dpid/place"
	"weir/dpid/worker"
	"weir/proto/config"
	"weir/proto/flowkey"
	"weir/proto/verdict"
	"weir/shm/evtring"
	"weir/shm/hashset"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/stat"
)

// Magic words and versions of the files that dpid alone writes and maps.
const (
	slabMagic = 0x31424c5352494557 // "WEIRSLB1"
	hintMagic = 0x31544e4852494557 // "WEIRHNT1"
	filesABI  = 1
)

// files are everything a worker has open. Close lets go of it in the order that
// tells readers the truth: the event ring last but for the counters.
type files struct {
	rings   []*pktring.Consumer
	answers []*pktring.Producer // inline: what capd waits for, one ring for each of its threads
	events  *evtring.Producer
	slab    *layout.Mapping
	hints   *layout.Mapping
	others  []*layout.Mapping
	finals  *hashset.Writer // live: flows whose packets capd may pass on without payload
	counter *stat.File
	catalog *catalog.Catalog
	seed    flowkey.Seed
	fresh   bool
}

// openFiles opens, takes over or makes the files of worker n. It waits for those
// that others make until ctx is done. With an error it returns those it has.
func openFiles(ctx context.Context, cfg *config.Config, n int, log *slog.Logger) (f *files, err error) {
	f = new(files)
	root := layout.Root(cfg.Instance.Dir)
	raw, err := layout.Seed(root.Seed())
	if err != nil {
		return f, err
	}
	f.seed = flowkey.ParseSeed(&raw)
	tag := layout.InstanceTag(&raw, cfg.Workers.Count)
	if err := f.openOwn(cfg, root, n, tag); err != nil {
		return f, err
	}
	if cfg.Catalog.File != "" {
		if f.catalog, err = catalog.Open(cfg.Catalog.File); err != nil {
			return f, err
		}
	}
	for c := range cfg.Capture.Rings() {
		r, err := await(ctx, func() (*pktring.Consumer, error) {
			return pktring.OpenConsumer(root.PacketRing(c, n), root.PacketCursor(c, n), pktring.Options{
				Name: fmt.Sprintf("dpid@%02d", n), Mode: 0o640, Indices: &[2]uint16{uint16(c), uint16(n)}})
		})
		if err != nil {
			return f, err
		}
		f.rings = append(f.rings, r)
		if pos, bad := r.Poison(); bad {
			log.Warn("a packet killed this worker twice and is left out", "ring", c, "position", pos)
		}
	}
	if err := f.openAnswers(cfg, root, n, tag); err != nil {
		return f, err
	}
	if err := f.openFinals(cfg, root, n, tag); err != nil {
		return f, err
	}
	return f, f.openOthers(ctx, cfg, root, n)
}

// openAnswers makes or takes over the rings of answers, when capd is going to hold
// packets.
func (f *files) openAnswers(cfg *config.Config, root layout.Root, n int, tag uint32) error {
	if hold(cfg) == 0 {
		return nil
	}
	for c := range cfg.Capture.Rings() {
		p, err := pktring.OpenProducer(pktring.Config{
			Path: root.VerdictRing(n, c), CursorPath: root.VerdictCursor(n, c), Descriptors: verdict.RingRecords,
			PayloadBytes: pktring.MinPayload, Tag: tag, Producer: uint16(n), Consumer: uint16(c), Mode: 0o640,
		})
		if err != nil {
			return fmt.Errorf("open verdict ring: %w", err)
		}
		f.answers = append(f.answers, p)
	}
	return nil
}

// openFinals makes or takes over the set of final flows, where capd asks it.
func (f *files) openFinals(cfg *config.Config, root layout.Root, n int, tag uint32) (err error) {
	if offline(cfg) || !cfg.Capture.HeaderOnly {
		return nil
	}
	f.finals, err = hashset.Create(hashset.Config{
		Path: root.Final(n), Name: fmt.Sprintf("final flows of worker %d", n), Entries: cfg.Flow.MaxFlows, Tag: tag, Mode: 0o640,
	})
	return err
}

// hold is how long capd holds a packet for an answer, 0 when it does not.
func hold(cfg *config.Config) time.Duration {
	if cfg.Capture.Source != config.SourceNFQueue {
		return 0
	}
	return cfg.Capture.NFQueue.Hold
}

// openOwn makes or takes over what this worker writes.
func (f *files) openOwn(cfg *config.Config, root layout.Root, n int, tag uint32) (err error) {
	f.events, err = evtring.OpenProducer(evtring.Config{
		Path: root.EventRing(n), Capacity: int(cfg.Rings.EventSize), Worker: n, CursorDir: root.EventCursors(),
		Wait: offline(cfg), Tag: tag, Mode: 0o640,
	})
	if err != nil {
		return err
	}
	g := geometry(cfg)
	f.slab, f.fresh, err = layout.CreateOrOpen(root.Slab(n), layout.Spec{
		Magic: slabMagic, ABIMajor: filesABI, Size: int64(g.Size()), Tag: tag, Mode: 0o640, Sparse: offline(cfg),
		Params: [4]uint64{uint64(g.Flows), uint64(g.Chunks)}, Name: fmt.Sprintf("flows of worker %d", n),
	})
	if err != nil {
		return err
	}
	f.hints, _, err = layout.CreateOrOpen(root.Hint(n), layout.Spec{
		Magic: hintMagic, ABIMajor: filesABI, Size: hint.FileSize(cfg.Hint.DNSEntries), Mode: 0o640,
		Name: fmt.Sprintf("names of worker %d", n),
	})
	if err != nil {
		return err
	}
	f.counter, err = stat.Create(root.Stat(fmt.Sprintf("w%02d", n)), worker.CounterNames, 0o644)
	return err
}

// openOthers maps the hint tables of all workers, this one's first.
func (f *files) openOthers(ctx context.Context, cfg *config.Config, root layout.Root, n int) error {
	for w := range cfg.Workers.Count {
		if w == n {
			continue
		}
		m, err := await(ctx, func() (*layout.Mapping, error) {
			return layout.OpenRO(root.Hint(w), layout.Spec{Magic: hintMagic, ABIMajor: filesABI, Size: hint.FileSize(cfg.Hint.DNSEntries)})
		})
		if err != nil {
			return err
		}
		f.others = append(f.others, m)
	}
	return nil
}

// await calls open until the file is there. It gives up when ctx is done.
func await[T any](ctx context.Context, open func() (T, error)) (T, error) {
	for {
		v, err := open()
		if !errors.Is(err, layout.ErrAwait) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// build makes the worker over its files.
func (f *files) build(cfg *config.Config, n int, log *slog.Logger) (*worker.Worker, error) {
	timeouts := timeoutsOf(cfg)
	table, adopted, err := flow.Open(f.slab.Bytes(), f.fresh, f.events.Tail(), flow.Options{
		Geometry: geometry(cfg), Worker: uint8(n), Seed: &f.seed, SlabID: randomWord(),
		Probation: int(cfg.Flow.Probation * float64(cfg.Flow.MaxFlows)), Deadline: timeouts.Deadline(),
		Reserve: f.reserve,
	})
	if err != nil {
		return nil, err
	}
	if f.finals != nil {
		f.finals.About(table.ID())
	}
	tables := [][]byte{f.hints.Bytes()}
	for _, m := range f.others {
		tables = append(tables, m.Bytes())
	}
	spin, sleep := idle(cfg.Workers.Idle)
	return worker.New(worker.Settings{
		Worker: n, Offline: offline(cfg), Timeouts: timeouts, MaxPackets: cfg.Inspect.MaxPackets,
		Contexts: cfg.Inspect.Contexts, StatsInterval: cfg.Flow.StatsInterval, Spin: spin, Sleep: sleep,
		Hold: hold(cfg),
	}, worker.Parts{
		Rings: f.rings, Verdicts: f.answers, Events: f.events, Table: table, Adopted: adopted, Hints: hint.NewWriter(f.hints.Bytes()),
		Names: hint.NewReader(tables), Catalog: f.catalog, Finals: f.finals, Places: places(cfg, log), Export: f.export, Log: log,
	}), nil
}

// places is what is ours: offline, what the configuration says, and nothing that
// would depend on the machine.
func places(cfg *config.Config, log *slog.Logger) *place.Book {
	path := ""
	if !offline(cfg) {
		path = layout.Root(cfg.Instance.Dir).Network()
	}
	return place.Open(cfg.Capture.Local, path, log)
}

// reserve gets memory for a part of the slab that was never used: in a replay the
// slab is as large as a capture may need, and most need little of it.
func (f *files) reserve(part []byte) bool {
	return f.slab.Guard(func() error {
		for i := 0; i < len(part); i += 4096 {
			part[i] = 0
		}
		return nil
	}) == nil
}

// export copies the counters into the file that others read.
func (f *files) export(counters []byte) {
	for i := range worker.CounterNames {
		f.counter.Set(i, binary.LittleEndian.Uint64(counters[8*i:]))
	}
}

func (f *files) close() {
	for _, r := range f.rings {
		_ = r.Close()
	}
	for _, p := range f.answers {
		_ = p.Close()
	}
	if f.events != nil {
		_ = f.events.Close()
	}
	for _, m := range append([]*layout.Mapping{f.slab, f.hints}, f.others...) {
		if m != nil {
			_ = m.Close()
		}
	}
	if f.finals != nil {
		_ = f.finals.Close()
	}
	if f.counter != nil {
		_ = f.counter.Close()
	}
}

func offline(cfg *config.Config) bool { return cfg.Capture.Source == config.SourcePCAP }

func geometry(cfg *config.Config) flow.Geometry {
	return flow.Geometry{Flows: max(cfg.Flow.MaxFlows, 64), Chunks: max(int(cfg.Flow.Metadata)/flow.ChunkSize, 256)}
}

func timeoutsOf(cfg *config.Config) worker.Timeouts {
	t := cfg.Flow.Timeouts
	return worker.Timeouts{TCPEstablished: t.TCPEstablished, TCPClosing: t.TCPClosing, TCPUnanswered: t.TCPUnanswered,
		UDP: t.UDP, DNS: t.DNS, ICMP: t.ICMP, Other: t.Other, Active: t.Active}
}

// idle returns how a worker without packets waits: how often it looks before it
// yields, and the longest sleep.
func idle(how string) (spin int, sleep time.Duration) {
	switch how {
	case config.IdleSpin:
		return 1 << 20, time.Millisecond
	case config.IdleSleep:
		return 0, 10 * time.Millisecond
	}
	return pktring.Spin, 10 * time.Millisecond
}

func randomWord() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.LittleEndian.Uint64(b[:])
}
