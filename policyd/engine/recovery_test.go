package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/policyd/rule"
	"weir/policyd/target"
	"weir/proto/event"
)

// kernel is a backend that keeps what it is given across the lives of engines, and
// fails when it is told to.
type kernel struct {
	sets   map[string]map[string]target.Found
	fail   []error // of the next commits
	open   []error // of the next openings
	change bool
	log    []string
	onDump func()
}

func (k *kernel) Open(sets []*target.Set) error {
	if len(k.open) > 0 {
		err := k.open[0]
		k.open = k.open[1:]
		if err != nil {
			return err
		}
	}
	for _, s := range sets {
		if k.sets == nil {
			k.sets = map[string]map[string]target.Found{}
		}
		if k.sets[s.Name] == nil {
			k.sets[s.Name] = map[string]target.Found{}
		}
	}
	return nil
}

func (k *kernel) Commit(changes []target.Change) error {
	if len(k.fail) > 0 {
		err := k.fail[0]
		k.fail = k.fail[1:]
		if err != nil {
			return err
		}
	}
	for _, c := range changes {
		if _, there := k.sets[c.Set.Name][c.Key]; !there && c.Op == target.Delete {
			return target.ErrDiverged
		}
	}
	for _, c := range changes {
		k.log = append(k.log, c.String())
		if c.Op == target.Delete {
			delete(k.sets[c.Set.Name], c.Key)
			continue
		}
		k.sets[c.Set.Name][c.Key] = target.Found{Key: c.Key, Expires: c.Timeout, Ours: true, Rule: c.Rule}
	}
	return nil
}

func (k *kernel) Dump(s *target.Set) (out []target.Found, err error) {
	if k.onDump != nil {
		k.onDump()
	}
	for _, f := range k.sets[s.Name] {
		out = append(out, f)
	}
	return out, nil
}

func (k *kernel) Changed() (bool, error) {
	c := k.change
	k.change = false
	return c, nil
}
func (k *kernel) Limit() int   { return 100 }
func (k *kernel) Close() error { return nil }

// content is what is in all sets.
func (k *kernel) content() []string {
	out := []string{}
	for name, set := range k.sets {
		for key := range set {
			out = append(out, fmt.Sprintf("%s %x", name, key))
		}
	}
	slices.Sort(out)
	return out
}

func TestNothingDeletedBeforeSnapshot(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	a, b := flowSpec{id: 1, rev: 2, cport: 1, proto: "quic"}, flowSpec{id: 2, rev: 2, cport: 2, proto: "quic"}
	s.event(event.FlowClass, a)
	s.event(event.FlowClass, b)
	s.commit()
	before := k.content()
	if len(before) != 2 {
		t.Fatalf("kernel has %v, want two elements", before)
	}

	again := start(t, policyText, k) // killed and restarted: it knows nothing
	again.Attached(0, true)
	again.Attached(1, true)
	if again.workers.asked[0] != 1 || again.workers.asked[1] != 1 {
		t.Errorf("snapshots asked for: %v, want one of each worker", again.workers.asked)
	}
	again.commit()
	a.rev++
	again.event(event.FlowEnd, a)
	again.commit()
	if got := k.content(); !slices.Equal(got, before) {
		t.Errorf("kernel has %v before the snapshots, want %v", got, before)
	}
	again.snapshot(0, event.SnapBegin, "policyd")
	b.rev++
	again.event(event.SnapFlow, b)
	again.snapshot(0, event.SnapEnd, "policyd")
	again.commit()
	if got := k.content(); !slices.Equal(got, before) {
		t.Errorf("kernel has %v while worker 1 is missing, want %v", got, before)
	}
	again.snapshot(1, event.SnapBegin, "policyd")
	again.snapshot(1, event.SnapEnd, "policyd")
	again.commit()
	if got := k.content(); len(got) != 1 {
		t.Errorf("kernel has %v, want the element of the living flow only", got)
	}
	if len(again.workers.done) != 2 {
		t.Errorf("snapshots noted as done: %v, want two", again.workers.done)
	}
}

