package engine

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/policyd/rule"
	"weir/policyd/target"
	"weir/proto/config"
	"weir/proto/event"
	"weir/shm/evtring"
)

var update = flag.Bool("update", false, "write golden files anew")

const policyText = `
[policy]
mode = "enforce"
[group]
lan = ["192.168.0.0/16", "2001:db8:1::/48"]
[[set]]
name = "streaming4"
address = "ipv4"
key = ["client_ip", "server_ip"]
timeout = "10m"
[[set]]
name = "streaming6"
address = "ipv6"
key = ["client_ip", "server_ip"]
timeout = "10m"
[[set]]
name = "blocked"
address = "ipv4"
key = ["client_ip", "client_port", "server_ip", "server_port", "ip_protocol"]
timeout = "0s"
remove = "flow_end"
[[set]]
name = "heavy"
address = "ipv4"
key = ["client_ip"]
timeout = "1h"
[[rule]]
name = "printer"
match = 'client_ip == "192.168.1.66"'
stop = true
[[rule]]
name = "streams"
match = 'category == "streaming" and in_group(client_ip, "lan")'
tag = ["fun"]
[[rule.nftset]]
set = "streaming4"
family = "ipv4"
[[rule.nftset]]
set = "streaming6"
family = "ipv6"
[[rule]]
name = "no-quic"
match = 'protocol == "quic"'
exempt = '"fun" in tags'
[[rule.nftset]]
set = "blocked"
[[rule]]
name = "much"
match = "bytes > 1000000"
[[rule.nftset]]
set = "heavy"
timeout = "5m"
`

