package catalog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/dpid/catalog/internal/build"
)

// synthetic makes n distinct names of the shape that lists have: most of them
// two labels under a few top-level domains, a third with one label more.
func synthetic(n int, seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 1))
	tlds := []string{"com", "com", "com", "com", "net", "org", "de", "ru", "info", "xyz", "co.uk", "com.br"}
	seen := make(map[string]struct{}, n)
	out := make([]string, 0, n)
	for len(out) < n {
		var b strings.Builder
		if rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "%s.", word(rng, 2, 10))
		}
		fmt.Fprintf(&b, "%s.%s", word(rng, 5, 18), tlds[rng.IntN(len(tlds))])
		if _, dup := seen[b.String()]; !dup {
			seen[b.String()] = struct{}{}
			out = append(out, b.String())
		}
	}
	return out
}

func word(rng *rand.Rand, low, high int) string {
	b := make([]byte, low+rng.IntN(high-low+1))
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
	}
	return string(b)
}

// compileNames compiles names as suffixes of one application.
func compileNames(tb testing.TB, names []string) (*Catalog, []byte) {
	tb.Helper()
	b := build.New()
	b.AddCategory(1, "k")
	o := build.Owner{App: b.AddApp(1, "a", 1)}
	for _, n := range names {
		if err := b.AddDomain(n, build.Suffix, o); err != nil {
			tb.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := b.WriteTo(&out); err != nil {
		tb.Fatal(err)
	}
	c, err := Parse(out.Bytes())
	if err != nil {
		tb.Fatal(err)
	}
	return c, out.Bytes()
}

// rivals is the table and a Go map over the same names, with look-ups in
// random order. Half of them hit; server names have two labels in one case of
// eight, four in two and three in the others.
type rivals struct {
	c       *Catalog
	m       map[string]uint32
	queries [][]byte
	bytes   float64 // of the file, per name
}

var rivalsOf = map[int]func() *rivals{
	10_000:    sync.OnceValue(func() *rivals { return makeRivals(10_000) }),
	1_000_000: sync.OnceValue(func() *rivals { return makeRivals(1_000_000) }),
}

func makeRivals(n int) *rivals {
	names := synthetic(n, 1)
	r := &rivals{m: make(map[string]uint32, n)}
	for _, name := range names {
		r.m[name] = 1
	}
	var tb testing.B
	var file []byte
	r.c, file = compileNames(&tb, names)
	r.bytes = float64(len(file)) / float64(n)
	rng := rand.New(rand.NewPCG(2, 2))
	misses := synthetic(1<<16, 3)
	for i := range 1 << 17 {
		name := names[rng.IntN(n)]
		if i%2 == 0 {
			name = misses[rng.IntN(len(misses))]
		}
		switch k := i / 2 % 8; {
		case k < 5:
			name = "www." + name
		case k < 7:
			name = word(rng, 2, 8) + "." + word(rng, 2, 6) + "." + name
		}
		r.queries = append(r.queries, []byte(name))
	}
	return r
}

// mapHost is the rival: a Go map asked for every suffix, the longest first.
func (r *rivals) mapHost(name []byte) (uint32, bool) {
	for {
		if v, ok := r.m[string(name)]; ok {
			return v, true
		}
		i := bytes.IndexByte(name, '.')
		if i < 0 {
			return 0, false
		}
		name = name[i+1:]
	}
}

func BenchmarkHost(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		r := rivalsOf[n]()
		b.Run(fmt.Sprintf("names=%d/table", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.c.Host(r.queries[i&(len(r.queries)-1)])
			}
			b.ReportMetric(r.bytes, "B/name")
		})
		b.Run(fmt.Sprintf("names=%d/map", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				r.mapHost(r.queries[i&(len(r.queries)-1)])
			}
		})
	}
}

// BenchmarkHostRatio prints how many times faster than the map the table is,
// at a million names. The two take turns and the medians count, so that a
// noisy machine hits them alike; a turn is long enough that each has the
// caches to itself for most of it.
func BenchmarkHostRatio(b *testing.B) {
	r := rivalsOf[1_000_000]()
	var table, rival []time.Duration
	for b.Loop() {
		start := time.Now()
		for _, name := range r.queries {
			r.c.Host(name)
		}
		mid := time.Now()
		for _, name := range r.queries {
			r.mapHost(name)
		}
		table, rival = append(table, mid.Sub(start)), append(rival, time.Since(mid))
	}
	slices.Sort(table)
	slices.Sort(rival)
	t, m := table[len(table)/2], rival[len(rival)/2]
	b.ReportMetric(float64(t)/float64(len(r.queries)), "ns/table")
	b.ReportMetric(float64(m)/float64(len(r.queries)), "ns/map")
	b.ReportMetric(float64(m)/float64(t), "x")
	b.ReportMetric(r.bytes, "B/name")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOpen maps and checks a file with a million names, as a worker does
// at its start.
func BenchmarkOpen(b *testing.B) {
	_, file := compileNames(b, synthetic(1_000_000, 1))
	path := filepath.Join(b.TempDir(), "catalog")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCurated(b *testing.B) {
	c := curated(b)
	for _, host := range []string{
		"rr3---sn-4g5e6nez.googlevideo.com", "www.example.com", "WWW.NETFLIX.COM", "igcdn-photos-h-a.akamaihd.net",
	} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			name := []byte(host)
			for b.Loop() {
				c.Host(name)
			}
		})
	}
}

func BenchmarkAddr(b *testing.B) {
	c := curated(b)
	a := netip.MustParseAddr("149.154.167.51").As16()
	b.ReportAllocs()
	for b.Loop() {
		c.Addr(a)
	}
}

// BenchmarkPatterns is the price of a name that no list has, with as many
// regular expressions as there may be.
func BenchmarkPatterns(b *testing.B) {
	var text strings.Builder
	for i := range 512 {
		fmt.Fprintf(&text, "regexp:(^|\\.)service-%d-.+\\.example\\.com$\n", i)
	}
	c := mustParse(b, smallFile(b, Input{Lists: []List{{Category: "x", Path: writeFile(b, text.String())}}}))
	name := []byte("www.some-other-name.example.org")
	b.ReportAllocs()
	for b.Loop() {
		c.Host(name)
	}
}
