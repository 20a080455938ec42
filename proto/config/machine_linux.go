package config

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine returns the RAM in bytes and the number of CPUs, the arguments of
// Derive. They are those of the machine or container, never those of the
// calling process: a worker pinned to one CPU or limited by its systemd unit
// must derive the same sizes as everybody else.
func Machine() (ram uint64, ncpu int, err error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, 0, fmt.Errorf("read size of memory: %w", err)
	}
	ram = uint64(info.Totalram) * uint64(info.Unit)
	// Present in a container's root group only; the root group of a machine has no limit.
	if limit, ok := readUint("/sys/fs/cgroup/memory.max"); ok && limit < ram {
		ram = limit
	}
	const online = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(online)
	if err != nil {
		return 0, 0, fmt.Errorf("read number of CPUs: %w", err)
	}
	if ncpu = countCPUs(strings.TrimSpace(string(text))); ncpu == 0 {
		return 0, 0, fmt.Errorf("read number of CPUs: %s holds %q", online, text)
	}
	return ram, ncpu, nil
}

func readUint(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n > 0
}

// countCPUs counts the members of a kernel CPU list such as "0-3,8"; 0 means
// that it is not one.
func countCPUs(list string) int {
	n := 0
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || b < a {
			return 0
		}
		n += int(b-a) + 1
	}
	return n
}
