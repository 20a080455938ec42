package dissect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	Prepare()
	os.Exit(m.Run())
}

// TestSamples shows every sample to every dissector alone: its own agrees and
// finds what the sample says, no other claims it. A near miss is claimed by nobody
// of its folder. Then all dissectors together must give the same answer.
func TestSamples(t *testing.T) {
	for _, s := range loadSamples(t) {
		t.Run(strings.TrimPrefix(s.file, "testdata/"), func(t *testing.T) {
			in, out, more := newInput(), new(Result), new(Result)
			for _, spec := range All() {
				trial := only(spec, s.over, s.ipProto)
				found := map[string]string{}
				v, _ := s.play(&trial, in, out, more, func() { merge(found, findings(more)) })
				if yes := v >= YesMore; spec.Name == s.proto {
					if yes != s.yes {
						t.Errorf("%s says %v", spec.Name, v)
					}
					if yes {
						first := findings(out)
						merge(first, found)
						checkFindings(t, first, s.want)
					}
				} else if yes && s.yes && !slices.Contains(spec.Carries, s.proto) {
					t.Errorf("%s claims it, too", spec.Name)
				}
			}
			var trial Trial
			trial.Init(s.over, s.ipProto, s.cport, s.sport)
			if v, _ := s.play(&trial, in, out, more, nil); s.yes && (v < YesMore || trial.Chosen().Name != s.proto) {
				t.Errorf("all together: verdict %v, chosen %v", v, trial.Chosen())
			}
		})
	}
}

func merge(into, from map[string]string) {
	for k, v := range from {
		if _, there := into[k]; !there {
			into[k] = v
		}
	}
}

func checkFindings(t *testing.T, found map[string]string, want []string) {
	t.Helper()
	for _, w := range want {
		key, value, _ := strings.Cut(w, " ")
		if found[key] != value {
			t.Errorf("%s = %q, want %q", key, found[key], value)
		}
	}
	if t.Failed() {
		t.Logf("found: %v", found)
	}
}

// TestComplete holds the registry against the samples and the golden ids.
func TestComplete(t *testing.T) {
	var ids strings.Builder
	for _, s := range All() {
		fmt.Fprintf(&ids, "%d %s\n", s.ID, s.Name)
		for _, kind := range []string{"yes-*.txt", "no-*.txt"} {
			if m, _ := filepath.Glob(filepath.Join("testdata", s.Name, kind)); len(m) == 0 {
				t.Errorf("%s has no sample %s", s.Name, kind)
			}
		}
	}
	golden(t, "testdata/ids.golden", ids.String())
}

// TestPrefixes records how many packets and bytes each sample needs until its
// verdict: a regression shows up in review.
func TestPrefixes(t *testing.T) {
	var b strings.Builder
	in, out, more := newInput(), new(Result), new(Result)
	for _, s := range loadSamples(t) {
		spec, _ := ByName(s.proto)
		trial := only(spec, s.over, s.ipProto)
		v, at := s.play(&trial, in, out, more, nil)
		size := 0
		for _, p := range s.packets[:at] {
			size += len(p.data)
		}
		fmt.Fprintf(&b, "%s verdict=%d packets=%d bytes=%d\n", strings.TrimPrefix(s.file, "testdata/"), v, at, size)
	}
	golden(t, "testdata/prefixes.golden", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (UPDATE_GOLDEN=1 rewrites it, then read the diff); now:\n%s", file, got)
	}
}

func TestNoAllocs(t *testing.T) {
	in, out, more := newInput(), new(Result), new(Result)
	for _, s := range loadSamples(t) {
		for _, spec := range All() {
			trial := only(spec, s.over, s.ipProto)
			start := trial
			if n := testing.AllocsPerRun(5, func() {
				trial = start
				s.play(&trial, in, out, more, nil)
			}); n != 0 {
				t.Errorf("%s on %s: %v allocations, want 0", spec.Name, s.file, n)
			}
		}
	}
}

// FuzzDetect shows arbitrary conversations to every dissector: none may panic, and
// No and Yes stay what they are while bytes arrive. The input is a list of
// packets: u8 direction, u16 length, bytes.
func FuzzDetect(f *testing.F) {
	for _, s := range loadSamples(f) {
		var b []byte
		for _, p := range s.packets {
			dir := byte(0)
			if p.server {
				dir = 1
			}
			b = append(b, dir, byte(len(p.data)), byte(len(p.data)>>8))
			b = append(b, p.data...)
		}
		f.Add(b, uint8(s.over), s.ipProto, s.sport)
	}
	f.Fuzz(func(t *testing.T, b []byte, over, ipProto uint8, port uint16) {
		tr := TCP << (over % 3)
		switch tr {
		case TCP:
			ipProto = 6
		case UDP:
			ipProto = 17
		}
		s := sample{over: tr, ipProto: ipProto, cport: 50000, sport: port}
		for len(b) >= 3 && len(s.packets) < 40 {
			n := min(int(b[1])|int(b[2])<<8, len(b)-3)
			s.packets = append(s.packets, packet{server: b[0]&1 != 0, data: b[3 : 3+n : 3+n]})
			b = b[3+n:]
		}
		in, out, more := newInput(), new(Result), new(Result)
		var trial Trial
		trial.Init(tr, ipProto, s.cport, s.sport)
		s.play(&trial, in, out, more, nil)
		if trial.Clean(in.Scratch); dirty(in.Scratch) >= 0 {
			t.Fatalf("byte %d of the scratch block is not zero after Clean", dirty(in.Scratch))
		}
		for _, spec := range All() {
			final := Verdict(More)
			for n := 1; n <= len(s.packets); n++ {
				cut := s
				cut.packets = s.packets[:n]
				trial := only(spec, tr, ipProto)
				v, _ := cut.play(&trial, in, out, more, nil)
				if (final == No || final == Yes) && v != final {
					t.Fatalf("%s: verdict %d after %d packets, %d before", spec.Name, v, n, final)
				}
				final = v
			}
		}
	})
}

func BenchmarkDetect(b *testing.B) {
	in, out, more := newInput(), new(Result), new(Result)
	for _, s := range loadSamples(b) {
		b.Run(strings.TrimSuffix(strings.TrimPrefix(s.file, "testdata/"), ".txt"), func(b *testing.B) {
			for b.Loop() {
				var trial Trial
				trial.Init(s.over, s.ipProto, s.cport, s.sport)
				s.play(&trial, in, out, more, nil)
			}
		})
	}
}
