package dissect

import (
	"encoding/binary"
	"math/bits"
)

// maxSpecs bounds the registry; a candidate set is so many bits.
const maxSpecs = 256

// Trial is the state of inspecting one flow: which protocols are still possible
// and, once one said Yes, which it is. The zero value is not ready: call Init.
type Trial struct {
	candidates [maxSpecs / 64]uint64
	wrote      [maxSpecs / 64]uint64 // have something in their scratch
	chosen     int16                 // index into All, -1 while none
	first      uint8                 // index into portLists: the candidates to try first
	flight     bool                  // see Unfinished
}

// tables are derived from the registry once, at the first Init.
type tables struct {
	over        [8][maxSpecs / 64]uint64   // candidates by transport
	ipProto     [256][maxSpecs / 64]uint64 // candidates straight over IP
	portLists   [][]uint8                  // specs that claim a port; list 0 is empty
	port        [2][65536]uint8            // port -> list, for TCP and UDP
	carries     [][maxSpecs / 64]uint64    // by spec: who may take its flows over
	scratch     int                        // bytes of the scratch block of a flow
	scratchOver Transport                  // transports that have a protocol with scratch
}

var derived *tables

// Prepare derives the look-up tables from the registry. A daemon calls it once
// before the first Trial; it is not safe to call beside one.
func Prepare() {
	t := &tables{portLists: [][]uint8{nil}}
	for i, s := range registry {
		s.scratch = t.scratch
		t.scratch += (s.Scratch + 7) &^ 7
		if s.Scratch > 0 {
			t.scratchOver |= s.Over
		}
		for tr := TCP; tr <= UDP; tr <<= 1 {
			if s.Over&tr == 0 {
				continue
			}
			t.over[tr][i/64] |= 1 << (i % 64)
			for _, p := range s.Ports {
				t.addPort(int(tr>>1), p, uint8(i))
			}
		}
		for _, p := range s.IPProtos {
			t.ipProto[p][i/64] |= 1 << (i % 64)
		}
	}
	t.carries = make([][maxSpecs / 64]uint64, len(registry))
	for i, s := range registry {
		for _, name := range s.Carries {
			if c, ok := ByName(name); ok {
				t.carries[i][c.index/64] |= 1 << (c.index % 64)
			}
		}
	}
	derived = t
}

func (t *tables) addPort(tr int, port uint16, spec uint8) {
	l := t.port[tr][port]
	if l != 0 {
		t.portLists[l] = append(t.portLists[l], spec)
		return
	}
	if len(t.portLists) > 255 {
		return // order only: a port beyond the table is tried with the rest
	}
	t.port[tr][port] = uint8(len(t.portLists))
	t.portLists = append(t.portLists, []uint8{spec})
}

// ScratchSize returns the size in bytes of the block that Input.Scratch must be.
func ScratchSize() int { return derived.scratch }

// WantsScratch reports whether a flow over tr needs a scratch block at all.
func WantsScratch(tr Transport) bool { return derived.scratchOver&tr != 0 }

// LikelyPort reports whether a protocol over tr names port as its own, and which.
func LikelyPort(tr Transport, port uint16) (*Spec, bool) {
	if tr != TCP && tr != UDP {
		return nil, false
	}
	l := derived.portLists[derived.port[tr>>1][port]]
	if len(l) == 0 {
		return nil, false
	}
	return registry[l[0]], true
}

// Wrote reports whether the trial left something in its scratch block, so that the
// block must stay with the flow.
func (t *Trial) Wrote() bool {
	set := uint64(0)
	for _, w := range t.wrote {
		set |= w
	}
	return set != 0
}

// Clean zeroes what the trial left in a scratch block, so that the next flow finds
// it as it must be, without clearing all of it.
func (t *Trial) Clean(block []byte) {
	for w, set := range t.wrote {
		for ; set != 0; set &= set - 1 {
			s := registry[w*64+bits.TrailingZeros64(set)]
			clear(block[s.scratch : s.scratch+s.Scratch])
		}
	}
	t.wrote = [maxSpecs / 64]uint64{}
}

