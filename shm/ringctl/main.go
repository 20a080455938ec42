// Command ringctl shows what is in the rings of an instance, and where packets are
// stuck. Without arguments it says that in words.
//
// It takes no part: it holds no lock, nobody waits for it, and it reads a copied
// directory as well as a live one. Only with -write it changes files, and only those
// that no process owns.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"weir/proto/daemon"
	"weir/proto/event"
	"weir/shm/layout"
)

// Exit statuses.
const (
	exitOK     = 0
	exitBroken = 1 // an error, or a law that does not hold
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(&plain{w: stdout})
	stderr = &plain{w: stderr}
	err := dispatch(ctx, args, out, stdout, stderr)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	var usage usageError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE), errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errBroken): // has been told
		return exitBroken
	case errors.As(err, &usage):
		if usage != "" {
			fmt.Fprintf(stderr, "ringctl: %s\n", string(usage))
		}
		return exitUsage
	}
	fmt.Fprintf(stderr, "ringctl: %v\n", err)
	return exitBroken
}

// errBroken ends a command that has told what is wrong.
var errBroken = errors.New("not all is well")

// usageError is a wrong command line; empty when the flag package has told it.
type usageError string

func (e usageError) Error() string { return string(e) }

func version() string {
	return daemon.Version("ringctl",
		daemon.Format{Name: "shm", Version: fmt.Sprintf("%d.%d", layout.ABIMajor, layout.ABIMinor)},
		daemon.Format{Name: "events", Version: strconv.Itoa(event.Version)})
}
