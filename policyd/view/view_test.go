package view

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/proto/event"
)

func report(id uint64, rev uint32, port uint16) event.Flow {
	c := event.Counters{ID: id, Rev: rev, Worker: uint16(id >> 56), ClientPort: port, ServerPort: 443, IPProto: 6, IPVersion: 6}
	c.Client[15], c.Server[15] = 1, 2
	b := make([]byte, event.DescriptionAt)
	c.Encode(b)
	f, err := event.ParseFlow((&event.Description{Protocol: "tls"}).Append(b))
	if err != nil {
		panic(err)
	}
	return f
}

func merge(t *testing.T, v *View[int], w int, typ event.Type, f event.Flow) (*Flow[int], Change) {
	t.Helper()
	got, change, err := v.Merge(w, typ, 1, f)
	if err != nil {
		t.Fatal(err)
	}
	return got, change
}

func TestMerge(t *testing.T) {
	v := New[int](2, 10)
	steps := []struct {
		name string
		typ  event.Type
		rev  uint32
		want Change
		kept uint32
	}{
		{"first report", event.FlowNew, 1, Added, 1},
		{"newer", event.FlowClass, 3, Updated, 3},
		{"older", event.FlowUpdate, 2, None, 3},
		{"again", event.FlowClass, 3, None, 3},
		{"snapshot of the same", event.SnapFlow, 3, None, 3},
		{"end", event.FlowEnd, 4, Ended, 4},
		{"end again", event.FlowEnd, 4, Ended, 4},
	}
	for _, s := range steps {
		f, change := merge(t, v, 1, s.typ, report(1<<56|5, s.rev, 1))
		if change != s.want || f.Rev() != s.kept {
			t.Errorf("%s: Merge = revision %d, %d, want %d, %d", s.name, f.Rev(), change, s.kept, s.want)
		}
	}
	if v.Len(1) != 0 {
		t.Errorf("Len = %d after the end, want 0", v.Len(1))
	}
}

func TestMergeKeepsState(t *testing.T) {
	v := New[int](1, 10)
	f, _ := merge(t, v, 0, event.FlowNew, report(5, 1, 1))
	f.State = 42
	if f, _ = merge(t, v, 0, event.FlowClass, report(5, 2, 1)); f.State != 42 {
		t.Errorf("State = %d after an update, want 42", f.State)
	}
	if f, _ = merge(t, v, 0, event.FlowEnd, report(5, 3, 1)); f.State != 42 {
		t.Errorf("State = %d at the end, want 42", f.State)
	}
}

func TestMergeCopies(t *testing.T) {
	v := New[int](1, 10)
	p := report(5, 1, 1)
	f, _ := merge(t, v, 0, event.FlowNew, p)
	p[8] = 99
	if f.Rev() != 1 {
		t.Error("the flow aliases the report")
	}
}

func TestForeignFlow(t *testing.T) {
	v := New[int](2, 10)
	if _, _, err := v.Merge(0, event.FlowNew, 1, report(1<<56|5, 1, 1)); err == nil || !strings.Contains(err.Error(), "worker 0 reports flow") {
		t.Errorf("Merge of another worker's flow = %v, want an error", err)
	}
}

func TestFull(t *testing.T) {
	v := New[int](2, 2)
	for i := range uint64(2) {
		merge(t, v, 0, event.FlowNew, report(i, 1, 1))
	}
	if _, _, err := v.Merge(0, event.FlowNew, 1, report(9, 1, 1)); err == nil {
		t.Error("Merge beyond the limit succeeded")
	}
	merge(t, v, 0, event.FlowUpdate, report(1, 2, 1))    // known flows go on
	merge(t, v, 1, event.FlowNew, report(1<<56|1, 1, 1)) // other workers too
	merge(t, v, 0, event.FlowEnd, report(1, 3, 1))       // room again
	if _, c := merge(t, v, 0, event.FlowNew, report(9, 1, 1)); c != Added {
		t.Errorf("Merge after an end = %d, want Added", c)
	}
}

