// Command weir starts, supervises and stops the set of Weir's daemons where no
// service manager does: for replays, demos, containers and tests.
//
//	weir replay [-workers N] [-policy FILE] [-json] CAPTURE...
//	weir live   [-workers N] [-policy FILE] [-json] -i INTERFACE
//	weir plan   [-workers N] [-policy FILE] [-json] -r CAPTURE
//	weir flush  [-policy FILE]
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
	"slices"
	"strings"
	"syscall"

	"weir/proto/config"
)

const usage = `usage:
  weir replay [-workers N] [-policy FILE] [-json] CAPTURE...   flows of captures
  weir live [-workers N] [-policy FILE] [-json] -i INTERFACE   flows as they are classified
  weir plan [-workers N] [-policy FILE] [-json] -r CAPTURE     what would the policy have done?
  weir flush [-policy FILE]                                    remove what replays left in the kernel
"weir COMMAND -h" lists the flags.
`

// Exit statuses, those of the daemons.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	// The daemons, not in the foreground of a terminal, write there; some terminals stop
	// who does that, unless he ignores it. They inherit that.
	signal.Ignore(syscall.SIGTTOU)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch args[0] {
	case "replay", "plan":
		return replayCommand(ctx, args[0], args[1:])
	case "live":
		return liveCommand(ctx, args[1:])
	case "flush":
		return flushCommand(ctx, args[1:])
	case "help", "-h", "-help", "--help":
		fmt.Print(usage)
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "weir: unknown command %q\n%s", args[0], usage)
	return exitUsage
}

// replayCommand reads the flags of replay and plan, and does the job.
func replayCommand(ctx context.Context, name string, args []string) int {
	j := job{Stdout: os.Stdout, Stderr: os.Stderr, Plan: name == "plan"}
	fs := j.flags(name)
	fs.Float64Var(&j.Pace, "pace", 0, "1 = at recorded speed, N = N times as fast, 0 = as fast as possible")
	capture := ""
	if j.Plan {
		fs.StringVar(&capture, "r", "", "the `CAPTURE`")
	}
	if status, ok := parse(fs, args); !ok {
		return status
	}
	j.Captures = fs.Args()
	if capture != "" {
		j.Captures = append([]string{capture}, j.Captures...)
	}
	err := j.check()
	if err == nil {
		err = j.run(ctx)
	}
	return tell(err)
}

// liveCommand reads the flags of live, and does the job until it is told to stop.
func liveCommand(ctx context.Context, args []string) int {
	j := job{Stdout: os.Stdout, Stderr: os.Stderr}
	fs := j.flags("live")
	names := fs.String("i", "", "`INTERFACE` to capture from; several with commas between")
	lan := fs.String("lan", "", "`INTERFACE` to our own networks, as -i; with -nfqueue it only says so")
	wan := fs.String("wan", "", "`INTERFACE` to other networks, as -i; with -nfqueue it only says so")
	fs.StringVar(&j.Queue, "nfqueue", "", "capture what a netfilter queue brings instead: `RULES` is forward, input, output, bridge or manual")
	fs.DurationVar(&j.Hold, "hold", 0, "with -nfqueue and -policy: hold packets until their flow is judged, for this `TIME` at most; 0 = only look")
	fs.IntVar(&j.Threads, "threads", 1, "capture threads of each interface, or queues from the first on")
	fs.StringVar(&j.Filter, "filter", "", "capture only what this tcpdump `EXPRESSION` matches")
	fs.DurationVar(&j.For, "for", 0, "stop after this time; 0 = when interrupted")
	if status, ok := parse(fs, args); !ok {
		return status
	}
	j.Interfaces, j.LAN, j.WAN = split(*names), split(*lan), split(*wan)
	if j.Queue == "" {
		for _, i := range slices.Concat(j.LAN, j.WAN) {
			if !slices.Contains(j.Interfaces, i) {
				j.Interfaces = append(j.Interfaces, i)
			}
		}
	}
	var err error
	switch {
	case fs.NArg() > 0:
		err = usagef("unexpected argument %q", fs.Arg(0))
	case (len(j.Interfaces) == 0) == (j.Queue == ""):
		err = usagef("give either an interface with -i, such as -i eth0, or rules with -nfqueue, such as -nfqueue forward")
	case j.Queue != "" && !slices.Contains(queueRules, j.Queue):
		err = usagef("-nfqueue %q: must be one of %s", j.Queue, strings.Join(queueRules, ", "))
	case j.Hold < 0:
		err = usagef("-hold %v: must not be negative", j.Hold)
	case j.Hold > 0 && (j.Queue == "" || j.Policy == ""):
		err = usagef("-hold %v: packets are held in netfilter queues, until a policy has judged their flow: give -nfqueue and -policy, too", j.Hold)
	case j.For < 0:
		err = usagef("-for %v: must not be negative", j.For)
	default:
		err = j.check()
	}
	if err == nil {
		err = j.run(ctx)
	}
	return tell(err)
}

// split takes a list of names apart.
func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// queueRules are the ways to bring packets to a queue.
var queueRules = []string{config.RulesForward, config.RulesInput, config.RulesOutput, config.RulesBridge, config.RulesManual}

// flags returns the flags that all jobs have.
func (j *job) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet("weir "+name, flag.ContinueOnError)
	fs.IntVar(&j.Workers, "workers", 1, "number of dpid workers")
	fs.StringVar(&j.Policy, "policy", "", "configuration `FILE` with the policy: [[rule]], [[set]], [policy] ...")
	fs.BoolVar(&j.JSON, "json", false, "one flow per line as JSON")
	fs.StringVar(&j.Dir, "dir", "", "ring directory to make and remove; default: a new one in /dev/shm")
	fs.BoolVar(&j.Keep, "keep", false, "leave the ring directory, for ringctl")
	fs.StringVar(&j.LogLevel, "log-level", "warn", "debug, info, warn or error")
	fs.BoolVar(&j.Quiet, "quiet", false, "print no flows")
	return fs
}

// parse reads args; when it reports false the command is over, with status.
func parse(fs *flag.FlagSet, args []string) (status int, ok bool) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitUsage, false
	}
	return exitOK, true
}

// errTold is a failure that was told already.
var errTold = errors.New("told already")

// tell prints what went wrong and returns the exit status.
func tell(err error) int {
	var u *usageError
	var p *policyError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errTold):
		return exitFailure
	case errors.As(err, &p): // each line begins with file and line
		fmt.Fprintln(os.Stderr, p)
		return exitUsage
	case errors.As(err, &u):
		fmt.Fprintf(os.Stderr, "weir: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "weir: %v\n", err)
	return exitFailure
}
