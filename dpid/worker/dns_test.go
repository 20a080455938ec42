package worker

import (
	"math"
	"strings"
	"testing"
	"time"

	"weir/dpid/hint"
	"weir/proto/event"
)

const (
	resolver = "192.0.2.53:53"
	mystery  = "198.51.100.1:4242" // what the answers name
)

// asks puts a client's question and its answer.
func (r *rig) asks(at time.Duration, client, name string, addrs ...string) {
	r.t.Helper()
	r.datagram(at, client, resolver, dnsQuery(name))
	r.datagram(at+time.Millisecond, resolver, client, dnsAnswer(name, addrs...))
}

// mystery puts a flow whose bytes say nothing, at a time and until its end, and
// returns its last event.
func (r *rig) mystery(at time.Duration, client string) event.Flow {
	r.t.Helper()
	r.seen = nil
	r.datagram(at, client, mystery, noise)
	r.tick(at + 62*time.Second)
	r.run()
	for _, h := range r.seen {
		if h.typ == event.FlowEnd && h.flow().ServerPort() == 4242 {
			return h.flow()
		}
	}
	r.t.Fatal("the flow did not end")
	return nil
}

// TestNamedByAnswer: which answers name a flow.
func TestNamedByAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		asks func(r *rig)
		want string
		sure uint8
	}{
		{"own answer", func(r *rig) { r.asks(0, "10.0.0.1:5001", "mine.example.org", "198.51.100.1") }, "mine.example.org", sureDNS},
		{"another's answer", func(r *rig) { r.asks(0, "10.0.0.2:5001", "theirs.example.org", "198.51.100.1") }, "theirs.example.org", sureShared},
		{"own answer beats a newer one of another", func(r *rig) {
			r.asks(0, "10.0.0.1:5001", "mine.example.org", "198.51.100.1")
			r.asks(time.Second, "10.0.0.2:5001", "theirs.example.org", "198.51.100.1")
		}, "mine.example.org", sureDNS},
		{"the newer of two", func(r *rig) {
			r.asks(0, "10.0.0.1:5001", "old.example.org", "198.51.100.1")
			r.asks(time.Second, "10.0.0.1:5002", "new.example.org", "198.51.100.1")
		}, "new.example.org", sureDNS},
		{"one of many addresses, in any case", func(r *rig) {
			r.asks(0, "10.0.0.1:5001", "CDN.Example.ORG", "198.51.100.7", "198.51.100.1", "198.51.100.9")
		}, "cdn.example.org", sureDNS},
		{"a later question of the same flow", func(r *rig) {
			r.asks(0, "10.0.0.1:5001", "first.example.org", "198.51.100.7")
			r.asks(time.Second, "10.0.0.1:5001", "second.example.org", "198.51.100.1")
		}, "second.example.org", sureDNS},
		{"an answer after the flow began", func(r *rig) { r.asks(10*time.Second, "10.0.0.1:5001", "late.example.org", "198.51.100.1") }, "", 0},
		{"another address", func(r *rig) { r.asks(0, "10.0.0.1:5001", "other.example.org", "198.51.100.7") }, "", 0},
		{"no address", func(r *rig) { r.asks(0, "10.0.0.1:5001", "none.example.org") }, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// Offline, with the flow put after its answers in the order of the stream.
			r := newRig(t, options{set: Settings{Offline: true}})
			tt.asks(r)
			f := r.mystery(5*time.Second, "10.0.0.1:40000")
			if string(f.Host()) != tt.want || f.Confidence() != tt.sure {
				t.Errorf("host %q, confidence %d, want %q, %d", f.Host(), f.Confidence(), tt.want, tt.sure)
			}
			if want := map[bool]uint64{true: 1}[tt.want != ""]; r.count(cHinted) != want {
				t.Errorf("%d flows hinted, want %d", r.count(cHinted), want)
			}
		})
	}
}

// TestAnswersAreNotNamed: flows with a resolver carry other hosts' names, and are
// never named by an answer that points to it.
func TestAnswersAreNotNamed(t *testing.T) {
	r := newRig(t, options{})
	r.asks(0, "10.0.0.1:5001", "resolver.example.org", "192.0.2.53")
	r.datagram(time.Second, "10.0.0.1:5002", resolver, dnsQuery("www.example.org"))
	r.tick(time.Hour)
	for _, l := range r.told() {
		if strings.Contains(l, "5002") && strings.Contains(l, "resolver.example.org") {
			t.Errorf("a query was named by an answer: %s", l)
		}
	}
}

