package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/daemon"
	"weir/proto/pkt"
	"weir/proto/topology"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// replay is capd over capture files: one thread, one ring per worker.
type replay struct {
	base
	rings []*pktring.Producer
	steer *steer.Steerer
	beat  time.Time
	seen  int // interfaces of the present file that the topology has
	file  *source.File
}

// openReplay takes over or makes the rings, and finds out whether an earlier capd died
// in the middle of this run.
func openReplay(env *daemon.Env, dump <-chan os.Signal) (r *replay, err error) {
	r = new(replay)
	defer func() {
		if err != nil {
			_ = r.close()
		}
	}()
	if r.base, err = openBase(env, dump); err != nil {
		return r, err
	}
	if r.rings, err = r.openRings(0, true); err != nil {
		return r, err
	}
	if err := r.openCounters(); err != nil {
		return r, err
	}
	r.topo.Captures = identify(r.cfg.Capture.Files)
	var last []pkt.Descriptor
	if r.old != nil && slices.Equal(r.old.Captures, r.topo.Captures) {
		last = r.last()
	}
	if last != nil {
		r.log.Info("going on where an earlier capd left these captures")
		r.topo.Interfaces = r.roles(r.old.Interfaces) // others print by them while we read them again
	}
	if err := r.topo.Save(r.root.Topology()); err != nil {
		return r, err
	}
	cfg := steer.Config{Seed: &r.seed, Outputs: outputs(r.rings), Last: last, Housekeep: r.housekeep}
	if r.cfg.Capture.Pace > 0 {
		if cfg.Pace, err = steer.NewPace(r.cfg.Capture.Pace, nil); err != nil {
			return r, err
		}
	}
	r.steer, err = steer.New(cfg)
	return r, err
}

// last says how far an earlier capd that delivered the same captures into this
// directory came in each ring, nil when it did not begin. It may have come to the end,
// and been killed before it could say so by its exit.
func (r *replay) last() (last []pkt.Descriptor) {
	begun := false
	for _, p := range r.rings {
		var d pkt.Descriptor
		if desc, ok := p.Last(); ok && !p.Fresh() {
			d, begun = pkt.Descriptor(desc[:]), true
		}
		last = append(last, d)
	}
	if !begun {
		return nil
	}
	return last
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
func (r *replay) run(ctx context.Context) error {
	r.ready()
	err := pktring.Guard(r.rings, func() error { return r.captures(ctx) })
	if errors.Is(err, layout.ErrRingLost) {
		return fmt.Errorf("packet rings in %s: start again, nobody may truncate or delete them in use: %w", r.root, err)
	}
	return err
}

// captures steers all captures, one after the other. A capture that ends in an
// error has given all it could; the others follow, and the error is told at the end.
func (r *replay) captures(ctx context.Context) error {
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
	r.show()
	return errors.Join(errs...)
}

// leave ends a run that was told to stop: what was read is published, no end mark
// follows, because the capture was not read to its end.
func (r *replay) leave(errs []error) error {
	for _, p := range r.rings {
		p.Publish()
	}
	r.show()
	return errors.Join(errs...)
}

func (r *replay) capture(ctx context.Context, name string) error {
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
func (r *replay) housekeep() error {
	now := time.Now()
	if now.Sub(r.beat) < 100*time.Millisecond {
		return nil
	}
	r.beat = now
	if err := upkeep(r.rings); err != nil {
		return err
	}
	r.show()
	select {
	case <-r.dump:
		c := r.steer.Counters()
		r.log.Info("state", "frames", r.steer.Frames(), "delivered", c[steer.Delivered], "time", time.Unix(0, int64(r.steer.Time())).UTC())
	default:
	}
	return nil
}

// interfaces keeps the names of the interfaces met so far in the topology.
func (r *replay) interfaces() {
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
			r.topo.Interfaces = append(r.topo.Interfaces, topology.Interface{Index: uint16(i), Name: name, Role: r.cfg.Capture.Role(name)})
		}
	}
	r.seen = len(all)
	r.saveTopology()
}

// show lets others see counters and interfaces.
func (r *replay) show() {
	r.interfaces()
	c := r.steer.Counters()
	r.export(&c, r.steer.Frames(), r.steer.Time())
}

func (r *replay) close() error { return r.base.close(r.rings) }
