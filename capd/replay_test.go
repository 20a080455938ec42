package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"weir/capd/steer"
	"weir/proto/config"
	"weir/proto/daemon"
	"weir/proto/flowkey"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// writeCapture writes a capture of n UDP packets.
func writeCapture(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	put := func(words ...uint32) {
		for _, w := range words {
			_ = binary.Write(&b, binary.LittleEndian, w) // to memory
		}
	}
	put(0xa1b2c3d4, 4<<16|2, 0, 0, 65535, 1)
	frame := append(make([]byte, 12), "\x08\x00\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x11\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02\x10\x00\x10\x00\x00\x08\x00\x00"...)
	for i := range n {
		put(uint32(i), 0, uint32(len(frame)), uint32(len(frame)))
		b.Write(frame)
	}
	path := filepath.Join(t.TempDir(), "some.pcap")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRingTruncated: a ring whose file somebody truncates ends capd with an error,
// not with a fault.
func TestRingTruncated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ring := filepath.Join(dir, "c00-w00.ring")
	p, err := pktring.OpenProducer(pktring.Config{
		Path: ring, CursorPath: filepath.Join(dir, "c00-w00.cur"), Descriptors: 16, PayloadBytes: 1 << 16, Wait: true, Mode: 0o600,
	})
	if err != nil {
		t.Fatal(err)
	}
	seed := flowkey.ParseSeed(&[flowkey.SeedSize]byte{1})
	cfg := &config.Config{}
	cfg.Capture.Files = []string{writeCapture(t, 1000)}
	r := &replay{
		base:  base{cfg: cfg, log: slog.New(slog.DiscardHandler), env: &daemon.Env{Config: cfg}, root: layout.Root(dir)},
		rings: []*pktring.Producer{p},
	}
	r.steer, err = steer.New(steer.Config{
		Seed: &seed, Outputs: []steer.Output{p},
		Housekeep: func() error { return os.Truncate(ring, 0) }, // while capd waits for room
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.run(t.Context()); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("run() = %v, want ErrRingLost", err)
	}
	_ = r.close() // says once more that the ring is lost
}
