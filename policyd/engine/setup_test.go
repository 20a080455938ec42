package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"weir/policyd/rule"
	"weir/proto/config"
	"weir/proto/event"
	"weir/shm/evtring"
)

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
