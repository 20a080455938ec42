package engine

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/policyd/rule"
	"weir/policyd/target"
	"weir/proto/event"
	"weir/shm/evtring"
)

var update = flag.Bool("update", false, "write golden files anew")

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
