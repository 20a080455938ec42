package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// used is what a program and all programs that it started and waited for have used.
type used struct {
	user, system time.Duration
	wall         time.Duration
	maxRSS       int64 // bytes, of the largest of them
}

func (u used) cpu() time.Duration { return u.user + u.system }

// run runs a program to its end and returns its standard output.
func (b *bench) run(program string, args ...string) (string, used, error) {
	cmd := exec.CommandContext(b.ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	if err != nil {
		return "", used{}, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, errs.String())
	}
	u := used{wall: time.Since(start), user: cmd.ProcessState.UserTime(), system: cmd.ProcessState.SystemTime()}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.maxRSS = int64(r.Maxrss) * 1024 // KiB on Linux
	}
	return out.String(), u, nil
}
