// Command capd captures packets and hands each to the worker that owns its flow,
// through rings in shared memory. It looks at packets only as far as the transport
// header; what they say is dpid's business, in a process without privileges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"weir/capd/filter"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/layout"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	var o options
	env, status := daemon.Program{
		Name: "capd", Args: "[CAPTURE]...",
		Formats: []daemon.Format{
			{Name: "shm", Version: fmt.Sprintf("%d.%d", layout.ABIMajor, layout.ABIMinor)},
			{Name: "events", Version: strconv.Itoa(event.Version)},
		},
		Commands: []string{"rules"}, Print: o.print,
		Flags: o.flags, Configure: o.configure,
	}.Start(args)
	if env == nil {
		return status
	}
	if env.Command == "rules" {
		env.Log.Error("capd rules only prints what capd would install: say \"capd rules -print\"")
		return daemon.ExitUsage
	}
	if len(env.Args) > 0 {
		env.Config.Capture.Files = env.Args
	}
	ctx, sig, stop := daemon.Watch(context.Background())
	defer stop()
	r, err := o.open(env, sig.Dump)
	if err == nil {
		err = r.run(ctx)
		err = errors.Join(err, r.close())
	}
	return env.Finish(err, layout.ErrOwned, layout.ErrRingLost)
}

// capture is one way to capture.
type capture interface {
	run(ctx context.Context) error
	close() error
}

// options are capd's own flags.
type options struct {
	iface, filter string
}

func (o *options) flags(s *flag.FlagSet) {
	s.StringVar(&o.iface, "i", "", "capture from `INTERFACE`, whatever the configuration says of the source")
	s.StringVar(&o.filter, "filter", "", "capture only what this tcpdump `EXPRESSION` matches")
}

// configure applies the flags, and refuses what cannot work before anything is opened.
func (o *options) configure(c *config.Config) error {
	if o.iface != "" {
		c.Capture.Source, c.Capture.Files, c.Capture.Pace = config.SourceTPacket, nil, 0
		c.Capture.Interfaces = []config.Interface{{Name: o.iface}}
	}
	if o.filter != "" {
		c.Capture.Filter = o.filter
	}
	if c.Capture.Filter == "" {
		return nil
	}
	if c.Capture.Source != config.SourceTPacket {
		return fmt.Errorf("capture.filter = %q: only packet sockets have a filter, and capture.source is %q", c.Capture.Filter, c.Capture.Source)
	}
	if _, err := filter.Compile(c.Capture.Filter, filter.LinkEthernet, wholeFrame); err != nil {
		return fmt.Errorf("capture.filter: %w", err)
	}
	return nil
}

// print prints what the command "rules" is about.
func (o *options) print(w io.Writer, _ string, c *config.Config) error { return printRules(w, c) }

// open opens what the configuration wants.
func (o *options) open(env *daemon.Env, dump <-chan os.Signal) (capture, error) {
	c := &env.Config.Capture
	switch {
	case c.Source != config.SourcePCAP:
		return openLive(env, dump, o.iface != "")
	case len(c.Files) == 0:
		return nil, errors.New("nothing to capture: give capture files, or -i INTERFACE, or set capture.files")
	}
	return openReplay(env, dump)
}
