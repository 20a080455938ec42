package main

import (
	"bytes"
	"compress/gzip"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// write makes a file in dir.
func write(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	capture, policy := write(t, dir, "a.pcap", make([]byte, 100)), write(t, dir, "p.toml", nil)
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	good := func() *job { return &job{Captures: []string{capture}, Workers: 1, LogLevel: "warn"} }
	tests := []struct {
		name string
		edit func(*job)
		want string // "" = good
	}{
		{name: "good", edit: func(*job) {}},
		{name: "two captures and a policy", edit: func(j *job) { j.Captures, j.Policy = []string{capture, capture}, policy }},
		{name: "most workers", edit: func(j *job) { j.Workers = maxWorkers }},
		{name: "no capture", edit: func(j *job) { j.Captures = nil }, want: "no capture given"},
		{name: "no worker", edit: func(j *job) { j.Workers = 0 }, want: "-workers 0: must be 1 to 64"},
		{name: "workers", edit: func(j *job) { j.Workers = 65 }, want: "-workers 65: must be 1 to 64"},
		{name: "pace", edit: func(j *job) { j.Pace = -1 }, want: "-pace -1: must be 0 to 1e6"},
		{name: "pace is no number", edit: func(j *job) { j.Pace = math.NaN() }, want: "-pace NaN: must be 0 to 1e6"},
		{name: "level", edit: func(j *job) { j.LogLevel = "loud" }, want: `-log-level "loud": must be one of debug, info, warn, error`},
		{name: "missing", edit: func(j *job) { j.Captures = []string{dir + "/none"} }, want: "capture stat " + dir + "/none: no such file or directory"},
		{name: "directory", edit: func(j *job) { j.Captures = []string{dir} }, want: "capture " + dir + ": is a directory; name the files in it"},
		{name: "pipe", edit: func(j *job) { j.Captures = []string{fifo} }, want: "capture " + fifo + ": is no file; a killed capd could not read it again"},
		{name: "second missing", edit: func(j *job) { j.Captures = []string{capture, "none"} }, want: "capture stat none: no such file or directory"},
		{name: "no policy", edit: func(j *job) { j.Policy = "none.toml" }, want: "policy stat none.toml: no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := good()
			tt.edit(j)
			got := ""
			if err := j.check(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("check() = %q, want %q", got, tt.want)
			}
			if want := int64(100 * len(j.Captures)); tt.want == "" && j.size != want {
				t.Errorf("size = %d, want %d", j.size, want)
			}
		})
	}
}

func TestUnpackedSize(t *testing.T) {
	dir := t.TempDir()
	pack := func(n int) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, n)) // to memory
		_ = w.Close()
		return b.Bytes()
	}
	random := append([]byte{0x1f, 0x8b}, bytes.Repeat([]byte{0xff}, 98)...)
	tests := []struct {
		name  string
		bytes []byte
		want  int64
	}{
		{"empty", nil, 0},
		{"one byte", []byte{0x1f}, 1},
		{"plain", make([]byte, 5000), 5000},
		{"packed", pack(20000), 20000},
		{"packed badly", pack(10), int64(4 * len(pack(10)))},
		{"magic only", []byte{0x1f, 0x8b}, 2},
		{"a lie", random, 100 * 1032},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := unpackedSize(write(t, dir, strings.ReplaceAll(tt.name, " ", "-"), tt.bytes))
			if err != nil || got != tt.want {
				t.Errorf("unpackedSize(%d bytes) = %d, %v, want %d", len(tt.bytes), got, err, tt.want)
			}
		})
	}
}

func TestSizesFor(t *testing.T) {
	const gib = 1 << 30
	least := sizes{descriptors: 4096, payload: mib, events: 2 * mib, flows: 1 << 10, metadata: mib, contexts: 1 << 10, names: 1 << 10}
	tests := []struct {
		name    string
		bytes   int64
		workers int
		memory  int64
		want    sizes
	}{
		{"empty file", 0, 1, gib, least},
		{"ten packets", 1000, 1, gib, least},
		{"ten packets, 64 workers", 1000, 64, 4 * gib, least},
		{"2000 SYNs", 148872, 1, gib, sizes{4096, mib, 2 * mib, 1 << 13, mib, 1 << 13, 1 << 14}},
		{"50 MB", 50e6, 1, 6 * gib, sizes{65536, 16 * mib, 8 * mib, 1 << 20, 64 * mib, 1 << 15, 1 << 18}},
		{"50 MB, 4 workers", 50e6, 4, 6 * gib, sizes{65536, 16 * mib, 8 * mib, 1 << 18, 64 * mib, 1 << 15, 1 << 18}},
		{"1 GB on a small router", 1e9, 1, 64 * mib, sizes{32768, 8 * mib, 8 * mib, 1 << 16, 16 * mib, 1 << 11, 1 << 15}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sizesFor(tt.bytes, tt.workers, tt.memory); got != tt.want {
				t.Errorf("sizesFor(%d, %d, %d) = %+v, want %+v", tt.bytes, tt.workers, tt.memory, got, tt.want)
			}
		})
	}
}

// TestSizesFit: whatever the capture, there is a flow for each packet of a scan, and
// what is in shared memory stays within what there is.
func TestSizesFit(t *testing.T) {
	const record = 128 // of dpid/flow
	for _, memory := range []int64{64 * mib, 1 << 30, 32 << 30} {
		for _, workers := range []int{1, 2, 4} {
			for bytes := int64(1); bytes < 1<<40; bytes *= 3 {
				s := sizesFor(bytes, workers, memory)
				shared := int64(workers) * (s.payload + 64*s.descriptors + s.events + record*s.flows + s.metadata)
				if floor := int64(workers) * 6 * mib; shared > max(memory, floor) {
					t.Errorf("sizesFor(%d, %d, %d): %d bytes of shared memory", bytes, workers, memory, shared)
				}
				if scan := bytes / 70; scan < 1<<20 && memory >= 1<<30 && s.flows*int64(workers) < scan {
					t.Errorf("sizesFor(%d, %d, %d): %d flows for %d SYNs", bytes, workers, memory, s.flows, scan)
				}
			}
		}
	}
}

// TestShared: more rings take no more room than one, as long as each has some.
func TestShared(t *testing.T) {
	one := sizesFor(liveSize, 2, 8<<30)
	for _, n := range []int{1, 2, 3, 8, 64} {
		s := one.shared(n)
		if total := s.payload * int64(n); total > one.payload && s.payload > mib || s.payload < mib || s.payload&(s.payload-1) != 0 {
			t.Errorf("%d rings of %d bytes of payload, want powers of two of at least 1 MiB, at most %d in all", n, s.payload, one.payload)
		}
		if s.flows != one.flows || s.events != one.events {
			t.Errorf("with %d rings sizes are %+v, want those of flows and events as in %+v", n, s, one)
		}
	}
}
