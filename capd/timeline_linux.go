package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"weir/proto/topology"
)

// timeline is the time of a live instance. It begins at the host's clock and goes on
// with CLOCK_BOOTTIME, so that nobody's setting of the clock ends or keeps a flow.
type timeline struct {
	base int64 // ns from CLOCK_BOOTTIME to the line
}

// maxDrift is how far the line may be from the host's clock when a capd takes it over
// from an earlier one. A clock that was wrong at boot and set later is put right then;
// never backwards, flows would be younger than their packets.
const maxDrift = int64(time.Hour)

// newTimeline goes on with the line of an earlier capd on this directory, which does
// not outlive the host, or begins one.
func newTimeline(old *topology.Topology) (*timeline, error) {
	wall, boot, err := clocks()
	if err != nil {
		return nil, err
	}
	t := &timeline{base: wall - boot}
	if old != nil && old.TimeBase != 0 && wall-boot-old.TimeBase < maxDrift {
		t.base = old.TimeBase
	}
	return t, nil
}

// Read implements steer.Timeline.
func (t *timeline) Read() (now uint64, shift int64) {
	wall, boot, err := clocks()
	if err != nil {
		panic(err) // the same call worked at the start
	}
	return uint64(boot + t.base), boot + t.base - wall
}

func clocks() (wall, boot int64, err error) {
	var w, b unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &w); err != nil {
		return 0, 0, fmt.Errorf("read the clock: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &b); err != nil {
		return 0, 0, fmt.Errorf("read the time since boot: %w", err)
	}
	return w.Nano(), b.Nano(), nil
}
