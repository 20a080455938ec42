package config

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Pos is a place in a configuration file.
type Pos struct {
	File string
	Line int // from 1; 0 = unknown
}

// String returns FILE:LINE.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Size is a number of bytes. In files it is a string such as "16MiB".
type Size uint64

// Binary multiples of a byte.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

var sizeUnits = []struct {
	name string
	size Size
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s >= u.size && s%u.size == 0 {
			return strconv.FormatUint(uint64(s/u.size), 10) + u.name
		}
	}
	return "0"
}

// parseSize reads "16MiB", "512B" or "4096". Decimal units are refused: nobody
// should have to know whether "10MB" means 10,000,000.
func parseSize(s string) (Size, error) {
	num, unit := s, Size(1)
	for _, u := range sizeUnits {
		if t, ok := strings.CutSuffix(s, u.name); ok {
			num, unit = strings.TrimSpace(t), u.size
			break
		}
	}
	n, err := strconv.ParseUint(num, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("not a size; write it like \"16MiB\" (units B, KiB, MiB, GiB)")
	}
	hi, lo := bits.Mul64(n, uint64(unit))
	if hi != 0 {
		return 0, fmt.Errorf("does not fit 64 bits")
	}
	return Size(lo), nil
}

// parseDuration reads Go durations and whole days ("7d").
func parseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	if t, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(t, 10, 16); err == nil {
			return time.Duration(n) * day, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("not a duration; write it like \"90s\", \"5m\", \"1h30m\" or \"7d\"")
	}
	return d, nil
}

// formatDuration writes what parseDuration reads, without empty units.
func formatDuration(d time.Duration) string {
	s := d.String()
	if t, ok := strings.CutSuffix(s, "m0s"); ok {
		s = t + "m"
	}
	if t, ok := strings.CutSuffix(s, "h0m"); ok {
		s = t + "h"
	}
	return s
}

// parseClock reads HH:MM as a time since midnight; 24:00 is the end of the day.
func parseClock(s string) (time.Duration, error) {
	hh, mm, ok := strings.Cut(s, ":")
	h, errH := strconv.ParseUint(hh, 10, 8)
	m, errM := strconv.ParseUint(mm, 10, 8)
	if !ok || len(hh) != 2 || len(mm) != 2 || errH != nil || errM != nil || h > 24 || m > 59 || h == 24 && m > 0 {
		return 0, fmt.Errorf("not a time of day; write it like \"08:30\" (00:00 to 24:00)")
	}
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute, nil
}

func formatClock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d/time.Hour), int(d/time.Minute)%60)
}
