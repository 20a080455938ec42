package cursor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"weir/shm/layout"
)

// TestOffsets pins where the words lie.
func TestOffsets(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want int
	}{
		{"size", Size, 4096},
		{"position", OffPosition, 128},
		{"last sequence", OffLastSeq, 136},
		{"inflight", OffInflight, 256},
		{"tries", OffTries, 264},
		{"position of the tries", OffTriesPos, 268},
		{"packet waiting", OffPktWait, 384},
		{"event waiting", OffEvtWait, 256},
		{"resync request", OffResyncReq, 384},
		{"reason", OffReason, 388},
		{"resync done", OffResyncAck, 392},
		{"owner", layout.OffCursorOwner, 512},
		{"statistics", OffStats, 640},
	} {
		if tt.got != tt.want {
			t.Errorf("%s at %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	f := NewHeap(Event, 7)
	f.Position.Store(5)
	f.Waiting.Store(1)
	if f.U64(128).Load() != 5 || f.U32(256).Load() != 1 {
		t.Error("words of an event cursor are not where they should be")
	}
	f = NewHeap(Packet, 7)
	f.Waiting.Store(1)
	if f.U32(384).Load() != 1 {
		t.Error("waiting of a packet cursor is not at 384")
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.cur")
	f, fresh, err := Open(path, Packet, 7, "me", 0o600)
	if err != nil || !fresh {
		t.Fatalf("Open() = fresh %v, %v, want true, nil", fresh, err)
	}
	f.Position.Store(42)
	if _, _, err := Open(path, Packet, 7, "me", 0o600); !errors.Is(err, layout.ErrOwned) {
		t.Errorf("second Open() = %v, want ErrOwned", err)
	}
	ro, err := Map(path, Packet, 7)
	if err != nil || ro.Position.Load() != 42 || !ro.Locked() {
		t.Fatalf("Map() = %v, want the position and a living owner", err)
	}
	defer func() { _ = ro.Close() }()
	_ = f.Close()
	f, fresh, err = Open(path, Packet, 7, "me", 0o600)
	if err != nil || fresh || f.Position.Load() != 42 {
		t.Fatalf("Open() again = fresh %v, %v, want the old file", fresh, err)
	}
	_ = f.Close()
	f, fresh, err = Open(path, Packet, 8, "me", 0o600)
	if err != nil || !fresh || f.Position.Load() != 0 || !ro.Replaced() {
		t.Fatalf("Open() for another ring = fresh %v, %v, want a new file", fresh, err)
	}
	_ = f.Close()
}

// FuzzLook reads arbitrary files.
func FuzzLook(f *testing.F) {
	f.Add(NewHeap(Packet, 7).Bytes())
	f.Add(NewHeap(Event, 7).Bytes())
	f.Add([]byte("DPICURS1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.cur")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		i, err := Look(path)
		if err == nil && (len(b) != Size || i.Kind != Packet && i.Kind != Event) {
			t.Errorf("Look() accepted %d bytes of kind %d", len(b), i.Kind)
		}
		if f, err := Map(path, Event, 7); err == nil {
			_ = f.Close()
		}
	})
}

func TestWantsWake(t *testing.T) {
	for _, tt := range []struct {
		waiting        uint32
		position, tail uint64
		want           bool
	}{
		{0, 0, 1 << 40, false},
		{1, 5, 6, true},
		{100, 50, 149, false},
		{100, 50, 150, true},
		{100, 1<<64 - 50, 49, false},
		{100, 1<<64 - 50, 50, true},
		{100, 60, 50, true}, // nonsense costs a wake
	} {
		f := NewHeap(Event, 7)
		f.Waiting.Store(tt.waiting)
		f.Position.Store(tt.position)
		if got := f.WantsWake(tt.tail); got != tt.want {
			t.Errorf("WantsWake(%d) with waiting %d at %d = %v, want %v", tt.tail, tt.waiting, tt.position, got, tt.want)
		}
	}
}
