package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// benchCatalog runs the catalogue's own comparison of a million names with a Go map
// that is asked for each suffix: it needs the builder of tables, which is internal.
func benchCatalog(b *bench) error {
	if b.quick {
		return nil // the unit tests run it once
	}
	cmd := exec.CommandContext(b.ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkHostRatio$", "-benchtime", fmt.Sprintf("%dx", b.pairs), "./dpid/catalog")
	cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmark of the catalogue: %w\n%s", err, out)
	}
	got := metrics(string(out))
	r := row{
		what: "domain look-up, 1M names", unit: "ns", value: got["ns/table"], reference: "Go map per suffix",
		referenceValue: got["ns/map"], ratio: got["x"], want: 2,
		note: fmt.Sprintf("%.1f bytes a name (target: 64)", got["B/name"]),
	}
	b.rows = append(b.rows, r)
	return nil
}

// metrics reads the values of a benchmark's line by their units.
func metrics(out string) map[string]float64 {
	m := map[string]float64{}
	for _, l := range strings.Split(out, "\n") {
		f := strings.Fields(l)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				m[f[i+1]] = v
			}
		}
	}
	return m
}
