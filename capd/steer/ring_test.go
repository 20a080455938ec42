package steer

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"weir/capd/source"
	"weir/proto/pkt"
	"weir/shm/pktring"
)

var _ Output = (*pktring.Producer)(nil)

// drain reads a ring until its end mark, or until stop is closed and the ring is
// empty, and returns copies of what it held.
func drain(c *pktring.Consumer, stop <-chan struct{}) (out []record) {
	for {
		b := c.Peek(16)
		if len(b) == 0 {
			select {
			case <-stop:
				if b = c.Peek(16); len(b) == 0 {
					return out
				}
			default:
				c.Wait(0, 10*time.Millisecond)
				continue
			}
		}
		n := len(b) / pkt.DescSize
		for i := range n {
			d := b[i*pkt.DescSize : (i+1)*pkt.DescSize]
			r := record{desc: bytes.Clone(d)}
			if p := c.Payload(d); p != nil {
				r.prefix, r.frame = bytes.Clone(p[:pkt.PrefixSize]), bytes.Clone(p[pkt.PrefixSize:])
			}
			out = append(out, r)
		}
		c.Release(n)
		if out[len(out)-1].d().Kind() == pkt.KindEOF {
			return out
		}
	}
}

// TestRealRing runs a stream through a small ring file whose consumer is slower,
// stops in the middle, lets a second Steerer take the ring over, and wants what
// a memory ring gets from one undisturbed run.
func TestRealRing(t *testing.T) {
	t.Parallel()
	const n = 3000
	whole, outs := rings(1)
	s, err := New(Config{Seed: testSeed(), Outputs: outs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), stream(n)); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	cfg := pktring.Config{
		Path: filepath.Join(dir, "p.ring"), CursorPath: filepath.Join(dir, "p.cur"),
		Descriptors: 64, PayloadBytes: 1 << 17, Wait: true, Mode: 0o600,
	}
	got := make(chan []record)
	stop := make(chan struct{})
	for run, frames := range []int{n / 3, n} {
		p, err := pktring.OpenProducer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			c, err := pktring.OpenConsumer(cfg.Path, cfg.CursorPath, pktring.Options{Name: "test", Mode: 0o600})
			if err != nil {
				t.Fatal(err)
			}
			go func() { got <- drain(c, stop); _ = c.Close() }()
		}
		var last []pkt.Descriptor
		if d, ok := p.Last(); ok {
			last = []pkt.Descriptor{d[:]}
		}
		s, err := New(Config{
			Seed: testSeed(), Outputs: []Output{p}, Last: last,
			Housekeep: func() error { _, err := p.Housekeeping(); return err },
		})
		if err != nil {
			t.Fatal(err)
		}
		src := stream(n)
		src.list = src.list[:frames]
		if err := s.Run(t.Context(), src); err != nil {
			t.Fatal(err)
		}
		if run == 1 {
			if err := s.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	records := <-got
	close(stop)
	want := whole[0].records
	if len(records) != len(want) {
		t.Fatalf("%d records through the ring, want %d", len(records), len(want))
	}
	for i, r := range records {
		clear(r.desc[24:32]) // the ring's own payload position
		clear(want[i].desc[24:32])
		if !bytes.Equal(r.desc, want[i].desc) || !bytes.Equal(r.prefix, want[i].prefix) || !bytes.Equal(r.frame, want[i].frame) {
			t.Fatalf("record %d differs:\n%x\n%x", i, r.desc, want[i].desc)
		}
	}
}

// TestLongestFrame: a frame of any length goes through a real ring.
func TestLongestFrame(t *testing.T) {
	t.Parallel()
	p, c, err := pktring.NewHeap(pktring.Config{Descriptors: 16, PayloadBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Seed: testSeed(), Outputs: []Output{p}})
	if err != nil {
		t.Fatal(err)
	}
	b := outer(6, tcp(1, 2, string(make([]byte, source.MaxFrame-54))))
	b[16], b[17] = 0, 0
	steerFrame(t, s, frame(1, b))
	s.publish()
	if d := c.Peek(1); len(d) == 0 || int(pkt.Descriptor(d).CapLen()) != p.MaxFrame() || pkt.Descriptor(d).WireLen() != source.MaxFrame {
		t.Errorf("descriptor %x, want %d of %d bytes", d, p.MaxFrame(), source.MaxFrame)
	}
}