// Init makes t ready for a flow of transport tr with these ports.
func (t *Trial) Init(tr Transport, ipProto uint8, clientPort, serverPort uint16) {
	t.chosen, t.first, t.wrote, t.flight = -1, 0, [maxSpecs / 64]uint64{}, false
	if tr == IP {
		t.candidates = derived.ipProto[ipProto]
		return
	}
	t.candidates = derived.over[tr]
	t.first = derived.port[tr>>1][serverPort]
	if t.first == 0 {
		t.first = derived.port[tr>>1][clientPort]
	}
}

// Chosen returns the protocol that said Yes, nil while none did.
func (t *Trial) Chosen() *Spec {
	if t.chosen < 0 {
		return nil
	}
	return registry[t.chosen]
}

// Unfinished reports whether the last call of Inspect showed the middle of a flight
// that can name the flow: what a protocol that is still possible says of it or, once
// one is chosen, what that one says.
func (t *Trial) Unfinished() bool { return t.flight }

// Inspect shows in to the protocols that are still possible, those of the port
// first. It returns Yes or YesMore with the protocol in Chosen and its findings in
// out, More while one is possible, No when none is left.
func (t *Trial) Inspect(in *Input, out *Result) Verdict {
	t.flight = false
	if t.chosen >= 0 {
		if v := t.takeOver(in, out); v >= YesMore {
			return v
		}
		out.Reset()
		v := t.show(int(t.chosen), in, out)
		t.flight = v == YesMore && (t.flight || out.unfinished)
		return v
	}
	for _, i := range derived.portLists[t.first] {
		if v := t.try(int(i), in, out); v >= YesMore {
			return v
		}
	}
	tried := t.first
	for w := range t.candidates {
		for set := t.candidates[w]; set != 0; set &= set - 1 {
			i := w*64 + bits.TrailingZeros64(set)
			if tried != 0 && contains(derived.portLists[tried], uint8(i)) {
				continue
			}
			if v := t.try(i, in, out); v >= YesMore {
				return v
			}
		}
	}
	for _, w := range t.candidates {
		if w != 0 {
			return More
		}
	}
	return No
}

// takeOver shows in to the protocols that the chosen one carries.
func (t *Trial) takeOver(in *Input, out *Result) Verdict {
	for w, set := range derived.carries[t.chosen] {
		for set &= t.candidates[w]; set != 0; set &= set - 1 {
			if v := t.try(w*64+bits.TrailingZeros64(set), in, out); v >= YesMore {
				return v
			}
		}
	}
	return No
}

func contains(list []uint8, i uint8) bool {
	for _, l := range list {
		if l == i {
			return true
		}
	}
	return false
}

// try shows in to protocol i, if it is still possible, and keeps what it says.
func (t *Trial) try(i int, in *Input, out *Result) Verdict {
	bit := uint64(1) << (i % 64)
	if t.candidates[i/64]&bit == 0 {
		return No
	}
	out.Reset()
	v := t.show(i, in, out)
	switch v {
	case No:
		t.candidates[i/64] &^= bit
	case More:
		t.flight = t.flight || out.unfinished
	case Yes, YesMore:
		t.chosen = int16(i)
		t.flight = v == YesMore && out.unfinished
	}
	return v
}

// show calls Detect with no more than the bytes the protocol asked for and its own
// part of the scratch block, and notes whether that is in use from now on.
func (t *Trial) show(i int, in *Input, out *Result) Verdict {
	s := registry[i]
	client, server, scratch := in.Client, in.Server, in.Scratch
	if s.Over&TCP != 0 && in.IPProto == 6 {
		in.Client = client[:min(len(client), s.Bytes)]
		in.Server = server[:min(len(server), s.Bytes)]
	}
	in.Scratch = nil
	if s.Scratch > 0 {
		in.Scratch = scratch[s.scratch : s.scratch+s.Scratch : s.scratch+s.Scratch]
	}
	v := s.Detect(in, out)
	if s.Scratch > 0 && binary.LittleEndian.Uint64(in.Scratch) != 0 {
		t.wrote[i/64] |= 1 << (i % 64)
	}
	in.Client, in.Server, in.Scratch = client, server, scratch
	return v
}
