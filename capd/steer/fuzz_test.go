package steer

import (
	"bytes"
	"testing"
	"time"

	"weir/capd/source"
	"weir/proto/pkt"
)

// FuzzParse wants no panic, offsets in order and in the frame, a result that
// does not depend on the frame before, and the same by the fast way and the long.
func FuzzParse(f *testing.F) {
	f.Add(uint16(1), uint16(0), eth(0x8100, vlan(5, 0x0800, inner())))
	f.Add(uint16(1), uint16(9), eth(0x86dd, ip6(0, "fd00::1", "fd00::2", ext(44, 1, frag6(17, 1, 0, true, make([]byte, 16))))))
	f.Add(uint16(1), uint16(0), eth(0x8847, cat(u32(0x00010140, 0), eth(0x0800, inner()))))
	f.Add(uint16(1), uint16(0), outer(47, cat(u16(0x3081, 0x880b), u32(0x00200001, 1, 2), []byte{0xff, 3, 0, 0x21}, inner())))
	f.Add(uint16(1), uint16(0), outer(51, cat([]byte{4, 4, 0, 0}, u32(1, 2, 3, 4, 5), inner())))
	for _, port := range []uint16{portL2TP, portGTPU, portTeredo, portVXLAN, portCAPWAP, portGeneve} {
		f.Add(uint16(1), uint16(0), outer(17, udp(port, port, cat([]byte{8, 0, 0x65, 0x58, 0, 0, 5, 0}, eth(0x0800, inner())))))
	}
	f.Add(uint16(1), uint16(0), outer(17, udp(1, portGTPU, cat([]byte{0x34, 0xff, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0x85, 1, 0, 0, 0}, inner()))))
	f.Add(uint16(1), uint16(0), outer(17, udp(1, portCAPWAP, cat(u32(2<<19|1<<8, 0), u16(0x8803), make([]byte, 30), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, inner()))))
	f.Add(uint16(1), uint16(0), outer(6, tcp(1, 2, "x")))
	f.Add(uint16(1), uint16(0), cat(outer(17, udp(1, 2, make([]byte, 20))), make([]byte, 5)))
	for _, link := range []uint16{0, 9, 12, 50, 51, 101, 104, 113, 192, 276} {
		f.Add(link, uint16(0), cat([]byte{0, 0, 0, 2}, inner()))
	}
	var p Packet
	f.Fuzz(func(t *testing.T, link, cut uint16, b []byte) {
		fr := frame(uint32(link), bytes.Clone(b))
		fr.WireLen += uint32(cut)
		out := p.Parse(fr)
		var fresh Packet
		if again := fresh.layerwise(fr); again != out {
			t.Fatalf("Parse = %v after another frame, %v in a fresh Packet, layer by layer", out, again)
		}
		if out == Held {
			if g := p.frag; g.l3 > g.head || g.head > g.data || g.data > len(b) || g.data >= g.end || g.off < 0 {
				t.Fatalf("fragment out of order: %+v in %d bytes", g, len(b))
			}
			return
		}
		if out != Delivered {
			return
		}
		x := p.Prefix
		if x.L3 > x.L4 || x.L4 > x.Data || int(x.Data) > len(b) {
			t.Fatalf("offsets %+v in %d bytes", x, len(b))
		}
		if p.Fields != fresh.Fields || p.Prefix != fresh.Prefix || p.Key != fresh.Key {
			t.Fatalf("result depends on the frame before, or on the way: %+v, %+v", p, fresh)
		}
		src, dst, key := fresh.src.bytes(), fresh.dst.bytes(), p.Key
		sport, dport := p.Key.PortA, p.Key.PortB
		if p.Fields.Flags&pkt.FlagReverse != 0 {
			sport, dport = dport, sport
		}
		if rev := key.Set(&src, &dst, sport, dport); key != p.Key || rev != (p.Fields.Flags&pkt.FlagReverse != 0) {
			t.Fatalf("key %+v, want %+v as flowkey has it", p.Key, key)
		}
		if fr.WireLen == uint32(len(b)) && int(p.Fields.L4Len) > len(b)-int(x.Data) {
			t.Fatalf("payload of %d bytes at %d in a whole frame of %d", p.Fields.L4Len, x.Data, len(b))
		}
	})
}

// naive is reassembly written for clarity, without any limit.
type naive struct {
	pieces map[int][]byte // by offset
	total  int
	dead   uint64 // when, 0 if not
	done   uint64
	born   uint64
}

func (m *naive) add(off int, data []byte, more bool, now uint64) (out Outcome, whole []byte) {
	end := off + len(data)
	if m.total >= 0 && (!more && end != m.total) {
		return FragmentOverlap, nil
	}
	if old, ok := m.pieces[off]; ok && bytes.Equal(old, data) {
		return FragmentDuplicate, nil
	}
	if m.total >= 0 && end > m.total {
		return FragmentOverlap, nil
	}
	size := len(data)
	for o, d := range m.pieces {
		if off < o+len(d) && o < end || !more && o >= end {
			return FragmentOverlap, nil
		}
		size += len(d)
	}
	m.pieces[off] = data
	if !more {
		m.total = end
	}
	if size != m.total {
		return Held, nil
	}
	whole = make([]byte, size)
	for o, d := range m.pieces {
		copy(whole[o:], d)
	}
	return Delivered, whole
}

