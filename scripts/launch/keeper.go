package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// keeper is the service manager's end of one daemon's watchdog, sd_notify(3). Like a
// service manager it is on its guard when the daemon has said that it is ready.
type keeper struct {
	conn *net.UnixConn
	name string
}

// watchdogTime is how long a daemon may be silent. capd itself finds out earlier that
// one of its threads hangs; this is for when all of it stands still.
const watchdogTime = 5 * time.Second

// newKeeper opens a socket whose name nobody knows beforehand. It is not a file: the
// ring directory may lie too deep for the name of a socket.
func newKeeper() (*keeper, error) {
	name := "@weir-" + rand.Text()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("open a socket for signs of life: %w", err)
	}
	return &keeper{c, name}, nil
}

// environ is what a daemon must find in its environment.
func (k *keeper) environ() []string {
	return append(os.Environ(), "NOTIFY_SOCKET="+k.name, "WATCHDOG_PID=", "WATCHDOG_USEC="+strconv.FormatInt(watchdogTime.Microseconds(), 10))
}

// watch calls bite when the daemon falls silent for longer than limit, and returns
// then, or when the keeper is closed.
func (k *keeper) watch(limit time.Duration, bite func()) {
	var message [4096]byte
	for missed := 0; missed < 2; {
		n, err := k.conn.Read(message[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Twice: where it was this process that stood still, the signs of life
			// are waiting in the socket.
			missed++
		case err != nil:
			return
		case bytes.Contains(message[:n], []byte("READY=1")), bytes.Contains(message[:n], []byte("WATCHDOG=1")):
			missed = 0
		default:
			continue
		}
		_ = k.conn.SetReadDeadline(time.Now().Add(limit / 2)) // a socket has deadlines
	}
	bite()
}

// keep prepares the watchdog of a live capd: what stands still in it are the packets of
// the whole network. watch is to run beside the daemon, stop is for its end.
func keep(j *job, name string, cmd *exec.Cmd) (stop, watch func(), err error) {
	if name != "capd" || !j.live() {
		return func() {}, func() {}, nil
	}
	k, err := newKeeper()
	if err != nil {
		return nil, nil, err
	}
	cmd.Env = k.environ()
	return k.close, func() {
		k.watch(watchdogTime, func() {
			fmt.Fprintf(j.Stderr, "weir: capd has stood still for %v: it is killed and started again\n", watchdogTime)
			_ = cmd.Process.Kill() // fails when it has ended meanwhile
		})
	}, nil
}

func (k *keeper) close() { _ = k.conn.Close() } // nothing is lost with it
