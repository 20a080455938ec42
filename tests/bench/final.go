package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/dpid/flow"
	"weir/proto/flowkey"
	"weir/shm/layout"
)

// benchFinal measures packets of flows whose inspection is over, nearly all packets
// of a network: parsed, hashed, through a ring, looked up and counted in one process,
// against the same parser and a Go map.
func benchFinal(b *bench) error {
	file, about, err := b.sampleCapture()
	if err != nil {
		return err
	}
	limit, flows := 300_000, 1_000_000
	if b.quick {
		limit, flows = 2000, 2000
	}
	s, err := recorded("order of mix A", file, limit, 1.3)
	if err != nil {
		return err
	}
	if err := b.final(s, "flows, directions and lengths of "+about); err != nil {
		return err
	}
	if err := b.apart(s); err != nil {
		return err
	}
	if err := b.final(zipf(flows, flows, 2.5), "exponent 1.1"); err != nil {
		return err
	}
	return b.final(uniform(flows, flows, 5), "")
}

// final is one row.
func (b *bench) final(s *stream, about string) error {
	return inPlace(func(root layout.Root, seed *flowkey.Seed) error {
		t, done, err := newTurns(root, seed, b.catalog(), 1)
		if err != nil {
			return errors.Join(err, done())
		}
		t.step = 500
		if err := errors.Join(t.open(s.flows), allFinal(t.worker, s.flows)); err != nil {
			return errors.Join(err, done())
		}
		m, err := newKeyMap(s.flows)
		if err != nil {
			return errors.Join(err, done())
		}
		var worker []float64
		err = b.compare(row{what: "final, " + s.name, unit: "ns/packet", reference: "parse + Go map", want: s.want},
			func() (float64, error) {
				all, ns, err := t.pass(s.frames)
				worker = append(worker, ns)
				return all, err
			},
			func() (float64, error) { return m.pass(s.frames) })
		if err == nil {
			if about != "" {
				about += "; "
			}
			b.last().note = fmt.Sprintf("%s%d packets of %d flows, %.3g ns of it the worker's", about, len(s.frames), s.flows, median(worker))
		}
		return errors.Join(err, allFinal(t.worker, s.flows), done())
	})
}

// allFinal wants n flows, none of which is inspected any more.
func allFinal(w *benchWorker, n int) error {
	final := 0
	w.table.Each(0, w.table.Cap(), func(_ uint32, r *flow.Record) {
		if r.Has(flow.Final) {
			final++
		}
	})
	if final != n || int(w.table.Live()) != n {
		return fmt.Errorf("%d flows are alive, %d of them final, want %d", w.table.Live(), final, n)
	}
	return nil
}

// pass returns the CPU time of a packet and how much of it was the worker's.
func (t *turns) pass(frames []source.Frame) (ns, worker float64, err error) {
	t.worked = 0
	took := time.Duration(0)
	start := threadTime()
	err = t.all(frames, func(piece []source.Frame) { took -= touch(piece) })
	took += threadTime() - start
	n := float64(len(frames))
	return float64(took) / n, float64(t.worked) / n, err
}

// keyMap is the rival: our parser and a Go map of pointers.
type keyMap map[flowkey.Key]*value

func newKeyMap(flows int) (keyMap, error) {
	m := make(keyMap, flows)
	var p steer.Packet
	for i := range flows {
		f := finalFrame(i, false, nil)
		if p.Parse(&f) != steer.Delivered {
			return nil, fmt.Errorf("frame of flow %d is not parsed", i)
		}
		m[p.Key] = new(value)
	}
	runtime.GC()
	return m, nil
}

func (m keyMap) pass(frames []source.Frame) (float64, error) {
	took := time.Duration(0)
	var p steer.Packet
	for at := 0; at < len(frames); at += pieceSize {
		piece := frames[at:min(at+pieceSize, len(frames))]
		touch(piece)
		start := threadTime()
		for i := range piece {
			if p.Parse(&piece[i]) != steer.Delivered {
				return 0, errors.New("a frame is not parsed")
			}
			v := m[p.Key]
			if v == nil {
				return 0, errors.New("a flow is not in the map")
			}
			v.packets++
			v.bytes += uint64(p.Fields.WireLen)
			v.last = uint64(at + i)
		}
		took += threadTime() - start
	}
	return float64(took) / float64(len(frames)), nil
}