func TestSweep(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	s.event(event.FlowClass, flowSpec{id: 1, rev: 2, cport: 1, proto: "quic"})
	s.event(event.FlowClass, flowSpec{id: 2, rev: 2, cport: 2, proto: "quic"})
	s.commit()
	s.Lost(0, 10) // among the lost events are the end of flow 1 and all of flow 3
	s.commit()
	if len(k.content()) != 2 {
		t.Errorf("kernel has %v after a loss, want both", k.content())
	}
	s.snapshot(0, event.SnapBegin, "policyd")
	s.event(event.SnapFlow, flowSpec{id: 2, rev: 2, cport: 2, proto: "quic"})
	s.event(event.SnapFlow, flowSpec{id: 3, rev: 2, cport: 3, proto: "quic"})
	s.snapshot(0, event.SnapEnd, "policyd")
	s.commit()
	if got := s.Status(); got.Sets[2].InKernel != 2 || got.Counts.Swept != 1 || got.Counts.LostEvents != 10 {
		t.Errorf("Status = %+v, want two elements and one flow swept", got)
	}
}

func TestSnapshotOfOthers(t *testing.T) {
	s := start(t, policyText, &kernel{})
	s.Attached(0, false)
	s.snapshot(0, event.SnapBegin, "console")
	s.snapshot(0, event.SnapEnd, "console")
	if !s.Status().Workers[0].Stale {
		t.Error("another reader's snapshot ended our staleness")
	}
}

func TestResyncBackoff(t *testing.T) {
	s := start(t, policyText, &kernel{})
	s.Attached(0, false)
	asked := []uint32{}
	for range 80 {
		s.clock.pass(time.Second)
		s.commit()
		asked = append(asked, s.workers.asked[0])
	}
	// At 0, 1, 3, 7, 15, 31, 61: twice as long each time, at most 30 s.
	if got := asked[len(asked)-1]; got != 7 {
		t.Errorf("asked %d times in 80 s, want 7: %v", got, asked)
	}
	if !strings.Contains(s.log.String(), "sends no whole snapshot") {
		t.Error("no alarm was raised")
	}
	s.snapshot(0, event.SnapBegin, "policyd")
	before := s.workers.asked[0]
	s.clock.pass(29 * time.Second)
	s.commit()
	if s.workers.asked[0] != before {
		t.Error("asked again while a snapshot was coming in")
	}
}

func TestAbortedSnapshot(t *testing.T) {
	s := start(t, policyText, &kernel{})
	s.Attached(0, false)
	s.snapshot(0, event.SnapBegin, "policyd")
	s.snapshot(0, event.SnapAbort, "policyd")
	s.snapshot(0, event.SnapEnd, "policyd")
	if !s.Status().Workers[0].Stale {
		t.Error("an aborted snapshot made the view whole")
	}
}

func TestNewTable(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.epoch(0, 77)
	s.whole()
	s.event(event.FlowClass, flowSpec{id: 1, rev: 2, cport: 1, proto: "quic"})
	s.event(event.FlowClass, flowSpec{id: 2, rev: 2, cport: 2, proto: "quic"})
	s.commit()
	s.clock.pass(time.Hour) // the back-off of earlier requests is over
	s.epoch(0, 77)
	if s.Status().Workers[0].Stale {
		t.Error("the same table made the view stale")
	}
	s.epoch(0, 78)
	s.snapshot(0, event.SnapBegin, "policyd")
	s.snapshot(0, event.SnapEnd, "policyd")
	s.event(event.FlowClass, flowSpec{id: 1 << 40, rev: 1, cport: 1, proto: "quic"}) // learnt again
	s.commit()
	if got := s.Status().Sets[2].InKernel; got != 2 {
		t.Errorf("%d elements within the grace, want 2", got)
	}
	s.clock.pass(grace + time.Minute)
	s.commit()
	if got := s.Status().Sets[2].InKernel; got != 1 {
		t.Errorf("%d elements after the grace, want the one of the flow that was learnt again", got)
	}
}

