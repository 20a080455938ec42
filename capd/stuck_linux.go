package main

import (
	"context"
	"os"
	"time"

	"weir/capd/watchdog"
	"weir/proto/daemon"
)

// A thread turns its loop every 100 ms at least. One that has not for three seconds
// hangs; a machine that is merely busy does not keep it from its CPU for so long.
const (
	lookAfter = 500 * time.Millisecond
	patience  = 6 // looks
)

// guard ends the process when a capture thread hangs: its queue would keep what waits
// there for ever, but once nobody is bound to it, the kernel lets everything pass. The
// thread cannot be asked to end, so nothing is closed here.
func (l *live) guard(ctx context.Context) {
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	n, hung := watchdog.NewLook(l.pulses()).Wait(ctx, tick.C, patience)
	if hung {
		l.log.Error("a capture thread hangs: ending, to be started again", "thread", n, "of", l.threads[n].name(), "for", patience*lookAfter)
		os.Exit(daemon.ExitTemp)
	}
}

// assure tells the service manager that all threads get on. It sees what guard cannot:
// that the whole process stands still.
func (l *live) assure(ctx context.Context) {
	look := watchdog.NewLook(l.pulses())
	err := l.env.Systemd.Watchdog(ctx, func() bool {
		_, looks := look.Longest()
		return looks == 0
	})
	if err != nil {
		l.log.Warn("watchdog", "error", err)
	}
}

func (l *live) pulses() []*watchdog.Pulse {
	list := make([]*watchdog.Pulse, len(l.threads))
	for i, t := range l.threads {
		list[i] = &t.pulse
	}
	return list
}
