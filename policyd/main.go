// Command policyd decides about flows and has the kernel enforce it. It reads the
// events of the workers, never a packet.
//
//	policyd [enforce]        apply the rules to the events, until stopped
//	policyd check            check rules and sets, print every problem
//	policyd plan             what would the rules have done?
//	policyd flows            print flows as they end
//	policyd status           how the running policyd stands
//	policyd rules            what its rules did
//	policyd explain WHAT     why a flow is treated as it is, or what a rule did
//	policyd flush            remove everything of ours from the kernel
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"

	"weir/policyd/control"
	"weir/policyd/target"
	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/layout"
)

func main() { os.Exit(run(os.Args[1:])) }

// app is one run of a command.
type app struct {
	*daemon.Env
	program daemon.Program
	args    []string // of the command line, for a reload

	drain   bool
	early   bool
	json    bool
	flows   string // file of flow records
	workers int
}

// commands are what the first word selects, with the number of arguments it takes.
var commands = map[string]struct {
	run  func(*app, context.Context, daemon.Signals) error
	args int
}{
	"enforce": {(*app).enforce, 0},
	"check":   {(*app).check, 0},
	"plan":    {(*app).plan, 0},
	"flows":   {(*app).printFlows, 0},
	"status":  {(*app).status, 0},
	"rules":   {(*app).rules, 0},
	"explain": {(*app).explain, 1},
	"flush":   {(*app).flush, 0},
}

func run(args []string) int {
	a := &app{args: args}
	a.program = daemon.Program{
		Name: "policyd", Args: "[FLOW|ADDRESS|RULE]",
		Commands: []string{"enforce", "check", "plan", "flows", "status", "rules", "explain", "flush"},
		Formats: []daemon.Format{
			{Name: "shm", Version: fmt.Sprintf("%d.%d", layout.ABIMajor, layout.ABIMinor)},
			{Name: "events", Version: strconv.Itoa(event.Version)},
		},
		Flags: func(f *flag.FlagSet) {
			f.BoolVar(&a.drain, "drain", false, "enforce, plan, flows: end when every worker has ended and all is read")
			f.BoolVar(&a.early, "classified", false, "flows: print a flow when it is classified, or ends without")
			f.BoolVar(&a.json, "json", false, "print one JSON object a line")
			f.StringVar(&a.flows, "flows", "", "plan: read flow records from `FILE`, - for standard input, instead of rings")
			f.IntVar(&a.workers, "workers", 0, "read the rings of `N` workers (default: workers.count)")
		},
		Configure: a.configure,
	}
	env, status := a.program.Start(args)
	if env == nil {
		return status
	}
	a.Env = env
	name := cmp.Or(env.Command, "enforce")
	c := commands[name]
	if len(env.Args) != c.args {
		fmt.Fprintf(os.Stderr, "policyd %s: %d arguments given, want %d; see policyd -help\n", name, len(env.Args), c.args)
		return daemon.ExitUsage
	}
	if a.workers == 0 {
		a.workers = env.Config.Workers.Count
	}
	ctx, sig, stop := daemon.Watch(context.Background())
	defer stop()
	err := c.run(a, ctx, sig)
	if err != nil && !slices.Contains([]string{"enforce", "plan", "flows"}, name) {
		fmt.Fprintf(os.Stderr, "policyd %s: %v\n", name, err)
		return daemon.ExitFailure
	}
	return env.Finish(err, layout.ErrOwned, control.ErrRunning, target.ErrDiverged)
}