func TestDivergedKernel(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	a := flowSpec{id: 1, rev: 2, cport: 1, proto: "quic"}
	s.event(event.FlowClass, a)
	s.commit()
	clear(k.sets["blocked"]) // flushed behind our back
	a.rev++
	s.event(event.FlowEnd, a)
	s.event(event.FlowClass, flowSpec{id: 2, rev: 2, cport: 2, proto: "quic"})
	s.commit()
	if got := k.content(); len(got) != 1 {
		t.Errorf("kernel has %v, want the living flow's element", got)
	}
	clear(k.sets["blocked"])
	k.change = true
	s.clock.pass(2 * time.Second)
	s.commit()
	if got := k.content(); len(got) != 1 {
		t.Errorf("kernel has %v after a foreign deletion, want it healed", got)
	}
}

// Others may change the ruleset all the time; reading it must not eat the CPU.
func TestBusyRuleset(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	k.onDump = func() { s.clock.pass(500 * time.Millisecond) } // four sets: two seconds
	for range 200 {
		k.change = true
		s.clock.pass(time.Second)
		s.commit()
	}
	if got := s.Status().Counts.Reconciled; got < 3 || got > 6 {
		t.Errorf("%d reconciliations of 2 s in 200 s, want a twentieth of the time", got)
	}
}

func TestUnreadableSet(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	k.change, k.open = true, []error{fmt.Errorf("x: %w", target.ErrDiverged)}
	s.clock.pass(2 * time.Second)
	s.commit() // not an end, but a warning
	before := s.Status().Counts.Reconciled
	s.clock.pass(2 * time.Second)
	s.commit()
	if got := s.Status().Counts.Reconciled; got != before+1 {
		t.Errorf("%d reconciliations, want another than the %d", got, before)
	}
}

func TestStartWhileOthersAreBusy(t *testing.T) {
	diverged := fmt.Errorf("x: %w", target.ErrDiverged)
	start(t, policyText, &kernel{open: []error{diverged, diverged, nil}})

	c := parse(t, policyText)
	rules, _ := rule.Compile(c)
	e, err := New(c, rules, &kernel{open: []error{errors.New("refused"), nil}}, &workers{}, Options{Workers: 1, MaxFlows: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err == nil || err.Error() != "refused" {
		t.Errorf("Start = %v, want the refusal at once", err)
	}
}

func TestOneBadSet(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	broken := errors.New("invalid argument")
	// The transaction fails, then of its two sets the first.
	k.fail = []error{broken, broken, nil}
	s.event(event.FlowClass, flowSpec{id: 1, rev: 2, cport: 1, proto: "tls", category: "streaming"})
	s.event(event.FlowClass, flowSpec{id: 2, rev: 2, cport: 2, proto: "quic"})
	s.commit()
	st := s.Status()
	if !st.Sets[0].Suspended || st.Sets[2].InKernel != 1 {
		t.Errorf("sets = %+v, want the first suspended and the third filled", st.Sets)
	}
	s.clock.pass(mendEvery + time.Second)
	s.commit()
	s.commit()
	if st = s.Status(); st.Sets[0].Suspended || st.Sets[0].InKernel != 1 {
		t.Errorf("sets = %+v, want the first filled when it could be", st.Sets)
	}
}

func TestUserSetGone(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	gone := errors.Join(&target.SetError{Set: s.sets[0], Err: errors.New("there is no such set")})
	k.change, k.open = true, []error{gone, nil}
	s.clock.pass(2 * time.Second)
	s.commit()
	if st := s.Status(); !st.Sets[0].Suspended || st.Sets[2].Suspended {
		t.Errorf("sets = %+v, want only the first suspended", st.Sets)
	}
}

func TestDenied(t *testing.T) {
	k := &kernel{fail: []error{fmt.Errorf("x: %w", target.ErrDenied)}}
	s := start(t, policyText, k)
	s.whole()
	s.event(event.FlowClass, flowSpec{id: 1, rev: 2, proto: "quic"})
	if err := s.Commit(); !errors.Is(err, target.ErrDenied) {
		t.Errorf("Commit = %v, want ErrDenied", err)
	}
}
