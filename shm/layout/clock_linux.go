package layout

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

var (
	selfPID   = uint32(os.Getpid())
	selfStart = StartTicks(os.Getpid())
)

// Monotonic returns CLOCK_MONOTONIC in ns, which all processes share.
func Monotonic() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0 // the kernel has this clock; and the heartbeat is for display
	}
	return uint64(ts.Nano())
}

// StartTicks returns when process pid started, in clock ticks since boot, 0 when
// there is no such process: field 22 of proc(5) stat.
func StartTicks(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The second field, the program's name, may hold blanks and parentheses.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const startTime = 22 - 3 // the fields after the name begin with number 3
	if len(f) <= startTime {
		return 0
	}
	v, _ := strconv.ParseUint(string(f[startTime]), 10, 64)
	return v
}
