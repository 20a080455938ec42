package dissect

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weir/proto/event"
)

// A sample is a conversation cut to the bytes that tell, one packet a line:
//
//	# source and licence, or "constructed from RFC ..."
//	over udp 50000 443          transport, client port, server port (optional)
//	over ip 1                   straight over IP: the protocol number
//	midstream                   the start of the flow was not seen
//	C 16 03 01 ...              hexadecimal, client to server; spaces are free
//	S 16 03 03 ...              server to client
//	C "GET / HTTP/1.1\r\n"      or a quoted Go string; hex and strings may follow each other
//	C 00*600                    a byte repeated
//	= host www.example.com      what the dissector must find: host, rule or an attribute
//	= tls.version 771
//	= expected 192.0.2.1:2000 24    an announced flow and its protocol's number
//
// yes-*.txt is of the protocol that its folder names; no-*.txt looks like it and is not.
type sample struct {
	proto, file  string
	yes, mid     bool
	over         Transport
	ipProto      uint8
	cport, sport uint16
	packets      []packet
	want         []string
}

type packet struct {
	server bool
	data   []byte
}

func loadSamples(t testing.TB) []sample {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in testdata (%v)", err)
	}
	var all []sample
	for _, f := range files {
		s, err := loadSample(f)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, s)
	}
	return all
}