// TestWaitsForOthers: offline, a flow that wants a name is told when every worker
// has passed the time of its first packet, with the answer that another worker saw.
func TestWaitsForOthers(t *testing.T) {
	for _, over := range []bool{false, true} {
		r := newRig(t, options{set: Settings{Offline: true}, others: 1})
		other := hint.NewWriter(r.hints[1])
		other.Pass(epoch + uint64(time.Second))
		r.datagram(5*time.Second, "10.0.0.1:40000", mystery, noise)
		r.tick(6 * time.Second)
		if over {
			r.tick(80 * time.Second)
		}
		r.want("while another worker may still see an answer")
		if n := r.w.pending.len(); n != 1 {
			t.Errorf("%d flows wait, want 1", n)
		}
		server := endpoint(mystery).Addr().As16()
		client := endpoint("10.0.0.1:1").Addr().As16()
		other.Add(hint.DNS, &client, &server, 0, []byte("late.example.org"), epoch+uint64(4*time.Second), 60)
		other.Add(hint.DNS, &client, &server, 0, []byte("too-late.example.org"), epoch+uint64(7*time.Second), 60)
		other.Pass(epoch + uint64(5*time.Second))
		r.w.settle()
		r.want("at the very time of the first packet")
		other.Pass(epoch + uint64(5*time.Second) + 1)
		r.w.settle()
		want := []string{"CLASS 1 10.0.0.1:40000>198.51.100.1:4242 late.example.org (dns) 1/0 final"}
		if over {
			want = append(want, "END 2 10.0.0.1:40000>198.51.100.1:4242 late.example.org (dns) 1/0 final end=idle")
		}
		r.want("when all have passed it", want...)
		r.wantLaws()
	}
}

// TestWaitsAtTheEnd: the run is over when the last flow that waits is told.
func TestWaitsAtTheEnd(t *testing.T) {
	r := newRig(t, options{set: Settings{Offline: true}, others: 1})
	other := hint.NewWriter(r.hints[1])
	r.datagram(5*time.Second, "10.0.0.1:40000", mystery, noise)
	r.eof(6 * time.Second)
	r.want("at the end of the capture")
	if r.w.finished() {
		t.Error("finished() = true while another worker may see an answer")
	}
	other.Pass(math.MaxUint64)
	if !r.w.finished() {
		t.Error("finished() = false after all workers have ended")
	}
	r.want("after all have ended",
		"CLASS 1 10.0.0.1:40000>198.51.100.1:4242 1/0 final", "END 2 10.0.0.1:40000>198.51.100.1:4242 1/0 final end=shutdown")
	r.wantLaws()
}

// TestLiveDoesNotWait: a live flow takes what is known.
func TestLiveDoesNotWait(t *testing.T) {
	r := newRig(t, options{others: 1})
	r.datagram(5*time.Second, "10.0.0.1:40000", mystery, noise)
	r.eof(6 * time.Second)
	if got := r.told(); len(got) == 0 || r.w.pending.len() != 0 {
		t.Errorf("%d flows wait, events %q", r.w.pending.len(), got)
	}
}

// TestWaitingIsBounded: a full table does not wait for other workers: what waits
// longest is told as it is, counted, and no flow is lost.
func TestWaitingIsBounded(t *testing.T) {
	r := newRig(t, options{set: Settings{Offline: true}, others: 1, flows: 64})
	for i := range 500 {
		r.datagram(time.Duration(i)*time.Second, "10.0.0.1:"+port(2000+i), mystery, noise)
		r.tick(time.Duration(i)*time.Second + 62*time.Second)
	}
	r.run()
	if r.count(cUnsettled) == 0 {
		t.Error("no flow was told early; the test is too weak")
	}
	r.wantLaws()
	if live := r.w.table.Live(); live > 64 {
		t.Errorf("%d flows in a table of 64", live)
	}
	r.wantCount(cCreated, 500)
	r.wantCount(cEvicted, 0)
}

// TestNamedAtItsEnd: a flow that is classified while more is awaited, and that ends
// before it comes, is named by an answer, too.
func TestNamedAtItsEnd(t *testing.T) {
	r := newRig(t, options{})
	r.asks(0, "10.0.0.1:5001", "old-browser.example.org", "198.51.100.1")
	c := r.talk(client1, "198.51.100.1:80")
	c.at = time.Second
	c.open()
	c.c(tcpACK, "GET /no-host HTTP/1.0\r\n\r\n")
	c.c(tcpRST, "")
	r.tick(time.Minute)
	for _, l := range r.told() {
		if strings.HasPrefix(l, "END") && strings.Contains(l, ":80 ") && !strings.Contains(l, "http old-browser.example.org") {
			t.Errorf("end of a request without Host: %q, want it named by the answer", l)
		}
	}
}
