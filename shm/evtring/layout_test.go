package evtring

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"weir/shm/cursor"
	"weir/shm/layout"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestOffsets writes through the ring and looks into the bytes, so that the format
// cannot change by accident.
func TestOffsets(t *testing.T) {
	cfg := testConfig(t)
	cfg.Wait = true
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	copy(p.Reserve(0x1122, 0x33, 0x44, 0x5566, 5), "first")
	copy(p.Reserve(1, 0, 0, 0, 6), "second")
	p.Publish()
	b := p.m.Bytes()
	const data = 4096
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"file size", uint64(len(b)), data + MinCapacity},
		{"capacity", host.Uint64(b[24:]), MinCapacity},
		{"max record", uint64(host.Uint32(b[32:])), 16384},
		{"record align", uint64(host.Uint32(b[36:])), 16},
		{"block size", uint64(host.Uint32(b[40:])), 65536},
		{"policy", uint64(host.Uint32(b[44:])), 2},
		{"worker", uint64(host.Uint16(b[48:])), 3},
		{"tail", host.Uint64(b[128:]), 96},
		{"intent", host.Uint64(b[136:]), 48 + 16384},
		{"epoch", host.Uint64(b[256:]), 1},
		{"events", host.Uint64(b[384:]), 2},
		{"length", uint64(host.Uint32(b[data:])), 37},
		{"type", uint64(host.Uint16(b[data+4:])), 0x1122},
		{"version", uint64(b[data+6]), 0x33},
		{"flags", uint64(b[data+7]), 0x44},
		{"sequence", host.Uint64(b[data+8:]), 1<<40 | 1},
		{"time", host.Uint64(b[data+16:]), 0x5566},
		{"checksum", uint64(host.Uint32(b[data+24:])), uint64(recordCRC(b[data : data+37]))},
		{"reserved", uint64(host.Uint32(b[data+28:])), 0},
		{"payload", uint64(b[data+32]), 'f'},
		{"second sequence", host.Uint64(b[data+48+8:]), 1<<40 | 2},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %#x, want %#x", tt.name, tt.got, tt.want)
		}
	}
	for range 2 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	r.Commit()
	r.RequestResync(7)
	r.ResyncDone(1)
	cur := r.cur.Bytes()
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"ring id in cursor", host.Uint64(cur[16:]), p.RingID()},
		{"kind of cursor", uint64(host.Uint32(cur[52:])), uint64(cursor.Event)},
		{"cursor", host.Uint64(cur[128:]), 96},
		{"last sequence", host.Uint64(cur[136:]), 1<<40 | 2},
		{"resync requests", uint64(host.Uint32(cur[384:])), 1},
		{"reason", uint64(host.Uint32(cur[388:])), 7},
		{"resync done", uint64(host.Uint32(cur[392:])), 1},
		{"cursor epoch", host.Uint64(cur[512:]), 1},
		{"events read", host.Uint64(cur[640:]), 2},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %#x, want %#x", tt.name, tt.got, tt.want)
		}
	}
}

// TestGoldenEmptyFiles pins every byte of a new ring and a new cursor, but for
// what differs each time: ring id, times, process.
func TestGoldenEmptyFiles(t *testing.T) {
	spec, err := (&Config{Capacity: 1 << 20, Worker: 2, Tag: 7}).spec()
	if err != nil {
		t.Fatal(err)
	}
	spec.RingID = 0x0807060504030201
	golden(t, "empty-ring.hex", layout.NewHeap(spec).Bytes()[:layout.HeaderSize])
	golden(t, "empty-cursor.hex", cursor.NewHeap(cursor.Event, spec.RingID).Bytes())
}

func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	got := squeeze(b)
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("bytes of %s:\n%swant\n%s", name, got, want)
	}
}

// squeeze dumps b without the lines that are all zero.
func squeeze(b []byte) string {
	var out []byte
	for i := 0; i < len(b); i += 16 {
		line := b[i:min(i+16, len(b))]
		if string(line) == string(make([]byte, len(line))) {
			continue
		}
		out = append(out, hex.EncodeToString([]byte{byte(i >> 8), byte(i)})...)
		out = append(out, ' ')
		out = append(out, hex.EncodeToString(line)...)
		out = append(out, '\n')
	}
	return string(out)
}
