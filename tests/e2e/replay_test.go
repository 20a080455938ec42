package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weir/tests/binaries"
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
			if p := filepath.Join(corpus, "ndpi", "pcap", n); fileExists(p) {
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

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestBadCaptures: each gives one clear error that names the file, exit status 1 or
// 2, and nothing is left behind.
func TestBadCaptures(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := filepath.Join(dir, "good.pcap")
	if _, err := traffic.Write(good, traffic.Options{Seed: 2, Flows: 20, Packets: 2}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	unknown := append([]byte(nil), b...)
	unknown[20] = 147 // a link type for private use
	tests := []struct {
		name, path, says string
		flows            bool
	}{
		{name: "missing", path: filepath.Join(dir, "none.pcap"), says: "none.pcap"},
		{name: "empty", path: write("empty.pcap", nil), says: "empty.pcap"},
		{name: "no capture", path: write("text.pcap", []byte("this is no capture at all\n")), says: "text.pcap"},
		{name: "cut", path: write("cut.pcap", b[:len(b)-7]), says: "cut.pcap", flows: true},
		{name: "directory", path: dir, says: "directory"},
		{name: "unknown link type", path: write("link.pcap", unknown), says: "link type that Weir does not read: [147]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := rings(t)
			out, stderr, err := Run(t, "weir", "replay", "-json", tt.path)
			if err == nil {
				t.Errorf("exit: %v\n%s", err, stderr)
			}
			if !strings.Contains(stderr, tt.says) {
				t.Errorf("stderr does not say %q:\n%s", tt.says, stderr)
			}
			if n := len(Lines(out)); (n > 0) != tt.flows {
				t.Errorf("%d flows", n)
			}
			if after := rings(t); after != before {
				t.Errorf("left behind: %s", after)
			}
		})
	}
}

// rings lists the private ring directories that exist.
func rings(t *testing.T) string {
	t.Helper()
	m, err := filepath.Glob("/dev/shm/weir-replay-*")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(m, " ")
}

// TestSameDirectoryTwice: a second instance on a directory is refused, and the first
// is not disturbed.
func TestSameDirectoryTwice(t *testing.T) {
	dir := t.TempDir()
	capture := filepath.Join(dir, "c.pcap")
	if _, err := traffic.Write(capture, traffic.Options{Seed: 3, Flows: 20, Packets: 2}); err != nil {
		t.Fatal(err)
	}
	taken := filepath.Join(dir, "taken")
	if err := os.Mkdir(taken, 0o750); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := Run(t, "weir", "replay", "-dir", taken, capture)
	if err == nil || !strings.Contains(stderr, taken) {
		t.Errorf("replay into a directory that exists: %v\n%s", err, stderr)
	}
	if !fileExists(taken) {
		t.Error("the directory that was there is gone")
	}
	readOnly := "/proc/weir"
	if _, stderr, err := Run(t, "weir", "replay", "-dir", readOnly, capture); err == nil || !strings.Contains(stderr, readOnly) {
		t.Errorf("replay into a directory that cannot be made: %v\n%s", err, stderr)
	}
	_ = binaries.Root()
}
