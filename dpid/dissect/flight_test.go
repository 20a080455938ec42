package dissect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// names are the protocols whose first flight names the flow.
var names = []string{"tls", "http", "quic", "dtls", "dns"}

// late are samples that name their flow after a packet that is part of no flight.
var late = map[string]string{
	"dns/yes-tcp-odd-port.txt":      "elsewhere than at home a length proves nothing",
	"dns/yes-tcp-server-only.txt":   "the client was not heard",
	"http/yes-h2c-request.txt":      "between settings and request a client may wait for the server",
	"quic/yes-server-first.txt":     "the client comes after the server",
	"quic/yes-negotiation.txt":      "the first hello is one to be refused",
	"dtls/yes-dtls12-fragments.txt": "a cookie comes between hello and certificate",
}

// step is what was told after a byte of a connection, or after a datagram.
type step struct {
	server     bool
	unfinished bool
	verdict    Verdict
	host       string
}

// steps shows a sample to all dissectors, connections byte by byte.
func (s *sample) steps() (all []step) {
	cut := *s
	if s.over == TCP {
		cut.packets = nil
		for _, p := range s.packets {
			for i := range p.data {
				cut.packets = append(cut.packets, packet{server: p.server, data: p.data[i : i+1]})
			}
		}
	}
	in, out := newInput(), new(Result)
	*in = Input{ClientPort: s.cport, ServerPort: s.sport, IPProto: s.ipProto, Midstream: s.mid, Scratch: in.Scratch}
	var trial Trial
	trial.Init(s.over, s.ipProto, s.cport, s.sport)
	for _, p := range cut.packets {
		in.FromServer, in.Packet = p.server, p.data
		stream, count := &in.Client, &in.ClientCount
		if p.server {
			stream, count = &in.Server, &in.ServerCount
		}
		if *count == 0 || s.over == TCP { // bytes count as segments of one kilobyte
			*stream = append(*stream, p.data...)
		}
		if *count = uint16(1 + len(*stream)/1024); s.over != TCP {
			*count++
		}
		v := trial.Inspect(in, out)
		all = append(all, step{server: p.server, unfinished: trial.Unfinished(), verdict: v, host: string(out.Host())})
		if v == Yes || v == No {
			break
		}
	}
	return all
}

// TestFlights shows every sample byte by byte. A protocol that names flows tells that
// its flight is unfinished from the first byte on and without a break until the name
// is there; no protocol tells so of a flow once it was recognised as another's, and
// nobody after the end.
func TestFlights(t *testing.T) {
	var b strings.Builder
	for _, s := range loadSamples(t) {
		all := s.steps()
		name := strings.TrimPrefix(s.file, "testdata/")
		var ranges []string
		for i := 0; i < len(all); i++ {
			if !all[i].unfinished {
				continue
			}
			from := i
			for i < len(all) && all[i].unfinished {
				if v := all[i].verdict; v != More && v != YesMore {
					t.Errorf("%s: unfinished at step %d with verdict %d", name, i, v)
				}
				i++
			}
			end := "..."
			if i < len(all) {
				end = fmt.Sprintf("%d %s", i, all[i].host)
			}
			ranges = append(ranges, strings.TrimSpace(fmt.Sprintf("%d-%s", from, end)))
		}
		if len(ranges) > 0 {
			fmt.Fprintf(&b, "%s %s\n", name, strings.Join(ranges, ", "))
		}
		if !s.yes || s.mid || late[name] != "" || len(all) == 0 || !slices.Contains(names, s.proto) {
			continue
		}
		last := all[len(all)-1].host
		first := slices.IndexFunc(all, func(e step) bool { return last != "" && e.host == last && !e.unfinished })
		for i := range max(first, 0) {
			// The client has said all, and named nothing; the server's certificate will.
			if silent := i+1 < len(all) && !all[i].server && all[i+1].server; !all[i].unfinished && !silent {
				t.Errorf("%s: not unfinished at step %d, before %q is known at step %d", name, i, last, first)
				break
			}
		}
	}
	golden(t, "testdata/flights.golden", b.String())
}

// TestFlightsSplit: where a connection is cut into two segments changes nothing of what
// is told after the first of them.
func TestFlightsSplit(t *testing.T) {
	in, out := newInput(), new(Result)
	for _, s := range loadSamples(t) {
		if s.over != TCP || s.packets[0].server || !slices.Contains(names, s.proto) {
			continue
		}
		all := s.steps()
		for i := range min(len(s.packets[0].data), len(all)) {
			cut := s
			cut.packets = []packet{{data: s.packets[0].data[:i+1]}}
			var trial Trial
			trial.Init(s.over, s.ipProto, s.cport, s.sport)
			if cut.play(&trial, in, out, out, nil); trial.Unfinished() != all[i].unfinished {
				t.Errorf("%s: %d bytes at once: unfinished %v, byte by byte %v", s.file, i+1, trial.Unfinished(), all[i].unfinished)
				break
			}
		}
	}
}
