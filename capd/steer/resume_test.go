package steer

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"weir/proto/pkt"
)

// TestResume kills a run at every record of every ring and holds that what the
// rings got from both runs together is what one undisturbed run gives.
func TestResume(t *testing.T) {
	t.Parallel()
	const n, workers = 400, 3
	run := func(outs []Output, last []pkt.Descriptor) Counters {
		s, err := New(Config{Seed: testSeed(), Outputs: outs, Last: last, Fragments: FragmentConfig{Datagrams: 4}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Run(t.Context(), stream(n)), s.Finish(t.Context())); err != nil {
			t.Fatal(err)
		}
		return s.Counters()
	}
	whole, outs := rings(workers)
	counters := run(outs, nil)
	most := 0
	for _, m := range whole {
		most = max(most, len(m.records))
	}
	r := rand.New(rand.NewPCG(5, 6))
	for cut := 0; cut <= most; cut++ {
		after, outs := rings(workers)
		last := make([]pkt.Descriptor, workers)
		cuts := make([]int, workers)
		for w, m := range whole {
			// Rings are published at different moments: one cut for all, then others.
			cuts[w] = min(cut, len(m.records))
			if cut%2 == 1 && w != cut%workers {
				cuts[w] = r.IntN(len(m.records) + 1)
			}
			if cuts[w] > 0 {
				last[w] = m.records[cuts[w]-1].d()
			}
		}
		if c := run(outs, last); c != counters {
			t.Fatalf("cuts %v: counters %s, want %s", cuts, counted(c), counted(counters))
		}
		for w, m := range whole {
			want, got := m.records[cuts[w]:], after[w].records
			if len(want) != len(got) {
				t.Fatalf("cuts %v: ring %d got %d records, want %d", cuts, w, len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(want[i].desc, got[i].desc) || !bytes.Equal(want[i].prefix, got[i].prefix) || !bytes.Equal(want[i].frame, got[i].frame) {
					t.Fatalf("cuts %v: ring %d: record %d differs", cuts, w, cuts[w]+i)
				}
			}
		}
	}
}

func TestResumeOrder(t *testing.T) {
	t.Parallel()
	type place struct {
		ordinal uint64
		kind    pkt.Kind
	}
	order := []place{{0, pkt.KindPacket}, {1, pkt.KindTick}, {1, pkt.KindPacket}, {2, pkt.KindLost}, {2, pkt.KindTick}, {2, pkt.KindPacket}, {3, pkt.KindTick}, {5, pkt.KindPacket}, {9, pkt.KindEOF}}
	for i, last := range order {
		f := pkt.Fields{Ordinal: last.ordinal, Kind: last.kind}
		d := make([]byte, pkt.DescSize)
		f.Encode(d)
		r := resumeAfter(d)
		for j, p := range order {
			if got, want := r.active && r.suppress(p.ordinal, p.kind), j <= i; got != want {
				t.Errorf("after %+v: %+v suppressed = %v, want %v", last, p, got, want)
			}
		}
	}
	if r := resumeAfter(nil); r.active {
		t.Error("a ring without a record is resumed")
	}
}
