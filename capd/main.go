// Command capd captures packets and hands each to the worker that owns its flow,
// through rings in shared memory. It looks at packets only as far as the transport
// header; what they say is dpid's business, in a process without privileges.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/layout"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	env, status := daemon.Program{
		Name: "capd", Args: "[CAPTURE]...",
		Formats: []daemon.Format{
			{Name: "shm", Version: fmt.Sprintf("%d.%d", layout.ABIMajor, layout.ABIMinor)},
			{Name: "events", Version: strconv.Itoa(event.Version)},
		},
		Configure: check,
	}.Start(args)
	if env == nil {
		return status
	}
	if len(env.Args) > 0 {
		env.Config.Capture.Files = env.Args
	}
	if len(env.Config.Capture.Files) == 0 {
		env.Log.Error("nothing to capture: give capture files, or set capture.files")
		return daemon.ExitUsage
	}
	ctx, sig, stop := daemon.Watch(context.Background())
	defer stop()
	r, err := open(env)
	if err == nil {
		r.dump = sig.Dump
		err = r.run(ctx)
		err = errors.Join(err, r.close())
	}
	return env.Finish(err, layout.ErrOwned, layout.ErrRingLost)
}

// check refuses what this version of capd cannot do, before anything is opened.
func check(c *config.Config) error {
	if c.Capture.Source != config.SourcePCAP {
		return fmt.Errorf("capture.source = %q: this build reads capture files only, set %q", c.Capture.Source, config.SourcePCAP)
	}
	return nil
}