func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(config.File{Name: "weir.toml", Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// workers records what the engine asks of them.
type workers struct {
	asked map[int]uint32
	done  []uint32
}

func (w *workers) Resync(n int, _ uint32) uint32 {
	if w.asked == nil {
		w.asked = map[int]uint32{}
	}
	w.asked[n]++
	return w.asked[n]
}

func (w *workers) ResyncDone(_ int, req uint32) { w.done = append(w.done, req) }

// clock is a wall clock that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time       { return c.now }
func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

type setup struct {
	*Engine
	t       testing.TB
	workers *workers
	clock   *clock
	log     *bytes.Buffer
}

func start(t testing.TB, text string, b Backend) *setup {
	t.Helper()
	s := &setup{t: t, workers: &workers{}, clock: &clock{time.Unix(1_700_000_000, 0)}, log: &bytes.Buffer{}}
	c := parse(t, text)
	rules, problems := rule.Compile(c)
	if rules == nil {
		t.Fatal(problems)
	}
	e, err := New(c, rules, b, s.workers, Options{
		Name: "policyd", Workers: 2, MaxFlows: 1000, Interface: func(i uint16) string { return fmt.Sprint("if", i) },
		Now: s.clock.Now, Offline: true, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	s.Engine = e
	return s
}

// flowSpec describes a flow of a test; zero values have defaults.
type flowSpec struct {
	id                    uint64
	rev                   uint32
	client, server        string
	cport, sport          uint16
	proto, category, host string
	bytes                 uint64
}

func (f flowSpec) payload() []byte {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&f.client, "192.168.1.10")
	def(&f.server, "203.0.113.7")
	if f.sport == 0 {
		f.sport = 443
	}
	a, b := netip.MustParseAddr(f.client), netip.MustParseAddr(f.server)
	c := event.Counters{
		ID: f.id, Rev: f.rev, Worker: uint16(f.id >> 56), Client: a.As16(), Server: b.As16(), ClientPort: f.cport, ServerPort: f.sport,
		IPProto: 17, IPVersion: 4, ClientBytes: f.bytes, First: 1e18, Last: 1e18 + 1e9,
	}
	if a.Is6() {
		c.IPVersion = 6
	}
	d := event.Description{Protocol: f.proto, Category: f.category, Host: []byte(f.host), Evidence: []byte("test")}
	buf := make([]byte, event.DescriptionAt)
	c.Encode(buf)
	return d.Append(buf)
}

func (s *setup) event(typ event.Type, f flowSpec) {
	s.Event(int(f.id>>56), &evtring.Record{Type: uint16(typ), Version: event.Version, TS: 1e18, Payload: f.payload()})
}

func (s *setup) snapshot(w int, typ event.Type, consumer string) {
	b := make([]byte, event.SnapshotSize)
	(&event.Snapshot{Generation: 1, Request: 1, Consumer: consumer}).Encode(b)
	s.Event(w, &evtring.Record{Type: uint16(typ), TS: 1e18, Payload: b})
}

func (s *setup) epoch(w int, slab uint64) {
	b := make([]byte, event.AttachedSize)
	(&event.Attached{Slab: slab}).Encode(b)
	s.Event(w, &evtring.Record{Type: uint16(event.Epoch), TS: 1e18, Payload: b})
}

// whole makes the views of both workers whole, without flows.
func (s *setup) whole() {
	for w := range 2 {
		s.Attached(w, false)
		s.snapshot(w, event.SnapBegin, "policyd")
		s.snapshot(w, event.SnapEnd, "policyd")
	}
}

func (s *setup) commit() {
	s.t.Helper()
	if err := s.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// TestTransactions runs scenarios and compares the transactions with golden files.
func TestTransactions(t *testing.T) {
	video := flowSpec{id: 1, rev: 2, cport: 50001, proto: "tls", category: "streaming", host: "video.example"}
	quic := flowSpec{id: 2, rev: 2, cport: 50002, proto: "quic", host: "www.example"}
	tests := []struct {
		name string
		run  func(s *setup)
	}{
		{"classified", func(s *setup) {
			s.event(event.FlowNew, flowSpec{id: 1, rev: 1, cport: 50001})
			s.event(event.FlowNew, flowSpec{id: 2, rev: 1, cport: 50002})
			s.commit()
			s.event(event.FlowClass, video)
			s.event(event.FlowClass, quic)
			s.commit()
			quic.rev++
			s.event(event.FlowEnd, quic)
			s.commit()
		}},
		{"families", func(s *setup) {
			s.event(event.FlowClass, video)
			video6 := video
			video6.id, video6.client, video6.server = 3, "2001:db8:1::5", "2001:db8::7"
			s.event(event.FlowClass, video6)
			s.commit()
		}},
		{"stop-and-exempt", func(s *setup) {
			printer := video
			printer.client = "192.168.1.66"
			s.event(event.FlowClass, printer)
			exempt := video
			exempt.id, exempt.proto = 4, "quic"
			s.event(event.FlowClass, exempt)
			s.commit()
		}},
		{"threshold", func(s *setup) {
			s.event(event.FlowClass, flowSpec{id: 5, rev: 1, bytes: 1000})
			s.commit()
			s.event(event.FlowStats, flowSpec{id: 5, rev: 2, bytes: 2_000_000})
			s.commit()
		}},
		{"reclassified", func(s *setup) {
			s.event(event.FlowClass, video)
			s.commit()
			other := video
			other.rev, other.category = 3, "web"
			s.event(event.FlowUpdate, other)
			s.commit()
		}},
		{"refreshed-while-it-lives", func(s *setup) {
			s.event(event.FlowClass, video)
			s.commit()
			s.clock.pass(6 * time.Minute)
			s.commit()
			s.clock.pass(6 * time.Minute)
			s.commit()
			video.rev++
			s.event(event.FlowEnd, video)
			s.commit()
			s.clock.pass(20 * time.Minute)
			s.commit()
		}},
		{"short-flow", func(s *setup) {
			s.event(event.FlowClass, video)
			s.event(event.FlowEnd, flowSpec{id: 1, rev: 3, cport: 50001, proto: "tls", category: "streaming"})
			s.event(event.FlowClass, quic)
			s.event(event.FlowEnd, flowSpec{id: 2, rev: 3, cport: 50002, proto: "quic"})
			s.commit()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			s := start(t, policyText, target.NewDry(&buf))
			s.whole()
			buf.Reset()
			tt.run(s)
			golden := filepath.Join("testdata", tt.name+".golden")
			if *update {
				if err := os.WriteFile(golden, buf.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), buf.String()); d != "" {
				t.Errorf("transactions (-want +got), -update writes them anew:\n%s", d)
			}
		})
	}
}

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

func TestReload(t *testing.T) {
	k := &kernel{}
	s := start(t, policyText, k)
	s.whole()
	s.event(event.FlowClass, flowSpec{id: 1, rev: 2, cport: 1, proto: "quic"})
	s.event(event.FlowClass, flowSpec{id: 2, rev: 2, cport: 2, proto: "tls", category: "streaming"})
	s.commit()
	c := parse(t, strings.Replace(policyText, `'protocol == "quic"'`, `'protocol == "tls"'`, 1))
	rules, _ := rule.Compile(c)
	if err := s.Reload(c, rules); err != nil {
		t.Fatal(err)
	}
	s.commit()
	st := s.Status()
	if st.Sets[0].InKernel != 1 || st.Sets[2].InKernel != 0 {
		t.Errorf("sets = %+v, want streaming kept and quic gone (tls is exempt)", st.Sets)
	}
	bad := parse(t, policyText)
	rules, _ = rule.Compile(bad)
	k.open = []error{errors.New("refused"), nil}
	if err := s.Reload(bad, rules); err == nil || s.Rules()[2].Match != `protocol == "tls"` {
		t.Errorf("Reload = %v with rule %q, want an error and the old rules", err, s.Rules()[2].Match)
	}
}

func TestSchedule(t *testing.T) {
	k := &kernel{}
	s := start(t, `
[[schedule]]
name = "day"
from = "08:00"
to = "20:00"
zone = "UTC"
[[set]]
name = "s"
key = ["server_port"]
timeout = "0s"
remove = "flow_end"
[[rule]]
name = "r"
match = "true"
schedule = "day"
[[rule.nftset]]
set = "s"
`, k)
	s.whole()
	at := func(hour int) uint64 { return uint64(time.Date(2024, 3, 6, hour, 0, 0, 0, time.UTC).UnixNano()) }
	tell := func(id uint64, ts uint64) {
		s.Event(0, &evtring.Record{Type: uint16(event.FlowClass), TS: ts, Payload: flowSpec{id: id, rev: 1, sport: uint16(id)}.payload()})
		s.clock.pass(time.Second)
		s.commit()
	}
	for _, step := range []struct {
		hour uint64
		want int
	}{{7, 0}, {9, 2}, {21, 0}} {
		tell(step.hour, at(int(step.hour)))
		if got := len(k.content()); got != step.want {
			t.Errorf("at %d h the kernel has %d elements, want %d", step.hour, got, step.want)
		}
	}
}

func TestExplain(t *testing.T) {
	s := start(t, policyText, &kernel{})
	s.whole()
	s.event(event.FlowClass, flowSpec{id: 0xab, rev: 2, cport: 50001, proto: "quic", host: "www.example"})
	s.commit()
	for _, q := range []string{"ab", "00000000000000ab", "192.168.1.10", "203.0.113.7", "192.168.1.10:50001-203.0.113.7:443", "203.0.113.7:443-192.168.1.10:50001"} {
		got, err := s.Explain(q)
		if err != nil || len(got) != 1 {
			t.Errorf("Explain(%s) = %v, %v, want the flow", q, got, err)
			continue
		}
		x := got[0]
		outcomes := []rule.Outcome{x.Rules[0].Outcome, x.Rules[1].Outcome, x.Rules[2].Outcome, x.Rules[3].Outcome}
		want := []rule.Outcome{rule.NoMatch, rule.NoMatch, rule.Matched, rule.NoMatch}
		if d := cmp.Diff(want, outcomes); d != "" || len(x.Elements) != 1 || !x.Elements[0].InKernel || x.Evidence != "test" {
			t.Errorf("Explain(%s) = %+v", q, x)
		}
	}
	if got, err := s.Explain("10.0.0.1"); err != nil || len(got) != 0 {
		t.Errorf("Explain of an unknown address = %v, %v, want nothing", got, err)
	}
	if _, err := s.Explain("not a flow"); err == nil {
		t.Error("Explain of nonsense succeeded")
	}
	if r, ok := s.ExplainRule("no-quic"); !ok || r.Hits != 1 || r.Live != 1 || len(r.Example) != 1 {
		t.Errorf("ExplainRule = %+v, %t", r, ok)
	}
	if _, ok := s.ExplainRule("nobody"); ok {
		t.Error("ExplainRule of an unknown rule succeeded")
	}
}

func TestCounts(t *testing.T) {
	s := start(t, policyText, &kernel{})
	s.Event(0, &evtring.Record{Type: uint16(event.FlowNew), Payload: []byte("short")})
	s.Event(0, &evtring.Record{Type: uint16(event.FlowNew), Payload: flowSpec{id: 1 << 56, rev: 1}.payload()})
	s.Event(0, &evtring.Record{Type: 999})
	for range 2 {
		s.Event(0, &evtring.Record{Type: uint16(event.FlowNew), Payload: flowSpec{id: 1, rev: 1}.payload()})
	}
	loss := make([]byte, event.LossSize)
	(&event.Loss{Packets: 7}).Encode(loss)
	s.Event(0, &evtring.Record{Type: uint16(event.LostInput), Payload: loss})
	c := s.Status().Counts
	if c.Bad != 1 || c.Foreign != 1 || c.Unknown != 1 || c.Repeated != 1 || c.LostPackets != 7 || c.Events != 6 {
		t.Errorf("Counts = %+v", c)
	}
}

func TestBadSets(t *testing.T) {
	c := parse(t, "[[set]]\nname = \"a\"\ntable = \"other\"\nkey = [\"mark\"]\n")
	rules, _ := rule.Compile(c)
	_, err := New(c, rules, &kernel{}, &workers{}, Options{Workers: 1, MaxFlows: 1})
	if err == nil || !strings.Contains(err.Error(), "only table inet weir is ours") {
		t.Errorf("New = %v, want the set refused", err)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(uint16(event.FlowClass), flowSpec{id: 1, rev: 1, proto: "quic"}.payload())
	f.Add(uint16(event.FlowEnd), flowSpec{id: 1, rev: 2, category: "streaming"}.payload())
	f.Add(uint16(event.SnapEnd), make([]byte, event.SnapshotSize))
	f.Add(uint16(event.Epoch), make([]byte, event.AttachedSize))
	s := start(f, policyText, &kernel{})
	s.opt.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s.whole()
	f.Fuzz(func(t *testing.T, typ uint16, payload []byte) {
		for _, n := range []uint16{typ, uint16(event.FlowEnd), uint16(event.SnapBegin), uint16(event.SnapEnd)} {
			s.Event(0, &evtring.Record{Type: n, TS: uint64(typ) << 40, Payload: payload})
			if err := s.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkEvents(b *testing.B) {
	s := start(b, policyText, target.NewDry(io.Discard))
	s.opt.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s.whole()
	var records [4]*evtring.Record
	for i, typ := range []event.Type{event.FlowNew, event.FlowClass, event.FlowUpdate, event.FlowEnd} {
		f := flowSpec{id: 1, rev: uint32(i + 1), cport: 50001, proto: "tls", host: "www.example"}
		if typ == event.FlowNew {
			f.proto, f.host = "", ""
		}
		records[i] = &evtring.Record{Type: uint16(typ), TS: 1e18, Payload: f.payload()}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Event(0, records[i%4])
	}
}
