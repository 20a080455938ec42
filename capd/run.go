package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/flowkey"
	"weir/proto/pkt"
	"weir/proto/topology"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/stat"
)

// runner is capd over capture files: one thread, one ring per worker.
type runner struct {
	cfg   *config.Config
	log   *slog.Logger
	env   *daemon.Env
	root  layout.Root
	rings []*pktring.Producer
	steer *steer.Steerer
	stat  *stat.File
	topo  topology.Topology
	dump  <-chan os.Signal
	beat  time.Time
	seen  int // interfaces of the present file that the topology has
	file  *source.File
}

// open takes over or makes the rings, and finds out whether an earlier capd died
// in the middle of this run.
func open(env *daemon.Env) (r *runner, err error) {
	r = &runner{cfg: env.Config, log: env.Log, env: env, root: layout.Root(env.Config.Instance.Dir)}
	defer func() {
		if err != nil {
			_ = r.close()
		}
	}()
	if err := r.root.Make(0o750); err != nil {
		return r, err
	}
	raw, err := layout.Seed(r.root.Seed())
	if err != nil {
		return r, err
	}
	seed := flowkey.ParseSeed(&raw)
	captures := identify(r.cfg.Capture.Files)
	old, err := topology.Load(r.root.Topology())
	again := err == nil && slices.Equal(old.Captures, captures)
	outputs, last, err := r.openRings(layout.InstanceTag(&raw, r.cfg.Workers.Count), again)
	if err != nil {
		return r, err
	}
	var names []string
	for _, o := range steer.Outcomes() {
		names = append(names, o.String())
	}
	if r.stat, err = stat.Create(r.root.Stat("capd"), append(names, "frames", "time_ns"), 0o644); err != nil {
		return r, err
	}
	r.topo = topology.Topology{Threads: 1, Workers: r.cfg.Workers.Count, SeedID: seed.ID, Captures: captures}
	if last != nil {
		r.topo.Interfaces = old.Interfaces // others print by them while we read them again
	}
	if err := r.topo.Save(r.root.Topology()); err != nil {
		return r, err
	}
	cfg := steer.Config{Seed: &seed, Outputs: outputs, Last: last, Housekeep: r.housekeep}
	if r.cfg.Capture.Pace > 0 {
		if cfg.Pace, err = steer.NewPace(r.cfg.Capture.Pace, nil); err != nil {
			return r, err
		}
	}
	r.steer, err = steer.New(cfg)
	return r, err
}

// openRings opens the ring of each worker. again says that an earlier capd delivered
// the same captures into this directory: then last says how far it came in each ring.
// It may have come to the end, and been killed before it could say so by its exit.
func (r *runner) openRings(tag uint32, again bool) (outputs []steer.Output, last []pkt.Descriptor, err error) {
	resume := false
	for w := range r.cfg.Workers.Count {
		path := r.root.PacketRing(0, w)
		p, err := pktring.OpenProducer(pktring.Config{
			Path: path, CursorPath: r.root.PacketCursor(0, w), Descriptors: r.cfg.Rings.PacketDescriptors,
			PayloadBytes: int(r.cfg.Rings.PacketPayload), Wait: true, Tag: tag, Producer: 0, Consumer: uint16(w), Mode: 0o640,
		})
		if err != nil {
			return nil, nil, err
		}
		r.rings = append(r.rings, p)
		outputs = append(outputs, p)
		var d pkt.Descriptor
		if desc, ok := p.Last(); ok && again && !p.Fresh() {
			d, resume = pkt.Descriptor(desc[:]), true
		}
		last = append(last, d)
	}
	if !resume {
		return outputs, nil, nil
	}
	r.log.Info("going on where an earlier capd left these captures")
	return outputs, last, nil
}

// identify tells captures from others, and from what they were before they changed.
func identify(files []string) []string {
	ids := make([]string, len(files))
	for i, f := range files {
		ids[i] = f
		if st, err := os.Stat(f); err == nil {
			ids[i] = fmt.Sprintf("%s %d %d", f, st.Size(), st.ModTime().UnixNano())
		}
	}
	return ids
}

