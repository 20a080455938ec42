package live

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weir/tests/e2e"
)

// TestBothDirections: however the kernel shares the frames of an interface among two
// threads, both directions of a flow reach one worker and are one flow there, and no
// frame is in no counter.
func TestBothDirections(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		fanout string
		defrag bool
	}{{"hash", true}, {"hash", false}, {"cpu", true}, {"cpu", false}, {"lb", true}, {"lb", false}, {"random", true}} {
		t.Run(fmt.Sprintf("%s, defrag %v", x.fanout, x.defrag), func(t *testing.T) {
			newSpread(t, x.fanout, x.defrag).try(t)
		})
	}
}

const (
	spreadFlows = 100 // of each shape
	rounds      = 3   // packets of each direction of a flow
)

// spread is a run with two threads and two workers, of which all flows are read to
// their ends.
type spread struct {
	*lab
	*watcher
	flows  *e2e.Running
	fanout string
	defrag bool
}

func newSpread(t *testing.T, fanout string, defrag bool) *spread {
	s := &spread{lab: newLab(t), fanout: fanout, defrag: defrag}
	conf := filepath.Join(t.TempDir(), "spread.toml")
	text := fmt.Sprintf("[capture.tpacket]\nfanout = %q\ndefrag = %v\n[flow.timeouts]\nudp = \"3s\"\ntcp_established = \"3s\"\n", fanout, defrag)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s.watcher = s.watch(t, "-quiet", "-threads", "2", "-workers", "2", "-policy", conf)
	s.Eventually(t, "both threads capture", func() bool { return s.logged("msg=capturing", 2) })
	s.flows = e2e.Start(t, s.server.Command(e2e.Program(t, "policyd"), "flows", "-json", "-config", filepath.Join(s.dir, "weir.toml")))
	return s
}

func (s *spread) try(t *testing.T) {
	sent := uint64(0)
	for round := range rounds {
		for _, back := range []bool{false, true} {
			var frames [][]byte
			for n := range shapes {
				for i := range spreadFlows {
					frames = append(frames, shapes[n].frames(n, i, uint16(i*rounds+round+1), back)...)
				}
			}
			sent += uint64(len(frames))
			if back {
				inject(t, s.server, "s0", 1, frames)
			} else {
				inject(t, s.client, "c0", 0, frames)
			}
		}
	}
	want := s.delivered(sent)
	s.Eventually(t, "capd has seen every frame", func() bool { return s.counters(t, "capd")["frames"] >= want })
	whole := 0
	for n := range shapes {
		if s.whole(&shapes[n]) {
			whole += spreadFlows
		}
	}
	s.Eventually(t, "all flows have ended", func() bool { return strings.Count(s.flows.Stdout(), "\n") >= whole })
	s.stop(t)
	s.flows.Signal(t, syscall.SIGTERM)
	_, out, _ := s.flows.Wait(t)
	if got := s.lawful(t); got != want {
		t.Errorf("capd has counted %d frames, want %d", got, want)
	}
	s.check(t, parse(t, out))
}

// fragmented reports whether the packets of a shape go in fragments.
func (s *shape) fragmented() bool { return s.size > fragment }

// joined reports whether the kernel puts fragments of a shape together before anybody
// counts them: the fanout flag is for IPv4 alone.
func (s *spread) joined(x *shape) bool { return s.defrag && x.fragmented() && !x.ipv6 }

// whole reports whether all fragments of a datagram come to one thread, which can put
// them together. What deals frames out by turns or by chance does not do that.
func (s *spread) whole(x *shape) bool {
	return !x.fragmented() || s.joined(x) || s.fanout == "hash" || s.fanout == "cpu"
}

// delivered returns how many of the frames capd gets from the kernel.
func (s *spread) delivered(sent uint64) uint64 {
	for n := range shapes {
		if s.joined(&shapes[n]) {
			sent -= spreadFlows * rounds * 2 * (pieces - 1)
		}
	}
	return sent
}

// pieces is how many fragments there are of a datagram.
const pieces = 3

// check holds the flows that were told against those that were sent.
func (s *spread) check(t *testing.T, list flows) {
	t.Helper()
	told := map[string][]flow{}
	workers := map[int]int{}
	for _, f := range list {
		key := f.ends()
		told[key] = append(told[key], f)
		workers[f.Worker]++
	}
	if workers[0] == 0 || workers[1] == 0 {
		t.Errorf("flows by worker: %v, want some of each", workers)
	}
	for n := range shapes {
		x := &shapes[n]
		split, missing, wrong := 0, 0, 0
		for i := range spreadFlows {
			switch got := told[x.ends(n, i)]; {
			case len(got) > 1:
				split++
			case len(got) == 0:
				missing++
			case got[0].ClientPackets != rounds || got[0].ServerPackets != rounds:
				if wrong++; wrong == 1 && s.whole(x) {
					t.Errorf("%s: %s has %d and %d packets, want %d of each", x.name, &got[0], got[0].ClientPackets, got[0].ServerPackets, rounds)
				}
			}
		}
		if split > 0 || s.whole(x) && missing+wrong > 0 {
			t.Errorf("%s: of %d flows %d are split, %d missing, %d lack packets", x.name, spreadFlows, split, missing, wrong)
		}
	}
}
