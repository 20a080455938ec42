package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/proto/event"
	"weir/proto/pkt"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// background lets the worker run in a goroutine of its own. wait returns what Run returned.
func (r *rig) background(ctx context.Context) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- r.w.Run(ctx) }()
	return func() error {
		r.t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			r.t.Fatal("Run does not return")
			return nil
		}
	}
}

// TestRunToTheEnd: a run over a capture ends by itself when all rings have told
// their end, and says first that the worker attached.
func TestRunToTheEnd(t *testing.T) {
	for rings := 1; rings <= 3; rings++ {
		r := newRig(t, options{rings: rings, set: Settings{Offline: true, Spin: 100, Sleep: time.Millisecond}})
		wait := r.background(t.Context())
		for i := range rings {
			c := r.talk(fmt.Sprintf("10.0.0.%d:40000", i+1), web)
			c.ring = i
			c.open()
			c.c(tcpACK, httpGet)
			r.prod[i].Publish()
		}
		for i, p := range r.prod { // one ring after the other
			var d [pkt.DescSize]byte
			f := pkt.Fields{TS: epoch + uint64(i), Kind: pkt.KindEOF}
			f.Encode(d[:])
			p.Put(d[:], nil, nil)
			p.Publish()
		}
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		r.collect()
		ends := 0
		for _, h := range r.seen {
			if h.typ == event.FlowEnd {
				ends++
			}
		}
		if r.seen[0].typ != event.Epoch || ends != rings {
			t.Errorf("%d rings: first event %v, %d ends, want EPOCH and %d", rings, r.seen[0], ends, rings)
		}
		r.wantLaws()
	}
}

// TestRunUntilStopped: a live worker leaves when it is told to, and keeps its flows
// for the next one.
func TestRunUntilStopped(t *testing.T) {
	r := newRig(t, options{set: Settings{Sleep: time.Millisecond}})
	ctx, stop := context.WithCancel(t.Context())
	c := r.talk(client1, web)
	c.open()
	r.publish()
	wait := r.background(ctx)
	for end := time.Now().Add(10 * time.Second); r.prod[0].InRing() > 0; {
		if time.Now().After(end) {
			t.Fatal("the packets stay in the ring")
		}
	}
	stop()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	r.seen = nil
	r.collect()
	r.kill()
	if n := r.w.table.Live(); n != 1 {
		t.Errorf("%d flows after a restart, want 1", n)
	}
}

func (r *rig) publish() {
	for _, p := range r.prod {
		p.Publish()
	}
}

