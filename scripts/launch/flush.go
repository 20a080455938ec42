package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
)

// flushCommand takes out of the kernel what replays under a policy left there. policyd
// does that; it has to be told that it was a replay: the table of a live instance is
// not ours to remove.
func flushCommand(ctx context.Context, args []string) int {
	j := job{Workers: 1, LogLevel: "warn", Stdout: os.Stdout, Stderr: os.Stderr}
	fs := flag.NewFlagSet("weir flush", flag.ContinueOnError)
	fs.StringVar(&j.Policy, "policy", "", "configuration `FILE` with the policy: its own sets are emptied of what is ours")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fs.NArg() > 0 {
		return tell(usagef("flush: unexpected argument %q", fs.Arg(0)))
	}
	return tell(j.flush(ctx))
}

func (j *job) flush(ctx context.Context) error {
	if err := j.checkPolicyFile(); err != nil {
		return err
	}
	return j.inDir(ctx, func() error {
		cmd := exec.CommandContext(ctx, filepath.Join(j.bin, "policyd"), "flush", "-config", j.conf)
		cmd.Stdout, cmd.Stderr = j.Stdout, j.Stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return errTold
		}
		return err
	})
}