func loadSample(file string) (sample, error) {
	s := sample{proto: filepath.Base(filepath.Dir(file)), file: file, cport: 50000, sport: 50001, ipProto: 6}
	base := filepath.Base(file)
	s.yes = strings.HasPrefix(base, "yes-")
	if !s.yes && !strings.HasPrefix(base, "no-") {
		return s, fmt.Errorf("name begins with neither yes- nor no-")
	}
	spec, ok := ByName(s.proto)
	if !ok {
		return s, fmt.Errorf("folder names no protocol")
	}
	switch {
	case spec.Over&TCP != 0:
		s.over = TCP
	case spec.Over&UDP != 0:
		s.over, s.ipProto = UDP, 17
	default:
		s.over, s.ipProto = IP, spec.IPProtos[0]
	}
	f, err := os.Open(file)
	if err != nil {
		return s, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		if err := s.line(strings.TrimSpace(sc.Text())); err != nil {
			return s, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s, sc.Err()
}

func (s *sample) line(l string) error {
	if l == "" || l[0] == '#' {
		return nil
	}
	word, rest, _ := strings.Cut(l, " ")
	switch word {
	case "midstream":
		s.mid = true
		return nil
	case "over":
		return s.transport(strings.Fields(rest))
	case "=":
		s.want = append(s.want, rest)
		return nil
	case "C", "S":
		b, err := sampleBytes(rest)
		s.packets = append(s.packets, packet{server: word == "S", data: b})
		return err
	}
	return fmt.Errorf("unknown word %q", word)
}

func (s *sample) transport(f []string) error {
	num := func(i int) uint16 {
		if i >= len(f) {
			return 0
		}
		v, _ := strconv.ParseUint(f[i], 10, 16)
		return uint16(v)
	}
	switch {
	case len(f) == 3 && f[0] == "tcp":
		s.over, s.ipProto, s.cport, s.sport = TCP, 6, num(1), num(2)
	case len(f) == 3 && f[0] == "udp":
		s.over, s.ipProto, s.cport, s.sport = UDP, 17, num(1), num(2)
	case len(f) == 2 && f[0] == "ip":
		s.over, s.ipProto, s.cport, s.sport = IP, uint8(num(1)), 0, 0
	default:
		return fmt.Errorf("want: over tcp|udp CLIENTPORT SERVERPORT, or over ip NUMBER")
	}
	return nil
}

func sampleBytes(l string) ([]byte, error) {
	var out []byte
	for l = strings.TrimSpace(l); l != ""; l = strings.TrimSpace(l) {
		if l[0] == '"' {
			q, err := strconv.QuotedPrefix(l)
			if err != nil {
				return nil, err
			}
			u, err := strconv.Unquote(q)
			if err != nil {
				return nil, err
			}
			out, l = append(out, u...), l[len(q):]
			continue
		}
		w, rest, _ := strings.Cut(l, " ")
		l = rest
		w, times, repeated := strings.Cut(w, "*")
		b, err := hex.DecodeString(w)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", w, err)
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil || n > 1<<16 {
				return nil, fmt.Errorf("bad repetition %q", times)
			}
		}
		for range n {
			out = append(out, b...)
		}
	}
	return out, nil
}

// again takes what Spec.Again says in play.
var again Result

// play shows a sample packet by packet to trial, as a worker does, and returns the
// verdict, the protocol and how many packets it took to the first Yes.
// Findings of Follow are added to those of Detect.
func (s *sample) play(trial *Trial, in *Input, out, more *Result, visit func()) (v Verdict, at int) {
	*in = Input{ClientPort: s.cport, ServerPort: s.sport, IPProto: s.ipProto, Midstream: s.mid, Scratch: in.Scratch,
		Client: in.Client[:0], Server: in.Server[:0]}
	clear(in.Scratch)
	v = More
	for i, p := range s.packets {
		in.FromServer, in.Packet = p.server, p.data
		stream, count := &in.Client, &in.ClientCount
		if p.server {
			stream, count = &in.Server, &in.ServerCount
		}
		if *count++; s.over == TCP || *count == 1 {
			*stream = append(*stream, p.data...)
		}
		switch {
		case v == More || v == YesMore:
			if v = trial.Inspect(in, out); v >= YesMore && at == 0 {
				at = i + 1
			}
		case v == Yes && trial.Chosen().Follow != nil:
			more.Reset()
			trial.Chosen().Follow(in, more)
			if visit != nil {
				visit()
			}
		}
		if c := trial.Chosen(); c != nil && c.Again != nil { // what it says, others test
			again.Reset()
			c.Again(in, &again)
		}
		if v == No {
			return v, i + 1
		}
	}
	return v, at
}

// only makes a trial with s as the only candidate.
func only(s *Spec, tr Transport, ipProto uint8) (t Trial) {
	t.Init(tr, ipProto, 0, 0)
	bit := t.candidates[s.index/64] & (1 << (s.index % 64))
	t.candidates = [maxSpecs / 64]uint64{}
	t.candidates[s.index/64] = bit
	t.first = 0
	return t
}

func newInput() *Input {
	return &Input{Client: make([]byte, 0, 1<<20), Server: make([]byte, 0, 1<<20), Scratch: make([]byte, ScratchSize())}
}

// findings are the attributes of r as text, with host, rule and confidence.
func findings(r *Result) map[string]string {
	m := map[string]string{}
	if h := r.Host(); len(h) > 0 {
		m["host"] = string(h)
	}
	if rule, c := r.Evidence(); rule != "" {
		m["rule"], m["confidence"] = rule, strconv.Itoa(int(c))
	}
	if name, answers := r.Answers(); len(answers) > 0 {
		m["resolved"] = string(name)
		for _, a := range answers {
			m["resolved"] += " " + netip.AddrFrom16(a.Addr).Unmap().String()
		}
	}
	for i, e := range r.Expected() {
		if i > 0 {
			m["expected"] += " "
		}
		m["expected"] += fmt.Sprintf("%s %d", netip.AddrPortFrom(netip.AddrFrom16(e.Addr).Unmap(), e.Port), e.Proto)
	}
	for b := r.Attrs(); ; {
		a, rest, ok := event.NextAttr(b)
		if !ok {
			return m
		}
		b = rest
		v := string(a.Value)
		switch a.Kind {
		case event.AttrUint:
			v = strconv.FormatUint(a.Uint(), 10)
		case event.AttrHex:
			v = hex.EncodeToString(a.Value)
		case event.AttrBool:
			v = strconv.FormatBool(len(a.Value) == 1 && a.Value[0] == 1)
		case event.AttrAddr:
			ip, _ := netip.AddrFromSlice(a.Value)
			v = ip.String()
		}
		if old, there := m[string(a.Key)]; there && a.List {
			v = old + "," + v
		} else if there {
			continue
		}
		m[string(a.Key)] = v
	}
}
