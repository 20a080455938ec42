// Command dpid is one DPI worker: it reads packets from the rings of capd, keeps
// the flows, finds out what they are, and writes events for everybody else.
//
//	dpid -worker 0            work on the rings of worker 0
//	dpid catalog compile ...  make a compiled catalogue (see dpid/catalog)
//
// It parses hostile bytes, so it gives up every privilege before it reads the
// first packet.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"

	"weir/dpid/catalog"
	"weir/dpid/dissect"
	"weir/dpid/sandbox"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/layout"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && args[0] == "catalog" {
		return catalog.Main(args[1:])
	}
	number := 0
	env, status := daemon.Program{
		Name: "dpid",
		Formats: []daemon.Format{
			{Name: "shm", Version: fmt.Sprintf("%d.%d", layout.ABIMajor, layout.ABIMinor)},
			{Name: "events", Version: strconv.Itoa(event.Version)},
			{Name: "slab", Version: strconv.Itoa(filesABI)},
		},
		Flags: func(f *flag.FlagSet) { f.IntVar(&number, "worker", 0, "number of this worker, from 0") },
		Configure: func(c *config.Config) error {
			if number < 0 || number > 255 {
				return fmt.Errorf("-worker %d: must be 0 to 255", number)
			}
			return nil
		},
	}.Start(args)
	if env == nil {
		return status
	}
	if number >= env.Config.Workers.Count {
		env.Log.Error("no such worker", "worker", number, "workers.count", env.Config.Workers.Count)
		return daemon.ExitUsage
	}
	ctx, _, stop := daemon.Watch(context.Background())
	defer stop()
	env.Log = env.Log.With("worker", number)
	return env.Finish(work(ctx, env, number), layout.ErrOwned, layout.ErrRingLost, layout.ErrAwait)
}

// work opens everything, closes the process in, and runs the worker.
func work(ctx context.Context, env *daemon.Env, number int) (err error) {
	cfg := env.Config
	dissect.Prepare()
	f, err := openFiles(ctx, cfg, number, env.Log)
	// Readers take a ring that is closed for the end of all flows. Who fails leaves it
	// as a kill would: another process may go on with it.
	defer func() {
		if err == nil {
			f.close()
		}
	}()
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to leave while it waited
		}
		return err
	}
	// The rings are attached; closed in, the process could not reach the manager.
	if err := env.Systemd.Ready(); err != nil {
		env.Log.Warn("service manager", "error", err)
	}
	closed, err := sandbox.Enter(cfg.Workers.User, cfg.Instance.Dir)
	if err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	if _, err := os.ReadDir(layout.Root(cfg.Instance.Dir).EventCursors()); err != nil {
		return fmt.Errorf("user %s cannot look for readers of its events: %w: give the folders in %s to its group (chgrp, chmod 2750)",
			closed.User, err, cfg.Instance.Dir)
	}
	env.Log.Debug("closed in", "user", closed.User, "landlock", closed.Landlock, "seccomp", closed.Seccomp)
	w, err := f.build(cfg, number, env.Log)
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // the heap is small and steady; what is large is mapped
	return w.Run(ctx)
}