// TestSlowReader: offline, ends wait for readers without losing or doubling any; a
// worker that waits hears that it is to leave.
func TestSlowReader(t *testing.T) {
	r := newRig(t, options{flows: 4096, events: 256 << 10, wait: true, set: Settings{Offline: true, Sleep: time.Millisecond}})
	c := r.consumer("slow")
	for i := range 20 {
		r.talkOf(i * 100)
		r.run()
		c.read(1 << 20)
	}
	r.eof(time.Minute)
	r.publish()
	ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	if err := r.background(ctx)(); err != nil {
		t.Fatal(err)
	}
	if r.w.ended[0] || r.w.table.Live() == 0 {
		t.Fatal("all was told though nobody reads; the test is too weak")
	}
	at := r.cons[0].Position()
	wait := r.background(t.Context())
	for { // until the run ends
		n := c.read(1 << 20)
		if n == 0 && c.ended() == 2000 {
			break
		}
		if n == 0 {
			c.Wait(10 * time.Millisecond)
		}
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	c.read(1 << 20)
	if n := c.ended(); n != 2000 {
		t.Errorf("%d flows ended, want 2000", n)
	}
	if r.cons[0].Position() != at+1 {
		t.Error("the end mark was consumed before all was told")
	}
	r.wantLaws()
}

// ended counts the ends that c has read.
func (c *consumer) ended() (n int) {
	ids := map[uint64]bool{}
	for _, h := range c.got {
		if h.typ == event.FlowEnd {
			if id := h.flow().ID(); ids[id] {
				c.r.t.Errorf("flow %x ended twice", id)
			} else {
				ids[id] = true
			}
		}
	}
	return len(ids)
}

// TestOnePublication: however much the packets of a batch have to tell, nobody sees
// any of it before the batch is done: a kill would leave flows that never end.
func TestOnePublication(t *testing.T) {
	r := newRig(t, options{events: 256 << 10, flows: 4096, chunks: 1 << 16})
	long := strings.Repeat("x", 450)
	for i := range 300 {
		c := r.talk(fmt.Sprintf("10.0.%d.%d:40000", i>>8, i&255), web)
		c.open()
		c.c(tcpACK, "GET /"+long+" HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: "+long+"\r\nReferer: http://"+long+"\r\n\r\n")
	}
	r.tick(time.Hour)
	r.publish()
	for {
		before := r.events.Stats().Batches
		first := r.cons[0].Peek(1)
		if len(first) == 0 || pkt.Descriptor(first).Kind() == pkt.KindTick {
			break
		}
		if n, err := r.w.serve(0); n == 0 || err != nil {
			t.Fatalf("serve = %d, %v", n, err)
		}
		if n := r.events.Stats().Batches - before; n > 1 {
			t.Fatalf("one batch of packets was published in %d parts", n)
		}
		r.collect()
	}
	// The ends of the tick, too, a transaction at a time.
	for range 100 {
		before := r.events.Stats().Batches
		r.w.now = epoch + uint64(time.Hour)
		r.w.begin(0)
		ended := 0
		for ; r.w.room(); ended++ {
			slot, ok := r.w.table.Expired(r.w.now)
			if !ok {
				break
			}
			r.w.end(slot, r.w.table.Record(slot), event.EndIdle)
		}
		if n := r.events.Stats().Batches - before; n > 0 {
			t.Fatalf("after %d ends: published before the transaction is done", ended)
		}
		r.w.commit(0, 0)
		r.collect()
		if ended == 0 {
			break
		}
	}
	if r.w.table.Live() != 0 {
		t.Errorf("%d flows live on", r.w.table.Live())
	}
}

// fileRings opens a worker over rings in files, as in life.
func fileRings(t *testing.T) (*pktring.Producer, *pktring.Consumer, pktring.Config) {
	t.Helper()
	dir := t.TempDir()
	cfg := pktring.Config{Path: filepath.Join(dir, "p.ring"), CursorPath: filepath.Join(dir, "p.cur"), Descriptors: 1024, PayloadBytes: 1 << 20, Mode: 0o600}
	p, err := pktring.OpenProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	c, err := pktring.OpenConsumer(cfg.Path, cfg.CursorPath, pktring.Options{Name: "test", Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if !p.ConsumerAlive() {
		t.Fatal("ConsumerAlive() = false")
	}
	return p, c, cfg
}

// TestRingLost: a ring file that is truncated under the worker ends the run with an
// error that says so, also when a dissector meets the loss first.
func TestRingLost(t *testing.T) {
	p, c, cfg := fileRings(t)
	r := newRig(t, options{})
	r.prod, r.cons = []*pktring.Producer{p}, []*pktring.Consumer{c}
	r.start(true)
	for i := range 10 {
		k := r.talk(fmt.Sprintf("10.0.0.%d:40000", i), web)
		k.c(tcpACK, httpGet)
	}
	p.Publish()
	if err := os.Truncate(cfg.Path, layout.HeaderSize+64*1024); err != nil { // descriptors stay, payload goes
		t.Fatal(err)
	}
	if _, err := r.w.serve(0); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("serve of a truncated ring = %v, want ErrRingLost", err)
	}
	r.wantCount(cPanics, 0)
}

// TestRingReplaced: when capd has made a ring of another geometry, the worker reads
// the old one to its end and then leaves, so that it is started on the new one.
func TestRingReplaced(t *testing.T) {
	p, c, cfg := fileRings(t)
	r := newRig(t, options{})
	r.prod, r.cons = []*pktring.Producer{p}, []*pktring.Consumer{c}
	r.start(true)
	r.datagram(0, "10.0.0.1:40001", mystery, noise)
	p.Publish()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Descriptors *= 2
	q, err := pktring.OpenProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	if !c.Replaced() {
		t.Fatal("Replaced() = false, want true")
	}
	if past(c) {
		t.Error("past(ring with a packet in it) = true, want false")
	}
	if err := r.w.Run(t.Context()); !errors.Is(err, layout.ErrRingLost) {
		t.Errorf("Run with a replaced ring = %v, want ErrRingLost", err)
	}
	r.wantCount(cPackets, 1)
	if c.Backlog() != 0 {
		t.Errorf("%d packets left in the old ring, want 0", c.Backlog())
	}
}

// TestRingDeleted: a file that is gone while its producer lives is not given up: the
// producer will make a new one, and says when.
func TestRingDeleted(t *testing.T) {
	p, c, cfg := fileRings(t)
	if err := os.Remove(cfg.Path); err != nil {
		t.Fatal(err)
	}
	if !c.Replaced() || past(c) {
		t.Errorf("replaced %v, past %v, want true, false while the producer lives", c.Replaced(), past(c))
	}
	if rebuilt, err := p.Housekeeping(); !rebuilt || err != nil {
		t.Fatalf("Housekeeping() = %v, %v, want true", rebuilt, err)
	}
	if !past(c) {
		t.Error("past(deleted and made anew) = false, want true")
	}
}

// TestPoison: a packet that killed the worker twice is left out, and counted. What a
// kill leaves is a copy of the files at that moment.
func TestPoison(t *testing.T) {
	p, c, cfg := fileRings(t)
	r := newRig(t, options{})
	r.prod, r.cons = []*pktring.Producer{p}, []*pktring.Consumer{c}
	r.start(true)
	for i := range 5 {
		r.datagram(time.Duration(i), "10.0.0.1:4000"+port(i), mystery, noise)
	}
	p.Publish()
	for life := range 2 {
		descs := c.Peek(batchSize)
		r.w.begin(0)
		for i := range 3 { // the third one kills
			c.Inflight(uint64(i))
			if i < 2 {
				r.w.descriptor(c, uint64(i), pkt.Descriptor(descs[i*pkt.DescSize:(i+1)*pkt.DescSize]))
			}
		}
		next := cfg
		next.Path, next.CursorPath = fmt.Sprintf("%s.%d", cfg.Path, life), fmt.Sprintf("%s.%d", cfg.CursorPath, life)
		for from, to := range map[string]string{cfg.Path: next.Path, cfg.CursorPath: next.CursorPath} {
			b, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		cfg = next
		var err error
		if c, err = pktring.OpenConsumer(cfg.Path, cfg.CursorPath, pktring.Options{Name: "test", Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		r.prod, r.cons = nil, []*pktring.Consumer{c}
		r.kill()
	}
	if pos, bad := c.Poison(); !bad || pos != 2 {
		t.Fatalf("Poison() = %d, %v, want 2", pos, bad)
	}
	if n, err := r.w.serve(0); n != 5 || err != nil {
		t.Fatalf("serve = %d, %v, want 5", n, err)
	}
	r.wantCount(cPoison, 1)
	r.wantCount(cPackets, 4)
	r.wantLaws()
}

// TestHintsSurvive: an answer that an earlier process saw names a flow of the next.
func TestHintsSurvive(t *testing.T) {
	r := newRig(t, options{})
	r.asks(0, "10.0.0.1:5001", "www.example.org", "198.51.100.1")
	r.run()
	r.kill()
	if f := r.mystery(time.Second, "10.0.0.1:40000"); string(f.Host()) != "www.example.org" {
		t.Errorf("host = %q, want www.example.org", f.Host())
	}
	if !hint.NewReader(r.hints).Passed(epoch) {
		t.Error("Passed() = false after a restart")
	}
}

// TestForeignSlab: a slab of any bytes gives a worker that works.
func TestForeignSlab(t *testing.T) {
	r := newRig(t, options{flows: 64, chunks: 64})
	r.crowd(50)
	for i := 0; i < len(r.slab); i += 97 {
		r.slab[i] ^= byte(i)
	}
	r.kill()
	r.crowd(200)
	r.eof(time.Hour)
	r.run()
	live := 0
	r.w.table.Each(0, 64, func(_ uint32, rec *flow.Record) { live++ })
	if live != 0 || r.w.table.Live() != 0 {
		t.Errorf("%d flows live on after the end, %d counted", live, r.w.table.Live())
	}
}