// A worker that says more than it can know must not eat our memory.
func TestFullBytes(t *testing.T) {
	big := event.Description{Attrs: make([]byte, event.MaxAttrs), Host: make([]byte, 255), Evidence: make([]byte, 255)}
	payload := func(id uint64, rev uint32) event.Flow {
		b := append([]byte(nil), report(id, rev, 1)[:event.DescriptionAt]...)
		f, err := event.ParseFlow(big.Append(b))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	const most = 100
	v := New[int](1, most)
	taken := 0
	for id := range uint64(most) {
		if _, _, err := v.Merge(0, event.FlowNew, 1, payload(id, 1)); err == nil {
			taken++
		} else if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
	}
	if taken == 0 || taken > most/2 {
		t.Errorf("%d of %d huge flows taken in, want some", taken, most)
	}
	for id := range uint64(most) {
		if _, _, err := v.Merge(0, event.FlowEnd, 1, payload(id, 2)); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.workers[0].bytes; got != 0 {
		t.Errorf("%d bytes counted for no flow", got)
	}
	merge(t, v, 0, event.FlowNew, report(1, 1, 1))
	if _, _, err := v.Merge(0, event.FlowUpdate, 1, payload(1, 2)); err != nil {
		t.Errorf("update of a small flow: %v", err)
	}
}

func ids(fs []*Flow[int]) []uint64 {
	var l []uint64
	for _, f := range fs {
		l = append(l, f.ID())
	}
	slices.Sort(l)
	return l
}

func TestSnapshot(t *testing.T) {
	v := New[int](2, 100)
	for i := range uint64(4) {
		merge(t, v, 0, event.FlowNew, report(i, 1, 1))
	}
	merge(t, v, 1, event.FlowNew, report(1<<56, 1, 1))
	if _, whole := v.End(0); whole || !v.Stale(0) {
		t.Error("End without Begin ended the staleness")
	}
	v.Begin(0)
	merge(t, v, 0, event.SnapFlow, report(0, 1, 1))   // in the snapshot
	merge(t, v, 0, event.FlowUpdate, report(1, 2, 1)) // had an event meanwhile
	merge(t, v, 0, event.FlowStats, report(2, 1, 1))  // had an old event meanwhile
	merge(t, v, 0, event.FlowNew, report(7, 1, 1))    // began meanwhile
	gone, whole := v.End(0)
	if got := ids(gone); !whole || !slices.Equal(got, []uint64{3}) {
		t.Errorf("End = %v, %t, want [3], true", got, whole)
	}
	if v.Stale(0) || !v.Stale(1) || !v.AnyStale() {
		t.Errorf("Stale = %t, %t, want false, true", v.Stale(0), v.Stale(1))
	}
	if v.Len(0) != 4 || v.Len(1) != 1 {
		t.Errorf("Len = %d, %d, want 4, 1", v.Len(0), v.Len(1))
	}
}

func TestSnapshotWithLoss(t *testing.T) {
	v := New[int](1, 100)
	merge(t, v, 0, event.FlowNew, report(1, 1, 1))
	for name, spoil := range map[string]func(){"loss": func() { v.Lost(0) }, "abort": func() { v.Abort(0) }} {
		v.Begin(0)
		spoil()
		if gone, whole := v.End(0); whole || len(gone) != 0 || !v.Stale(0) {
			t.Errorf("%s: End = %v, %t, want none, false", name, ids(gone), whole)
		}
	}
	if v.Len(0) != 1 {
		t.Error("a flow went without a whole snapshot")
	}
}

func TestSameTableAgain(t *testing.T) {
	v := New[int](1, 100)
	v.Attached(0, 77, 0, time.Time{})
	v.Begin(0)
	v.End(0)
	if v.Attached(0, 77, 0, time.Time{}) {
		t.Error("an adopted table made the view stale")
	}
}

// Whoever starts in the middle does not know the table's name; if flows were adopted
// it is the one that all flows in the view are of.
func TestUnknownTable(t *testing.T) {
	for adopted, orphans := range map[uint32]bool{0: true, 5: false} {
		v := New[int](1, 100)
		v.Begin(0)
		f, _ := merge(t, v, 0, event.SnapFlow, report(1, 1, 1))
		v.End(0)
		if stale := v.Attached(0, 77, adopted, time.Time{}); stale != orphans || f.Orphan() != orphans {
			t.Errorf("%d adopted: stale %t, orphan %t, want %t", adopted, stale, f.Orphan(), orphans)
		}
	}
}

func TestOrphans(t *testing.T) {
	now := time.Unix(1000, 0)
	v := New[int](1, 100)
	v.Attached(0, 77, 0, now)
	merge(t, v, 0, event.FlowClass, report(1, 1, 1001))
	merge(t, v, 0, event.FlowClass, report(2, 1, 1002))
	v.Begin(0)
	merge(t, v, 0, event.SnapFlow, report(1, 1, 1001))
	merge(t, v, 0, event.SnapFlow, report(2, 1, 1002))
	v.End(0)

	if !v.Attached(0, 78, 0, now.Add(time.Minute)) {
		t.Error("a new table did not make the view stale")
	}
	v.Begin(0)
	if gone, _ := v.End(0); len(gone) != 0 {
		t.Errorf("snapshot of the new table swept %v, want none before the grace ends", ids(gone))
	}
	if old := v.Relearnt(0, report(100, 2, 1001)); old == nil || old.ID() != 1 {
		t.Errorf("Relearnt = %v, want flow 1", old)
	}
	if old := v.Relearnt(0, report(101, 2, 1001)); old != nil {
		t.Errorf("Relearnt again = %v, want none", old.ID())
	}
	if gone := v.Expire(now.Add(time.Minute)); len(gone) != 0 {
		t.Errorf("Expire at the deadline = %v, want none", ids(gone))
	}
	if got := ids(v.Expire(now.Add(time.Minute + 1))); !slices.Equal(got, []uint64{2}) {
		t.Errorf("Expire = %v, want [2]", got)
	}
	if v.Len(0) != 0 {
		t.Errorf("Len = %d, want 0", v.Len(0))
	}
}

// Two flows may have had one 7-tuple, one after the other.
func TestOrphansOfOneKey(t *testing.T) {
	v := New[int](1, 100)
	v.Attached(0, 77, 0, time.Time{})
	merge(t, v, 0, event.FlowClass, report(1, 1, 1001))
	merge(t, v, 0, event.FlowClass, report(2, 1, 1001))
	v.Attached(0, 78, 0, time.Unix(1000, 0))
	if v.Relearnt(0, report(100, 2, 1001)) == nil {
		t.Error("Relearnt found no orphan")
	}
	if gone := v.Expire(time.Unix(2000, 0)); len(gone) != 1 || v.Len(0) != 0 {
		t.Errorf("Expire = %v with %d left, want one and none", ids(gone), v.Len(0))
	}
}

func TestClosed(t *testing.T) {
	v := New[int](2, 100)
	merge(t, v, 0, event.FlowNew, report(1, 1, 1))
	merge(t, v, 1, event.FlowNew, report(1<<56, 1, 1))
	if got := ids(v.Closed(0)); !slices.Equal(got, []uint64{1}) || v.Stale(0) {
		t.Errorf("Closed = %v, want [1]", got)
	}
	if v.Len(1) != 1 || !v.Stale(1) {
		t.Error("Closed touched another worker")
	}
}

// TestModel merges random reports in random order, with repeats, and compares with
// what the highest revision of each flow says.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var reports []event.Flow
		highest := map[uint64]uint32{}
		for range 300 {
			id, rev := rng.Uint64N(20), rng.Uint32N(50)+1
			reports = append(reports, report(id, rev, uint16(id)))
			highest[id] = max(highest[id], rev)
		}
		rng.Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		v := New[int](1, 100)
		for _, r := range append(reports, reports[:100]...) {
			merge(t, v, 0, event.FlowUpdate, r)
		}
		for f := range v.All() {
			if f.Rev() != highest[f.ID()] {
				t.Errorf("seed %d: flow %d has revision %d, want %d", seed, f.ID(), f.Rev(), highest[f.ID()])
			}
		}
		if v.Len(0) != len(highest) {
			t.Errorf("seed %d: %d flows, want %d", seed, v.Len(0), len(highest))
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(report(1, 1, 1)), uint16(1))
	f.Add([]byte(report(1, 2, 1)), uint16(4))
	f.Fuzz(func(t *testing.T, b []byte, typ uint16) {
		fl, err := event.ParseFlow(b)
		if err != nil {
			return
		}
		v := New[int](1, 2)
		_, _, _ = v.Merge(0, event.Type(typ), 1, fl)
		v.Attached(0, 1, 0, time.Time{})
		v.Attached(0, 2, 0, time.Time{})
		v.Relearnt(0, fl)
		v.Begin(0)
		v.End(0)
		v.Expire(time.Unix(1, 0))
		if v.Len(0) > 1 {
			t.Errorf("Len = %d", v.Len(0))
		}
	})
}
