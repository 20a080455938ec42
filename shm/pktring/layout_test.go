package pktring

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
	cfg := testConfig(t, 16, 4096)
	p, c := openPair(t, cfg)
	pkt := makePacket(2, 100)
	pkt.bare = false
	for range 3 {
		if !pkt.put(p) {
			t.Fatal("Put() = false")
		}
	}
	p.Publish()
	b := p.m.Bytes()
	size := alignUp(PrefixSize + uint64(len(pkt.frame)))
	const desc0, pay0 = 4096, 4096 + 16*64
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"file size", uint64(len(b)), pay0 + 4096},
		{"capacity", host.Uint64(b[24:]), 4096},
		{"max record", uint64(host.Uint32(b[32:])), 512},
		{"record align", uint64(host.Uint32(b[36:])), 16},
		{"policy", uint64(host.Uint32(b[44:])), 1},
		{"descriptor count", uint64(host.Uint32(b[52:])), 16},
		{"tail", host.Uint64(b[128:]), 3},
		{"freed", host.Uint64(b[136:]), 0},
		{"epoch", host.Uint64(b[256:]), 1},
		{"records", host.Uint64(b[384:]), 3},
		{"bytes", host.Uint64(b[392:]), 3 * (PrefixSize + uint64(len(pkt.frame)))},
		{"batches", host.Uint64(b[400:]), 1},
		{"pay_pos of descriptor 2", le.Uint64(b[desc0+2*64+24:]), 2 * size},
		{"cap_len of descriptor 2", uint64(le.Uint32(b[desc0+2*64+36:])), uint64(len(pkt.frame))},
		{"flags of descriptor 2, bit 0", uint64(le.Uint16(b[desc0+2*64+58:]) & 1), 1},
		{"first prefix byte", uint64(b[pay0]), uint64(pkt.prefix[0])},
		{"first frame byte", uint64(b[pay0+16]), uint64(pkt.frame[0])},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	c.Peek(3)
	c.Inflight(1)
	cur := c.cur.Bytes()
	if got := host.Uint64(cur[cursor.OffInflight:]); got != 2 {
		t.Errorf("inflight = %d, want position+1 = 2", got)
	}
	c.Release(2)
	c.Commit()
	for _, tt := range []struct {
		name      string
		got, want uint64
	}{
		{"ring id in cursor", host.Uint64(cur[16:]), p.RingID()},
		{"kind of cursor", uint64(host.Uint32(cur[52:])), uint64(cursor.Packet)},
		{"head", host.Uint64(cur[128:]), 2},
		{"inflight", host.Uint64(cur[256:]), 0},
		{"cursor epoch", host.Uint64(cur[512:]), 1},
		{"consumed", host.Uint64(cur[640:]), 2},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	p.InRing()
	if got := host.Uint64(b[136:]); got != 2 {
		t.Errorf("freed = %d after the producer saw the head, want 2", got)
	}
}

// TestGoldenEmptyFiles pins every byte of a new ring and a new cursor, but for
// what differs each time: ring id, times, process.
func TestGoldenEmptyFiles(t *testing.T) {
	spec, _, err := (&Config{Descriptors: 1024, PayloadBytes: 1 << 20, Producer: 1, Consumer: 2, Tag: 7}).spec()
	if err != nil {
		t.Fatal(err)
	}
	spec.RingID = 0x0807060504030201
	golden(t, "empty-ring.hex", layout.NewHeap(spec).Bytes()[:layout.HeaderSize])
	golden(t, "empty-cursor.hex", cursor.NewHeap(cursor.Packet, spec.RingID).Bytes())
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
