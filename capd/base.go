package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"weir/capd/steer"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/flowkey"
	"weir/proto/topology"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/stat"
)

// base is what every capd has, whatever it captures: the directory of the instance,
// its seed, the topology and the counters.
type base struct {
	cfg  *config.Config
	log  *slog.Logger
	env  *daemon.Env
	root layout.Root
	seed flowkey.Seed
	tag  uint32             // of all rings of this instance
	old  *topology.Topology // what an earlier capd left; nil: nothing
	topo topology.Topology
	stat *stat.File
	dump <-chan os.Signal
}

// openBase makes or takes over the directory.
func openBase(env *daemon.Env, dump <-chan os.Signal) (b base, err error) {
	b = base{cfg: env.Config, log: env.Log, env: env, root: layout.Root(env.Config.Instance.Dir), dump: dump}
	if err := b.root.Make(0o750); err != nil {
		return b, err
	}
	raw, err := layout.Seed(b.root.Seed())
	if err != nil {
		return b, err
	}
	b.seed = flowkey.ParseSeed(&raw)
	b.tag = layout.InstanceTag(&raw, b.cfg.Workers.Count)
	b.topo = topology.Topology{Threads: b.cfg.Capture.Rings(), Workers: b.cfg.Workers.Count, SeedID: b.seed.ID}
	if b.old, err = topology.Load(b.root.Topology()); err != nil {
		b.old = nil // it is made anew
	}
	return b, nil
}

// openCounters makes or takes over the counter file. more are counters beside those of
// frames.
func (b *base) openCounters(more ...string) (err error) {
	var names []string
	for _, o := range steer.Outcomes() {
		names = append(names, o.String())
	}
	names = append(names, "frames", "time_ns")
	b.stat, err = stat.Create(b.root.Stat("capd"), append(names, more...), 0o644)
	return err
}

// openRings opens the rings of capture thread c to all workers. Those that it opened
// before an error are returned too.
func (b *base) openRings(c int, wait bool) (rings []*pktring.Producer, err error) {
	for w := range b.cfg.Workers.Count {
		p, err := pktring.OpenProducer(pktring.Config{
			Path: b.root.PacketRing(c, w), CursorPath: b.root.PacketCursor(c, w), Descriptors: b.cfg.Rings.PacketDescriptors,
			PayloadBytes: int(b.cfg.Rings.PacketPayload), Wait: wait, Tag: b.tag, Producer: uint16(c), Consumer: uint16(w), Mode: 0o640,
		})
		if err != nil {
			return rings, err
		}
		rings = append(rings, p)
	}
	return rings, nil
}

// outputs are the rings as a steerer wants them.
func outputs(rings []*pktring.Producer) []steer.Output {
	list := make([]steer.Output, len(rings))
	for i, p := range rings {
		list[i] = p
	}
	return list
}

// upkeep keeps the owner's lines of rings fresh. It costs some system calls.
func upkeep(rings []*pktring.Producer) error {
	for _, p := range rings {
		rebuilt, err := p.Housekeeping()
		if err != nil {
			return err
		}
		if rebuilt {
			return fmt.Errorf("a packet ring was deleted while it was in use: %w", layout.ErrRingLost)
		}
	}
	return nil
}

// ready tells the service manager that packets are taken from here on.
func (b *base) ready() {
	if err := b.env.Systemd.Ready(); err != nil {
		b.log.Warn("service manager", "error", err)
	}
}

// saveTopology writes the topology. Without it others lack names, nothing else.
func (b *base) saveTopology() {
	if err := b.topo.Save(b.root.Topology()); err != nil {
		b.log.Warn("interface names are not known to others", "error", err)
	}
}

// export shows the counters to others.
func (b *base) export(c *steer.Counters, frames, now uint64, more ...uint64) {
	for i, v := range c {
		b.stat.Set(i, v)
	}
	for i, v := range append([]uint64{frames, now}, more...) {
		b.stat.Set(len(c)+i, v)
	}
}

func (b *base) close(rings []*pktring.Producer) (err error) {
	for _, p := range rings {
		err = errors.Join(err, p.Close())
	}
	if b.stat != nil {
		err = errors.Join(err, b.stat.Close())
	}
	return err
}
