// Command weir starts, supervises and stops the set of Weir's daemons where no
// service manager does: for replays, demos, containers and tests.
//
//	weir replay [-workers N] [-policy FILE] [-json] CAPTURE...
//	weir plan   [-workers N] [-policy FILE] [-json] -r CAPTURE
//
// It owns no packet and no flow: everything that matters is in the daemons and in
// the ring directory, so it can be as plain as a shell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  weir replay [-workers N] [-policy FILE] [-json] CAPTURE...   flows of captures
  weir plan [-workers N] [-policy FILE] [-json] -r CAPTURE     what would the policy have done?
"weir COMMAND -h" lists the flags.
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch args[0] {
	case "replay", "plan":
		return replayCommand(ctx, args[0], args[1:])
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
		return 0
	}
	fmt.Fprintf(os.Stderr, "weir: unknown command %q\n%s", args[0], usage)
	return 2
}

// replayCommand reads the flags of replay and plan.
func replayCommand(ctx context.Context, name string, args []string) int {
	j := job{Stdout: os.Stdout, Stderr: os.Stderr, Plan: name == "plan"}
	fs := flag.NewFlagSet("weir "+name, flag.ContinueOnError)
	fs.IntVar(&j.Workers, "workers", 1, "number of dpid workers")
	fs.StringVar(&j.Policy, "policy", "", "configuration file with the policy: [[rule]], [[set]], [policy] ...")
	fs.BoolVar(&j.JSON, "json", false, "one flow per line as JSON")
	fs.StringVar(&j.Dir, "dir", "", "ring directory to make and remove; default: a new one in /dev/shm")
	fs.BoolVar(&j.Keep, "keep", false, "leave the ring directory, for ringctl")
	fs.Float64Var(&j.Pace, "pace", 0, "1 = at recorded speed, N = N times as fast, 0 = as fast as possible")
	fs.StringVar(&j.LogLevel, "log-level", "warn", "debug, info, warn or error")
	fs.BoolVar(&j.Quiet, "quiet", false, "print no flows")
	capture := ""
	if j.Plan {
		fs.StringVar(&capture, "r", "", "the capture")
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	j.Captures = fs.Args()
	if capture != "" {
		j.Captures = append([]string{capture}, j.Captures...)
	}
	if err := j.check(); err != nil {
		fmt.Fprintf(os.Stderr, "weir: %v\n", err)
		return 2
	}
	if err := j.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "weir: %v\n", err)
		return 1
	}
	return 0
}
