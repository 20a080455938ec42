package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/ringctl/look"
)

// pair is two looks, two seconds apart, at a ring of each kind.
func pair() (was, now *look.Instance) {
	build := func(sec, n uint64) *look.Instance {
		return &look.Instance{At: sec * uint64(time.Second), Rings: []*look.Ring{
			{
				Name: "c00-w00", Kind: look.Packet, Size: 1000, Tail: 100 * n, Header: layout.Header{RingID: 1},
				Packets: pktring.ProducerStats{Records: 100 * n, Bytes: 5000 * n, Batches: 10 * n, Dropped: 4 * n, Wakes: 2 * n},
				Readers: []*look.Reader{{
					Name: "dpid worker 0", Cursor: "c00-w00", Lag: 50 * n, Info: cursor.Info{Position: 50 * n},
					Packets: pktring.ConsumerStats{Sleeps: 6 * n},
				}},
			},
			{
				Name: "w00", Kind: look.Event, Size: 100000, Tail: 1000 * n, Header: layout.Header{RingID: 2},
				Events: evtring.ProducerStats{Events: 10 * n, Bytes: 900 * n, Batches: 5 * n},
				Readers: []*look.Reader{
					{Name: "fast", Cursor: "fast.w00", Info: cursor.Info{Position: 1000 * n}},
					{Name: "slow", Cursor: "slow.w00", Lag: 2000, Info: cursor.Info{Position: 900 * n}, Events: evtring.ReaderStats{Lost: 3 * n, Overruns: n}},
				},
			},
		}}
	}
	return build(10, 2), build(12, 4)
}

func TestRates(t *testing.T) {
	t.Parallel()
	was, now := pair()
	want := rateJSON{
		Ring: "c00-w00", Seconds: 2, Records: 100, Bytes: 5000, Batch: 10, Dropped: 4, Wakes: 2,
		Slowest: "dpid worker 0", Lag: 200, Unit: "descriptors", Fill: 0.2, ReadPerS: 50, SleepPerS: 6,
	}
	if got := rateOf(was, now, now.Rings[0]); got != want {
		t.Errorf("rateOf(packet ring) = %+v\nwant %+v", got, want)
	}
	want = rateJSON{
		Ring: "w00", Seconds: 2, Records: 10, Bytes: 900, Batch: 2, Slowest: "slow", Lag: 2000, Unit: "bytes", Fill: 0.02,
		Overruns: 2, Lost: 6, ReadPerS: 900,
	}
	if got := rateOf(was, now, now.Rings[1]); got != want {
		t.Errorf("rateOf(event ring) = %+v\nwant %+v", got, want)
	}
	now.Rings[0].Header.RingID = 9 // another ring by now: nothing to compare
	if got := rateOf(was, now, now.Rings[0]); got.Records != 0 || got.Seconds != 0 {
		t.Errorf("rateOf(new ring) = %+v, want no rates", got)
	}
	now.Rings[1].Tail, now.Rings[1].Events.Bytes = 5, 5 // began anew
	if got := rateOf(was, now, now.Rings[1]); got.Bytes != 0 {
		t.Errorf("rateOf(counters that went back) = %+v, want 0 bytes", got)
	}
}

func TestLags(t *testing.T) {
	t.Parallel()
	was, now := pair()
	now.Rings[1].Readers[0].Lapped = true
	for i, want := range []struct{ cursor, left string }{
		{"c00-w00", "in 16s"}, // 800 free, 100 come and 50 go a second
		{"slow.w00", "in 16m20s"},
		{"fast.w00", "lapped"},
	} {
		row := lags(was, now)[i]
		if row.Cursor != want.cursor || row.left() != want.left {
			t.Errorf("row %d = %s %s, want %s %s", i, row.Cursor, row.left(), want.cursor, want.left)
		}
	}
	long := 1e6
	for _, tt := range []struct {
		row  lagJSON
		want string
	}{{lagJSON{}, "-"}, {lagJSON{Seconds: &long}, "in more than a day"}} {
		if got := tt.row.left(); got != tt.want {
			t.Errorf("left() = %q, want %q", got, tt.want)
		}
	}
}

// TestLive looks at an instance that lives, whose rates need two looks.
func TestLive(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	root := string(s.root)
	out, errs, status := ringctl(t, "-root", root, "stat", "-n", "2", "-w", "1ms", "-json")
	if n := strings.Count(out, "\n"); n != 8 || status != exitOK || errs != "" {
		t.Errorf("stat -n 2 of 4 rings: %d lines, status %d, %s", n, status, errs)
	}
	var rate rateJSON
	if err := json.Unmarshal([]byte(out[:strings.Index(out, "\n")]), &rate); err != nil || rate.Seconds <= 0 {
		t.Errorf("first line: %+v, %v", rate, err)
	}
	out, _, _ = ringctl(t, "-root", root, "stat", "-n", "1", "-w", "1ms")
	if !strings.Contains(out, "SLOWEST") || !strings.Contains(out, "policyd") {
		t.Errorf("stat says\n%s", out)
	}
	out, _, _ = ringctl(t, "-root", root, "status", "-w", "1ms")
	words := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"Nothing is stuck: capd has left, 4 records still unread.", "policyd runs", "dpid worker 0 left"} {
		if !strings.Contains(words, want) {
			t.Errorf("status says\n%swant %q", out, want)
		}
	}
	if out, _, _ := ringctl(t, "-root", root, "info", "w01"); !strings.Contains(out, "yes: its owner lives") || !strings.Contains(out, " ago\n") {
		t.Errorf("info says\n%s", out)
	}
}

// TestProcess asks for the state of this very process.
func TestProcess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	in, err := look.Dir(s.root)
	s.must(err)
	r := in.Ring("w01")
	if r.Process != look.Running || r.Owner.PID != os.Getpid() || in.Silence(r.Owner) <= 0 || in.Silence(r.Owner) > time.Minute {
		t.Errorf("process %c of %+v, silent for %s", r.Process, r.Owner, in.Silence(r.Owner))
	}
	if r := in.Ring("w00"); r.Process != look.Unknown || in.Silence(r.Owner) != 0 {
		t.Errorf("process %c of one that has left, silent for %s", r.Process, in.Silence(r.Owner))
	}
}
