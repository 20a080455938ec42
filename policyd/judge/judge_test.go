package judge

import (
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weir/policyd/rule"
	"weir/proto/config"
	"weir/proto/event"
	"weir/proto/mark"
	"weir/proto/verdict"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

const rules = `
[[rule]]
name = "the-boss"
match = 'client_port == 7'
verdict = "accept"

[[rule]]
name = "tell"
match = 'true'
log = true

[[rule]]
name = "refuse"
match = 'suffix(host, "refused.example")'
verdict = "reject"

[[rule]]
name = "lose"
match = 'suffix(host, "example")'
verdict = "drop"
`

// bench is a Judge with the other ends of its rings.
type bench struct {
	*Judge
	rings []*pktring.Consumer
}

func start(t testing.TB, text string, enforce bool) *bench {
	t.Helper()
	c, err := config.Parse(config.File{Name: "weir.toml", Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	set, problems := rule.Compile(c)
	if set == nil {
		t.Fatal(problems)
	}
	bits, err := mark.New(c.Policy.MarkMask)
	if err != nil {
		t.Fatal(err)
	}
	root := layout.Root(filepath.Join(t.TempDir(), "rings"))
	if err := root.Make(0o750); err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	b.Judge, err = New(Config{
		Root: root, Threads: 2, Layout: bits, Enforce: enforce, Interface: func(uint16) string { return "lan0" }, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	for i := range 2 {
		r, err := pktring.OpenConsumer(root.PolicyVerdictRing(i), root.PolicyVerdictCursor(i), pktring.Options{Name: "capd", Mode: 0o640})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		b.rings = append(b.rings, r)
	}
	return b
}

// asked is an event about a flow with a question behind it.
func asked(host string, port, flags uint16, q *event.Question) *evtring.Record {
	c := event.Counters{ID: 1, Rev: 1, Flags: flags | event.FlagQuestion, ClientPort: port, IPProto: 6, IPVersion: 4}
	b := make([]byte, event.DescriptionAt, event.MaxFlow+event.QuestionSize)
	c.Encode(b)
	d := event.Description{Protocol: "tls", Host: []byte(host)}
	b = d.Append(b)
	b = b[:len(b)+event.QuestionSize]
	q.Encode(b[len(b)-event.QuestionSize:])
	return &evtring.Record{Type: uint16(event.FlowClass), TS: 99, Payload: b}
}

// said returns the answers to thread c.
func (b *bench) said(t testing.TB, c int) (list []verdict.Fields) {
	t.Helper()
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	p := b.rings[c].Peek(100)
	for i := 0; i < len(p); i += verdict.Size {
		r := verdict.Record(p[i : i+verdict.Size])
		list = append(list, verdict.Fields{
			TS: r.TS(), HashLo: r.HashLo(), HashHi: r.HashHi(), Bits: r.Bits(), ID: r.ID(), Queue: r.Queue(),
			Generation: r.Generation(), Kind: r.Kind(), Verdict: r.Verdict(),
		})
	}
	b.rings[c].Release(len(p) / verdict.Size)
	return list
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	q := event.Question{HashLo: 1, HashHi: 2, ID: 3, Queue: 4, Generation: 5, Thread: 1}
	answer := verdict.Fields{TS: 99, HashLo: 1, HashHi: 2, ID: 3, Queue: 4, Generation: 5, Kind: verdict.KindFlow}
	tests := []struct {
		name    string
		host    string
		port    uint16
		flags   uint16
		watch   bool
		verdict mark.Verdict
		bits    uint32
		count   Counts
	}{
		{name: "nothing is against it", host: "weir.test", flags: event.FlagFinal, bits: 0x80000000, count: Counts{Questions: 1, Accepted: 1}},
		{name: "more may come", host: "weir.test", flags: event.FlagMore, count: Counts{Questions: 1, Accepted: 1}},
		{name: "dropped", host: "www.example", flags: event.FlagMore, verdict: mark.Drop, bits: 0xc0000000, count: Counts{Questions: 1, Dropped: 1}},
		{
			name: "the first that has a verdict decides", host: "refused.example", flags: event.FlagFinal,
			verdict: mark.Reject, bits: 0xe0000000, count: Counts{Questions: 1, Rejected: 1},
		},
		{name: "and one may be to accept", host: "refused.example", port: 7, flags: event.FlagFinal, bits: 0x80000000, count: Counts{Questions: 1, Accepted: 1}},
		{
			name: "only looking", host: "refused.example", flags: event.FlagFinal, watch: true, bits: 0x80000000,
			count: Counts{Questions: 1, Accepted: 1, WouldReject: 1},
		},
		{name: "only looking, dropped", host: "www.example", watch: true, count: Counts{Questions: 1, Accepted: 1, WouldDrop: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, rules, !tt.watch)
			b.Event(0, asked(tt.host, tt.port, tt.flags, &q))
			want := answer
			want.Verdict, want.Bits = tt.verdict, tt.bits
			if got := b.said(t, 1); !slices.Equal(got, []verdict.Fields{want}) {
				t.Errorf("answers = %+v, want %+v", got, want)
			}
			if got := b.said(t, 0); len(got) != 0 {
				t.Errorf("the other thread is told %+v", got)
			}
			if got := b.Counts(); got != tt.count {
				t.Errorf("counts = %+v, want %+v", got, tt.count)
			}
		})
	}
}

// What is no question gets no answer, and what cannot be answered is counted.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, rules, true)
	plain := asked("www.example", 0, 0, &event.Question{})
	plain.Payload[14] &^= event.FlagQuestion
	b.Event(0, plain)
	b.Event(0, asked("www.example", 0, 0, &event.Question{Thread: 2}))
	cut := asked("www.example", 0, 0, &event.Question{})
	cut.Payload = cut.Payload[:len(cut.Payload)-1]
	b.Event(0, cut)
	b.Event(0, &evtring.Record{Type: uint16(event.FlowClass), Payload: []byte{1}})
	b.Event(0, &evtring.Record{Type: uint16(event.SnapBegin), Payload: asked("a", 0, 0, &event.Question{}).Payload})
	for c := range b.rings {
		if got := b.said(t, c); len(got) != 0 {
			t.Errorf("thread %d is told %+v", c, got)
		}
	}
	for range verdict.RingRecords + 10 {
		b.Event(0, asked("weir.test", 0, 0, &event.Question{}))
	}
	_ = b.said(t, 0)
	want := Counts{Questions: verdict.RingRecords + 12, Accepted: verdict.RingRecords, Unanswered: 11, Bad: 1}
	if got := b.Counts(); got.Questions != want.Questions || got.Bad != want.Bad || got.Accepted+got.Unanswered+got.Bad != got.Questions || got.Unanswered < 2 {
		t.Errorf("counts = %+v, want about %+v", got, want)
	}
}

// Other rules hold from the next question on.
func TestUse(t *testing.T) {
	t.Parallel()
	b := start(t, rules, true)
	q := event.Question{}
	b.Event(0, asked("www.example", 0, 0, &q))
	c, err := config.Parse(config.File{Name: "weir.toml", Text: []byte("[[rule]]\nname='a'\nmatch='true'\nverdict='accept'")})
	if err != nil {
		t.Fatal(err)
	}
	set, _ := rule.Compile(c)
	b.Use(set)
	b.Event(0, asked("www.example", 0, 0, &q))
	got := b.said(t, 0)
	if len(got) != 2 || got[0].Verdict != mark.Drop || got[1].Verdict != mark.Accept {
		t.Errorf("answers = %+v, want drop by the old rules and accept by the new", got)
	}
}

func BenchmarkQuestion(b *testing.B) {
	x := start(b, rules, true)
	r := asked("www.weir.test", 0, event.FlagFinal, &event.Question{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Event(0, r)
		if i%64 == 63 {
			if err := x.Commit(); err != nil {
				b.Fatal(err)
			}
			x.rings[0].Release(len(x.rings[0].Peek(64)) / verdict.Size)
		}
	}
}
