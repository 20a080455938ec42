package steer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"weir/capd/source"
	"weir/proto/pkt"
)

// newTestSteerer returns a Steerer with one ring.
func newTestSteerer(t testing.TB, c FragmentConfig) (*Steerer, *memoryRing) {
	t.Helper()
	mem, outs := rings(1)
	s, err := New(Config{Seed: testSeed(), Outputs: outs, Fragments: c})
	if err != nil {
		t.Fatal(err)
	}
	return s, mem[0]
}

// steer takes frames, 1 ms apart, and holds the law of the counters after each.
func steerAll(t testing.TB, s *Steerer, frames ...[]byte) {
	t.Helper()
	for _, b := range frames {
		f := frame(1, b)
		f.TS += s.ordinal * uint64(time.Millisecond)
		steerFrame(t, s, f)
	}
}

func steerFrame(t testing.TB, s *Steerer, f *source.Frame) {
	t.Helper()
	if err := s.Steer(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if s.count.Sum() != s.ordinal {
		t.Fatalf("counters %v: sum %d after %d frames", s.count, s.count.Sum(), s.ordinal)
	}
}

// counted writes the counters that are not 0.
func counted(c Counters) (s string) {
	for _, o := range Outcomes() {
		if c[o] != 0 {
			s += fmt.Sprintf("%s %d ", o, c[o])
		}
	}
	return s
}

// packets returns the records that are packets.
func (m *memoryRing) packets() (out []record) {
	for _, r := range m.records {
		if r.prefix != nil {
			out = append(out, r)
		}
	}
	return out
}

// data returns the transport payload of a record.
func (r record) data() []byte { return r.frame[pkt.Prefix(r.prefix).Data():] }

// split4 cuts the data of an IPv4 packet into fragments of n bytes.
func split4(id uint16, proto uint8, data []byte, n int) (frames [][]byte) {
	for off := 0; off < len(data); off += n {
		end := min(off+n, len(data))
		frames = append(frames, eth(0x0800, ip4frag(id, off, end < len(data), proto, data[off:end])))
	}
	return frames
}

func split6(id uint32, next uint8, data []byte, n int) (frames [][]byte) {
	for off := 0; off < len(data); off += n {
		end := min(off+n, len(data))
		frames = append(frames, eth(0x86dd, ip6(60, "fd00::1", "fd00::2", ext(44, 0, frag6(next, id, off, end < len(data), data[off:end])))))
	}
	return frames
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestReassembly sends the four fragments of a datagram in every order.
func TestReassembly(t *testing.T) {
	t.Parallel()
	payload := random(100)
	orders := permutations(4)
	for name, frames := range map[string][][]byte{
		"IPv4": split4(1, 17, udp(53, 5353, payload), 32),
		"IPv6": split6(1, 17, udp(53, 5353, payload), 32),
	} {
		wire := 0
		for _, b := range frames {
			wire += len(b)
		}
		for _, order := range orders {
			s, ring := newTestSteerer(t, FragmentConfig{})
			for _, i := range order {
				steerAll(t, s, frames[i])
			}
			if got := counted(s.count); got != "delivered 1 fragment_merged 3 " {
				t.Fatalf("%s %v: %s", name, order, got)
			}
			r := ring.packets()[0]
			if !bytes.Equal(r.data(), payload) || int(r.d().L4Len()) != len(payload) {
				t.Errorf("%s %v: payload %x (length %d), want %x", name, order, r.data(), r.d().L4Len(), payload)
			}
			if f := r.d().Flags(); f&pkt.FlagFragment == 0 || f&pkt.FlagTruncated != 0 {
				t.Errorf("%s %v: flags %#x", name, order, f)
			}
			if int(r.d().WireLen()) != wire || r.d().Ordinal() != 3 || r.d().TS() != 1e18+3e6 {
				t.Errorf("%s %v: wire length %d, ordinal %d, time %d", name, order, r.d().WireLen(), r.d().Ordinal(), r.d().TS())
			}
			checkWholeFrame(t, r.frame)
		}
	}
}

// checkWholeFrame holds that a rebuilt frame is what the sender's network layer
// had before it was cut: it parses by itself and its checksum is right.
func checkWholeFrame(t *testing.T, b []byte) {
	t.Helper()
	var p Packet
	if out := p.Parse(frame(1, b)); out != Delivered {
		t.Errorf("rebuilt frame: Parse = %v: %x", out, b)
	}
	if b[12] == 8 && checksum(b[14:14+4*int(b[14]&15)]) != 0 {
		t.Errorf("rebuilt frame: header checksum wrong: %x", b[14:34])
	}
}

func permutations(n int) (all [][]int) {
	var walk func(head, rest []int)
	walk = func(head, rest []int) {
		if len(rest) == 0 {
			all = append(all, append([]int(nil), head...))
		}
		for i := range rest {
			next := append(append([]int(nil), rest[:i]...), rest[i+1:]...)
			walk(append(head, rest[i]), next)
		}
	}
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	walk(nil, ids)
	return all
}

func TestFragmentPolicy(t *testing.T) {
	t.Parallel()
	f := split4(9, 17, udp(53, 5353, random(88)), 32) // 32 + 32 + 32
	at := func(off, n int, more bool) []byte {
		return eth(0x0800, ip4frag(9, off, more, 17, make([]byte, n)))
	}
	evil := bytes.Clone(f[1])
	evil[len(evil)-1]++
	other := split4(10, 17, udp(53, 5353, random(88)), 32)
	tests := []struct {
		name   string
		frames [][]byte
		want   string
	}{
		{"copy", [][]byte{f[0], f[0], f[1], f[2]}, "delivered 1 fragment_merged 2 fragment_duplicate 1 "},
		{"copy of the last", [][]byte{f[2], f[0], f[2], f[1]}, "delivered 1 fragment_merged 2 fragment_duplicate 1 "},
		{"same place, other bytes", [][]byte{f[0], f[1], evil, f[2]}, "fragment_overlap 4 "},
		{"overlap from below", [][]byte{f[1], at(0, 40, true), f[2]}, "fragment_overlap 3 "},
		{"overlap from above", [][]byte{f[0], at(24, 16, true), f[2]}, "fragment_overlap 3 "},
		{"overlap inside", [][]byte{f[0], at(8, 8, true)}, "fragment_overlap 2 "},
		{"overlap around", [][]byte{f[1], at(24, 56, true)}, "fragment_overlap 2 "},
		{"two ends", [][]byte{f[2], at(96, 8, false)}, "fragment_overlap 2 "},
		{"end before data", [][]byte{f[1], at(8, 8, false)}, "fragment_overlap 2 "},
		{"data after end", [][]byte{f[2], at(96, 8, true)}, "fragment_overlap 2 "},
		{"late", [][]byte{f[0], f[1], f[2], f[1]}, "delivered 1 fragment_merged 2 fragment_late 1 "},
		{"two datagrams mixed", [][]byte{f[0], other[2], f[2], other[1], other[0], f[1]}, "delivered 2 fragment_merged 4 "},
		{"hole", [][]byte{f[0], f[2]}, "fragment_held 2 "},
		{"VLANs apart", [][]byte{f[0], eth(0x8100, vlan(5, 0x0800, f[1][14:])), f[2]}, "fragment_held 3 "},
		{"wrong transport", split4(3, 6, make([]byte, 64), 32), "l4_header 1 fragment_merged 1 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newTestSteerer(t, FragmentConfig{})
			steerAll(t, s, tt.frames...)
			if got := counted(s.count); got != tt.want {
				t.Errorf("counters: %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFragmentTime(t *testing.T) {
	t.Parallel()
	f := split4(9, 17, udp(53, 5353, random(88)), 32)
	at := func(s *Steerer, b []byte, d time.Duration) {
		fr := frame(1, b)
		fr.TS += uint64(d)
		steerFrame(t, s, fr)
	}
	s, ring := newTestSteerer(t, FragmentConfig{})
	at(s, f[0], 0)
	at(s, f[1], 30*time.Second)
	if got := counted(s.count); got != "fragment_held 2 " {
		t.Errorf("after 30 s: %s", got)
	}
	at(s, f[2], 30*time.Second+1)
	if got := counted(s.count); got != "fragment_held 1 fragment_timeout 2 " {
		t.Errorf("after more: %s", got)
	}
	at(s, f[0], 31*time.Second)
	at(s, f[1], 31*time.Second)
	if got := counted(s.count); got != "delivered 1 fragment_merged 2 fragment_timeout 2 " {
		t.Errorf("started again by its last fragment: %s", got)
	}
	at(s, f[0], 33*time.Second) // within lateWindow
	at(s, f[0], 34*time.Second) // the id has come round
	at(s, f[1], 34*time.Second)
	at(s, f[2], 34*time.Second)
	if got := counted(s.count); got != "delivered 2 fragment_merged 4 fragment_late 1 fragment_timeout 2 " {
		t.Errorf("same id again: %s", got)
	}
	at(s, f[0], 40*time.Second)
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := counted(s.count); got != "delivered 2 fragment_merged 4 fragment_late 1 fragment_timeout 3 " {
		t.Errorf("at the end: %s", got)
	}
	if n := len(ring.packets()); n != 2 {
		t.Errorf("%d packets in the ring, want 2", n)
	}
}

// TestFragmentRemembersDeath holds that the rest of a contradictory datagram
// does not become one of its own, and that its id is good again in time.
func TestFragmentRemembersDeath(t *testing.T) {
	t.Parallel()
	f := split4(9, 17, udp(53, 5353, random(88)), 32)
	s, _ := newTestSteerer(t, FragmentConfig{})
	evil := bytes.Clone(f[0])
	evil[40]++
	steerAll(t, s, f[0], evil, f[0], f[1], f[2])
	if got := counted(s.count); got != "fragment_overlap 5 " {
		t.Errorf("counters: %s", got)
	}
	for _, b := range f {
		fr := frame(1, b)
		fr.TS += uint64(time.Minute)
		steerFrame(t, s, fr)
	}
	if got := counted(s.count); got != "delivered 1 fragment_merged 2 fragment_overlap 5 " {
		t.Errorf("a minute later: %s", got)
	}
}

// TestFragmentLimits holds each bound: the oldest goes, and is counted.
func TestFragmentLimits(t *testing.T) {
	t.Parallel()
	t.Run("datagrams", func(t *testing.T) {
		t.Parallel()
		s, _ := newTestSteerer(t, FragmentConfig{Datagrams: 8})
		last := split4(99, 17, udp(1, 2, random(88)), 32)
		for id := range uint16(20) {
			steerAll(t, s, split4(id, 17, udp(1, 2, random(88)), 32)[0])
		}
		steerAll(t, s, last...)
		if got := counted(s.count); got != "delivered 1 fragment_held 7 fragment_merged 2 fragment_evicted 13 " {
			t.Errorf("counters: %s", got)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		t.Parallel()
		s, _ := newTestSteerer(t, FragmentConfig{Bytes: 1})
		for id := range uint16(10) { // two of 60,000 bytes each, 256 KiB hold four
			steerAll(t, s, split4(id, 17, make([]byte, 64000), 60000)[0])
		}
		if got := counted(s.count); got != "fragment_held 4 fragment_evicted 6 " {
			t.Errorf("counters: %s", got)
		}
		steerAll(t, s, split4(9, 17, udp(1, 2, make([]byte, 63992)), 60000)[1])
		if s.count[Delivered] != 1 {
			t.Errorf("the youngest did not stay: %s", counted(s.count))
		}
	})
	t.Run("fragments", func(t *testing.T) {
		t.Parallel()
		s, _ := newTestSteerer(t, FragmentConfig{Datagrams: 8}) // 64 slots
		for id := range uint16(8) {
			steerAll(t, s, split4(id, 17, make([]byte, 88), 8)[:10]...)
		}
		// 80 fragments, 64 slots: the first 16 belong to the first two datagrams.
		if got := counted(s.count); got != "fragment_held 60 fragment_evicted 20 " {
			t.Errorf("counters: %s", got)
		}
	})
	t.Run("fragments of one datagram", func(t *testing.T) {
		t.Parallel()
		s, _ := newTestSteerer(t, FragmentConfig{})
		frames := split4(1, 17, make([]byte, 8*(maxPieces+2)), 8)
		steerAll(t, s, frames[:maxPieces]...)
		if got := counted(s.count); got != fmt.Sprintf("fragment_held %d ", maxPieces) {
			t.Errorf("counters: %s", got)
		}
		steerAll(t, s, frames[maxPieces])
		if got := counted(s.count); got != fmt.Sprintf("fragment_evicted %d ", maxPieces+1) {
			t.Errorf("counters: %s", got)
		}
	})
}

// TestFragmentStore sends datagrams through memory that holds a few of them, so
// that it goes round many times, and wants every byte of each.
func TestFragmentStore(t *testing.T) {
	t.Parallel()
	s, ring := newTestSteerer(t, FragmentConfig{Bytes: 1})
	for id := range uint16(40) {
		payload := random(40000 + 997*int(id%20))
		frames := split4(id, 17, udp(1, 2, payload), 15000)
		frames[0], frames[1] = frames[1], frames[0]
		steerAll(t, s, frames...)
		if got := ring.packets(); len(got) != int(id)+1 || !bytes.Equal(got[id].data(), payload) {
			t.Fatalf("datagram %d is not what was sent; counters: %s", id, counted(s.count))
		}
	}
}

// TestFragmentSlotAgain: what is left of a datagram in the store must not be
// taken for a piece of the one that has its slot now.
func TestFragmentSlotAgain(t *testing.T) {
	t.Parallel()
	s, _ := newTestSteerer(t, FragmentConfig{Datagrams: 1}) // room for 8 pieces
	steerAll(t, s, split4(1, 17, udp(1, 2, make([]byte, 88)), 32)...)
	steerAll(t, s, split4(2, 17, udp(1, 2, make([]byte, 8*7-8)), 8)...)
	if got := counted(s.count); got != "delivered 2 fragment_merged 8 " {
		t.Errorf("counters: %s", got)
	}
}

// TestFragmentsInTunnel puts a datagram together that was cut inside of a tunnel,
// and one that was cut inside and, once more, outside.
func TestFragmentsInTunnel(t *testing.T) {
	t.Parallel()
	payload := random(200)
	in := split4(5, 17, udp(53, 5353, payload), 104)
	vxlan := func(b []byte) []byte {
		return udp(1, 4789, cat([]byte{8, 0, 0, 0, 0, 0, 5, 0}, b))
	}
	var frames [][]byte
	for i, b := range in {
		frames = append(frames, split4(uint16(100+i), 17, vxlan(b), 64)...)
	}
	s, ring := newTestSteerer(t, FragmentConfig{})
	wire := 0
	for _, b := range frames {
		wire += len(b)
		steerAll(t, s, b)
	}
	if got, want := counted(s.count), fmt.Sprintf("delivered 1 fragment_merged %d ", len(frames)-1); got != want {
		t.Fatalf("counters: %s, want %s", got, want)
	}
	r := ring.packets()[0]
	if !bytes.Equal(r.data(), payload) || r.d().Link() != pkt.LinkVXLAN || int(r.d().WireLen()) != wire {
		t.Errorf("payload %x, link %d, wire length %d, want %x in VXLAN, %d", r.data(), r.d().Link(), r.d().WireLen(), payload, wire)
	}
}

// TestFragmentCut: what the capture cut cannot come back, but what stands before
// the cut is delivered and the lengths are those of the wire.
func TestFragmentCut(t *testing.T) {
	t.Parallel()
	payload := random(88)
	frames := split4(9, 17, udp(53, 5353, payload), 32)
	s, ring := newTestSteerer(t, FragmentConfig{})
	for i, b := range frames {
		f := frame(1, b)
		if i == 1 {
			f.Data = f.Data[:len(b)-20]
		}
		steerFrame(t, s, f)
	}
	if len(ring.packets()) != 1 {
		t.Fatalf("counters: %s", counted(s.count))
	}
	r := ring.packets()[0]
	if want := payload[:32+12-8]; !bytes.Equal(r.data(), want) || r.d().L4Len() != 88 || r.d().Flags()&pkt.FlagTruncated == 0 {
		t.Errorf("payload %x (length %d, flags %#x), want %x, 88, truncated", r.data(), r.d().L4Len(), r.d().Flags(), want)
	}
	f := frame(1, eth(0x0800, ip4opt(17, "10.0.0.1", "10.0.0.2", make([]byte, 40), make([]byte, 8)))[:50])
	f.WireLen = 200
	binary.BigEndian.PutUint16(f.Data[20:], 0x2000)
	steerFrame(t, s, f)
	if s.count[Short] != 1 {
		t.Errorf("fragment with its options cut: %s", counted(s.count))
	}
}

func TestFragmentAllocs(t *testing.T) {
	s, _ := newTestSteerer(t, FragmentConfig{})
	frames := split4(9, 6, make([]byte, 96), 32) // broken TCP: nothing reaches the ring
	ts := uint64(0)
	if n := testing.AllocsPerRun(500, func() {
		ts += uint64(5 * time.Second)
		for _, b := range frames {
			s.p.Parse(&source.Frame{Link: 1, WireLen: uint32(len(b)), Data: b})
			s.frags.add(&s.p, ts)
		}
	}); n != 0 {
		t.Errorf("%v allocations per datagram, want 0", n)
	}
}
