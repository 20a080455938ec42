package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// resident is memory in bytes, what is shared counted in parts (Pss).
type resident struct {
	all, rings int64 // rings: mappings of packet and event rings
	byName     map[string]int64
}

// processTree returns a process and all that descend from it.
func processTree(pid int) ([]int, error) {
	list := []int{pid}
	for i := 0; i < len(list); i++ {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", list[i]))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				continue // the thread has ended
			}
			for _, w := range strings.Fields(string(text)) {
				n, err := strconv.Atoi(w)
				if err != nil {
					return nil, fmt.Errorf("%s: %q is no process", f, w)
				}
				list = append(list, n)
			}
		}
	}
	return list, nil
}

// memoryOf adds up the memory of processes.
func memoryOf(pids []int) (r resident, err error) {
	r.byName = map[string]int64{}
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/", pid)
		name, err := os.ReadFile(dir + "comm")
		if err != nil {
			return r, err
		}
		text, err := os.ReadFile(dir + "smaps")
		if err != nil {
			return r, err
		}
		all, rings, err := pss(text)
		if err != nil {
			return r, fmt.Errorf("%ssmaps: %w", dir, err)
		}
		r.all, r.rings = r.all+all, r.rings+rings
		r.byName[strings.TrimSpace(string(name))] += all
	}
	return r, nil
}

// pss reads a smaps file, see proc_pid_smaps(5).
func pss(smaps []byte) (all, rings int64, err error) {
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	ring := false
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 0:
		case !strings.HasSuffix(f[0], ":"): // a mapping begins; its file comes last
			ring = len(f) >= 6 && strings.HasSuffix(f[5], ".ring")
		case f[0] == "Pss:" && len(f) == 3:
			kib, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, 0, err
			}
			all += kib << 10
			if ring {
				rings += kib << 10
			}
		}
	}
	return all, rings, lines.Err()
}

// gone reports whether err says that a process or file is not there (any more).
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