// run steers all captures and survives the loss of a ring's memory, which whoever
// truncates the file brings about. One guard for all: a batch is not the place
// for it, because nothing can go on after.
func (r *runner) run(ctx context.Context) error {
	if err := r.env.Systemd.Ready(); err != nil {
		r.log.Warn("service manager", "error", err)
	}
	err := pktring.Guard(r.rings, func() error { return r.captures(ctx) })
	if errors.Is(err, layout.ErrRingLost) {
		return fmt.Errorf("packet rings in %s: start again, nobody may truncate or delete them in use: %w", r.root, err)
	}
	return err
}

// captures steers all captures, one after the other. A capture that ends in an
// error has given all it could; the others follow, and the error is told at the end.
func (r *runner) captures(ctx context.Context) error {
	var errs []error
	for _, name := range r.cfg.Capture.Files {
		if err := r.capture(ctx, name); err != nil {
			if ctx.Err() != nil {
				return r.leave(errs)
			}
			if !isCaptureError(err) {
				return err
			}
			errs = append(errs, err)
		}
	}
	if err := r.steer.Finish(ctx); err != nil && ctx.Err() == nil {
		errs = append(errs, err)
	}
	r.export()
	return errors.Join(errs...)
}

// leave ends a run that was told to stop: what was read is published, no end mark
// follows, because the capture was not read to its end.
func (r *runner) leave(errs []error) error {
	for _, p := range r.rings {
		p.Publish()
	}
	r.export()
	return errors.Join(errs...)
}

func (r *runner) capture(ctx context.Context, name string) error {
	f, err := source.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r.file, r.seen = f, 0
	r.interfaces()
	before, first := r.steer.Counters(), r.steer.Frames()
	if err := r.steer.Run(ctx, f); err != nil {
		return err
	}
	e := unreadLinks(f, r.steer.Frames()-first, r.steer.Counters()[steer.UnknownLink]-before[steer.UnknownLink])
	if e != nil && e.unread < e.frames {
		r.log.Warn("part of a capture is left out", "error", e)
		e = nil
	}
	if e == nil {
		return nil // not e: an error that holds no linkError is not nil
	}
	return e
}

// isCaptureError reports whether err is about a capture, so that others can still
// be read.
func isCaptureError(err error) bool {
	var e *source.Error
	var l *linkError
	var p *os.PathError
	return errors.As(err, &e) || errors.As(err, &l) || errors.As(err, &p)
}

// housekeep runs once a batch; what costs runs at most every 100 ms.
func (r *runner) housekeep() error {
	now := time.Now()
	if now.Sub(r.beat) < 100*time.Millisecond {
		return nil
	}
	r.beat = now
	for _, p := range r.rings {
		rebuilt, err := p.Housekeeping()
		if err != nil {
			return err
		}
		if rebuilt {
			return fmt.Errorf("a packet ring was deleted while it was in use: %w", layout.ErrRingLost)
		}
	}
	r.interfaces()
	r.export()
	select {
	case <-r.dump:
		c := r.steer.Counters()
		r.log.Info("state", "frames", r.steer.Frames(), "delivered", c[steer.Delivered], "time", time.Unix(0, int64(r.steer.Time())).UTC())
	default:
	}
	return nil
}

// interfaces keeps the names of the interfaces met so far in the topology.
func (r *runner) interfaces() {
	if r.file == nil {
		return
	}
	all := r.file.Interfaces()
	if len(all) == r.seen {
		return
	}
	for i := r.seen; i < len(all); i++ {
		name := all[i].Name
		if name == "" {
			name = fmt.Sprintf("pcap%d", i)
		}
		if r.topo.Name(uint16(i)) == "" {
			r.topo.Interfaces = append(r.topo.Interfaces, topology.Interface{Index: uint16(i), Name: name})
		}
	}
	r.seen = len(all)
	if err := r.topo.Save(r.root.Topology()); err != nil {
		r.log.Warn("interface names are not known to others", "error", err)
	}
}

func (r *runner) export() {
	r.interfaces()
	c := r.steer.Counters()
	for i, v := range c {
		r.stat.Set(i, v)
	}
	r.stat.Set(len(c), r.steer.Frames())
	r.stat.Set(len(c)+1, r.steer.Time())
}

func (r *runner) close() (err error) {
	for _, p := range r.rings {
		err = errors.Join(err, p.Close())
	}
	if r.stat != nil {
		err = errors.Join(err, r.stat.Close())
	}
	return err
}
