package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weir/tests/traffic"
)

// TestWorkersChangeNothing replays the same captures with one, two and four workers
// and wants the same flow records, DNS hints across workers included.
func TestWorkersChangeNothing(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made.pcap")
	if _, err := traffic.Write(made, traffic.Options{Seed: 1, Flows: 4000, Packets: 3}); err != nil {
		t.Fatal(err)
	}
	captures := [][]string{{made}}
	if corpus := os.Getenv("WEIR_CORPUS"); corpus != "" {
		for _, n := range []string{"1kxun.pcap", "fuzz-2006-06-26-2594.pcap", "instagram.pcap", "dns_exfiltration.pcap"} {
			if p := filepath.Join(corpus, "ndpi", "pcap", n); exists(p) {
				captures = append(captures, []string{p})
			}
		}
	}
	for _, c := range captures {
		want := Normal(t, Replay(t, append([]string{"-workers", "1"}, c...)...))
		if len(want) == 0 {
			t.Errorf("%v: no flows", c)
		}
		for _, n := range []int{2, 4} {
			got := Normal(t, Replay(t, append([]string{"-workers", strconv.Itoa(n)}, c...)...))
			if d := Diff(got, want, 6); d != "" {
				t.Errorf("%s: %d workers (+) and 1 worker (-) differ:\n%s", filepath.Base(c[0]), n, d)
			}
		}
		if c[0] == made {
			named := 0
			for _, l := range want {
				if strings.Contains(l, `"source":"dns"`) {
					named++
				}
			}
			if named < 500 {
				t.Errorf("%d flows named by a DNS answer, want most of 800", named)
			}
		}
	}
}