// FuzzFragments plays a script of fragments, four bytes each, and wants what the
// naive reassembly gives, and the law of the counters at every step.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{0, 1, 2, 0, 0, 0x23, 2, 0})
	f.Add([]byte{0, 1, 2, 0, 0, 1, 2, 0, 0, 0x13, 2, 1, 0, 0x23, 2, 0})
	f.Add([]byte{0, 1, 2, 0, 1, 1, 2, 0, 0, 0x23, 2, 0, 1, 0x23, 2, 0x40, 0, 1, 2, 0xf0})
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 4*400)] // less than the table has room for
		s, ring := newTestSteerer(t, FragmentConfig{Datagrams: 64, Bytes: 1})
		models := map[byte]*naive{}
		now := uint64(1e18)
		var want Counters
		var wholes [][]byte
		for ; len(script) >= 4; script = script[4:] {
			id, off, n := script[0]&3, int(script[1]>>4)*8, int(script[2]&3+1)*8
			more := script[1]&1 != 0
			now += uint64(script[3]>>4) * uint64(time.Second)
			if off == 0 && !more {
				continue // no fragment
			}
			data := make([]byte, n)
			for i := range data {
				data[i] = byte(off+i) ^ script[3]&1
			}
			fr := frame(1, eth(0x0800, ip4frag(uint16(id), off, more, 253, data)))
			fr.TS = now
			for i, m := range models {
				if m.dead == 0 && m.done == 0 && now-m.born > uint64(30*time.Second) {
					want[Held] -= uint64(len(m.pieces))
					want[FragmentTimeout] += uint64(len(m.pieces))
					delete(models, i)
				}
			}
			m := models[id]
			if m != nil && (m.dead != 0 && now-m.dead > uint64(30*time.Second) || m.done != 0 && now-m.done > lateWindow) {
				m = nil
			}
			if m == nil {
				m = &naive{pieces: map[int][]byte{}, total: -1, born: now}
				models[id] = m
			}
			switch out, whole := (Outcome)(0), []byte(nil); {
			case m.dead != 0:
				want[FragmentOverlap]++
			case m.done != 0:
				want[FragmentLate]++
			default:
				held := uint64(len(m.pieces))
				out, whole = m.add(off, data, more, now)
				want[out]++
				if out == FragmentOverlap {
					want[Held], want[FragmentOverlap] = want[Held]-held, want[FragmentOverlap]+held
					m.dead = m.born
				}
				if out == Delivered {
					want[Held], want[Merged] = want[Held]-held, want[Merged]+held
					m.done = now
					wholes = append(wholes, whole)
				}
			}
			steerFrame(t, s, fr)
			if s.count != want {
				t.Fatalf("counters: %s, want %s", counted(s.count), counted(want))
			}
		}
		got := ring.packets()
		if len(got) != len(wholes) {
			t.Fatalf("%d datagrams, want %d", len(got), len(wholes))
		}
		for i, r := range got {
			if !bytes.Equal(r.data(), wholes[i]) || r.d().Flags()&pkt.FlagFragment == 0 {
				t.Fatalf("datagram %d = %x, want %x", i, r.data(), wholes[i])
			}
		}
	})
}

// FuzzSteer cuts its input into frames and wants the laws that hold for any
// stream, with tables so small that everything is pushed out.
func FuzzSteer(f *testing.F) {
	join := func(frames ...[]byte) (b []byte) {
		for _, fr := range frames {
			b = append(append(b, 1, byte(len(fr))), fr...)
		}
		return b
	}
	f.Add(join(split4(1, 17, udp(1, 2, make([]byte, 100)), 32)...))
	f.Add(join(split6(1, 17, udp(1, 2, make([]byte, 100)), 32)...))
	f.Add(join(outer(6, tcp(1, 2, "x")), outer(4, inner()), eth(0x0806, make([]byte, 28))))
	in := split4(5, 17, udp(53, 5353, make([]byte, 60)), 40)
	f.Add(join(append(split4(6, 4, in[0][14:], 40), split4(7, 4, in[1][14:], 40)...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem, outs := rings(2)
		s, err := New(Config{Seed: testSeed(), Outputs: outs, Fragments: FragmentConfig{Datagrams: 2}})
		if err != nil {
			t.Fatal(err)
		}
		for len(b) >= 2 {
			n := min(int(b[1]), len(b)-2)
			fr := &source.Frame{TS: s.ordinal << 24, WireLen: uint32(n), Link: uint32(b[0]), Data: b[2 : 2+n : 2+n]}
			b = b[2+n:]
			steerFrame(t, s, fr)
		}
		if err := s.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		packets := uint64(len(mem[0].packets()) + len(mem[1].packets()))
		if s.count.Sum() != s.ordinal || s.count[Held] != 0 || packets != s.count[Delivered] {
			t.Fatalf("%d frames, %d packets in the rings, counters %s", s.ordinal, packets, counted(s.count))
		}
	})
}
