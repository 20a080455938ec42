package source

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeRing is a source over memory that no kernel shares.
func fakeRing(size, blocks int) *TPacket {
	t := &TPacket{mem: make([]byte, size*blocks), link: linkEthernet}
	for i := range blocks {
		t.blocks = append(t.blocks, t.mem[i*size:(i+1)*size:(i+1)*size])
	}
	return t
}

// fillBlock puts n frames of size bytes into b.
func fillBlock(b []byte, n, size int, status uint32) {
	step := (86 + vlanTag + size + 15) &^ 15
	ne := binary.NativeEndian
	ne.PutUint32(b[blockFrames:], uint32(n))
	ne.PutUint32(b[blockFirst:], blockHeader)
	ne.PutUint32(b[blockLen:], uint32(blockHeader+n*step))
	for i := range n {
		h := b[blockHeader+i*step:]
		ne.PutUint32(h[frameNext:], uint32(step))
		ne.PutUint32(h[frameSnaplen:], uint32(size))
		ne.PutUint32(h[frameLen:], uint32(size))
		ne.PutUint32(h[frameStatus:], status)
		ne.PutUint16(h[frameMac:], 86+vlanTag)
		ne.PutUint32(h[frameTCI:], 42)
	}
	word(b, blockStatus).Store(unix.TP_STATUS_USER)
}

// TestTPacketRelease gives a block back with the call after its last frame, no sooner.
func TestTPacketRelease(t *testing.T) {
	s := fakeRing(4096, 2)
	fillBlock(s.blocks[0], 2, 60, 0)
	fillBlock(s.blocks[1], 1, 60, 0)
	var f Frame
	for i, want := range []uint32{unix.TP_STATUS_USER, unix.TP_STATUS_USER, unix.TP_STATUS_KERNEL} {
		if err := s.Next(&f); err != nil {
			t.Fatal(err)
		}
		if got := word(s.blocks[0], blockStatus).Load(); got != want {
			t.Errorf("status of the first block is %d after frame %d, want %d", got, i, want)
		}
	}
	if err := s.Next(&f); !errors.Is(err, ErrIdle) || word(s.blocks[1], blockStatus).Load() != unix.TP_STATUS_KERNEL {
		t.Errorf("Next() = %v, want %v and the block given back", err, ErrIdle)
	}
	if want := (Stats{Received: 3}); s.stats != want {
		t.Errorf("stats are %+v, want %+v", s.stats, want)
	}
}

func TestTPacketNoAllocs(t *testing.T) {
	s := fakeRing(1<<16, 2)
	var f Frame
	if n := testing.AllocsPerRun(100, func() {
		fillBlock(s.blocks[s.cur], 200, 100, unix.TP_STATUS_VLAN_VALID)
		s.left = 0
		for s.Next(&f) == nil {
		}
	}); n != 0 {
		t.Errorf("%v allocations for 200 frames, want 0", n)
	}
	if s.stats.Received == 0 || s.stats.Skipped != 0 {
		t.Errorf("stats are %+v", s.stats)
	}
}

func BenchmarkTPacketNext(b *testing.B) {
	s := fakeRing(1<<16, 1)
	fillBlock(s.blocks[0], 300, 100, 0)
	var f Frame
	for b.Loop() {
		if s.Next(&f) != nil {
			word(s.blocks[0], blockStatus).Store(unix.TP_STATUS_USER)
		}
	}
}

// FuzzTPacketBlock reads any block to its end; no frame lies outside of it, and each
// frame that the block claims is counted.
func FuzzTPacketBlock(f *testing.F) {
	seed := make([]byte, 1024)
	fillBlock(seed, 3, 60, unix.TP_STATUS_VLAN_VALID)
	f.Add(seed)
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < blockHeader {
			return
		}
		s := fakeRing((len(b)+4095)&^4095, 1)
		copy(s.mem, b)
		word(s.mem, blockStatus).Store(unix.TP_STATUS_USER)
		want := uint64(binary.NativeEndian.Uint32(b[blockFrames:]))
		var fr Frame
		n := uint64(0)
		for s.Next(&fr) == nil {
			if n++; uint64(len(fr.Data)) > uint64(fr.WireLen) || len(fr.Data) > len(s.mem) {
				t.Fatalf("frame has %d of %d bytes", len(fr.Data), fr.WireLen)
			}
		}
		if s.stats.Received != n || n+s.stats.Skipped != want {
			t.Fatalf("block claims %d frames: %d given, stats %+v", want, n, s.stats)
		}
	})
}
