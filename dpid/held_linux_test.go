package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/proto/pkt"
	"weir/proto/verdict"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// inline makes a household whose capd holds packets.
func inline(t *testing.T) (dir, conf string) {
	t.Helper()
	dir, conf = household(t, "[workers]\ncount = 1")
	b, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), `source = "pcap"`, `source = "nfqueue"`, 1) +
		"\n[capture.nfqueue]\nhold = \"20ms\"\npackets = 0\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, conf
}

// waitFor calls f until it says true, for at most 20 s.
func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s after 20 s", what)
		}
	}
}

// look returns what a ring file says.
func look(t *testing.T, ring string) pktring.Info {
	t.Helper()
	v, err := pktring.OpenView(ring)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	i, err := v.Info()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// ask puts a packet that waits into the ring, of a flow that nobody knows.
func ask(t *testing.T, p *pktring.Producer, id uint64) {
	t.Helper()
	var d [pkt.DescSize]byte
	f := pkt.Fields{TS: id, HashLo: 5, HashHi: id, Ordinal: id | 2<<32 | 3<<48, Flags: pkt.FlagNFQ, Kind: pkt.KindPacket, IPProto: 6}
	f.Encode(d[:])
	if !p.Put(d[:], nil, nil) {
		t.Fatal("Put() = false")
	}
	p.Publish()
}

// TestAnswers: a worker that is closed in answers for packets that wait, finds a capd
// that comes later than it, keeps its heart beating while it idles, and takes its ring
// over after a kill.
func TestAnswers(t *testing.T) {
	whole(t)
	dir, conf := inline(t)
	p := captureRing(t, dir, false)
	root := layout.Root(dir)
	for life := range 2 {
		cmd, _, stderr := dpid("-config", conf)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		var c *pktring.Consumer
		waitFor(t, "verdict ring", func() (ok bool) {
			var err error
			c, err = pktring.OpenConsumer(root.VerdictRing(0, 0), root.VerdictCursor(0, 0), pktring.Options{Name: "capd", Mode: 0o644})
			if err == nil && !c.ProducerAlive() {
				err = errors.Join(layout.ErrAwait, c.Close())
			}
			if err != nil && !errors.Is(err, layout.ErrAwait) {
				t.Fatalf("%v\n%s", err, stderr)
			}
			return err == nil
		})
		// Until both sides know of each other and one has woken the other, and then some.
		id := uint64(0)
		waitFor(t, "wake by the worker", func() bool {
			id++
			if _, err := p.Housekeeping(); err != nil {
				t.Fatal(err)
			}
			ask(t, p, id)
			waitFor(t, "answer", func() bool { return c.Wait(0, 10*time.Millisecond) })
			v := verdict.Record(c.Peek(1))
			if v.Kind() != verdict.KindGoOn || v.ID() != uint32(id) || v.HashHi() != id || v.Queue() != 2 || v.Generation() != 3 {
				t.Errorf("life %d: answer of kind %#x to packet %d of flow %d", life, v.Kind(), v.ID(), v.HashHi())
			}
			c.Release(1)
			return id >= 3 && look(t, root.VerdictRing(0, 0)).Stats.Wakes > 0
		})
		beat := look(t, root.VerdictRing(0, 0)).Owner.Heartbeat
		waitFor(t, "heart-beat of an idle worker", func() bool { return look(t, root.VerdictRing(0, 0)).Owner.Heartbeat != beat })
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Process.Signal([]os.Signal{syscall.SIGKILL, syscall.SIGTERM}[life]); err != nil {
			t.Fatal(err)
		}
		if got := status(t, cmd); life == 1 && got != 0 {
			t.Errorf("status %d after SIGTERM, want 0:\n%s", got, stderr)
		}
		if strings.Contains(stderr.String(), "level=ERROR") {
			t.Errorf("a worker in good order complains:\n%s", stderr)
		}
	}
}
