package catalog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"weir/dpid/catalog/internal/build"
)

// model is the look-up written in the plainest way.
type model struct {
	suffix, exact map[string]int
	wild          map[string]int // whole pattern
	nets          map[netip.Prefix]int
}

func (m *model) host(name string) int {
	if v := m.exact[name]; v != 0 {
		return v
	}
	for rest, more := name, true; more; _, rest, more = strings.Cut(rest, ".") {
		if v := m.suffix[rest]; v != 0 {
			return v
		}
		label, parent, _ := strings.Cut(rest, ".")
		best, bestLen := 0, -1
		for pat, v := range m.wild {
			pre, post, _ := strings.Cut(pat, "*")
			wildPost, wildParent, _ := strings.Cut(post, ".")
			if wildParent == parent && len(label) >= len(pre)+len(wildPost) && strings.HasPrefix(label, pre) &&
				strings.HasSuffix(label, wildPost) && len(pre)+len(wildPost) > bestLen {
				best, bestLen = v, len(pre)+len(wildPost)
			}
		}
		if best != 0 {
			return best
		}
	}
	return 0
}

func (m *model) addr(a netip.Addr) int {
	best, bits := 0, -1
	for p, v := range m.nets {
		if p.Contains(a) && p.Bits() > bits {
			best, bits = v, p.Bits()
		}
	}
	return best
}

// TestModel compares random catalogues, dense enough that all the branches of
// the trie occur, with the model.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		label := func() string {
			l := []string{"a", "b", "c", "com", "example", "ads", "x1", "x2", "x3", "a-long-label-that-is-not-inline"}
			return l[rng.IntN(len(l))]
		}
		name := func() string {
			s := label()
			for range rng.IntN(5) {
				s = label() + "." + s
			}
			return s
		}
		m := model{map[string]int{}, map[string]int{}, map[string]int{}, map[netip.Prefix]int{}}
		b := build.New()
		b.AddCategory(1, "k")
		apps := 1 + rng.IntN(20)
		for i := range apps {
			b.AddApp(uint32(i+1), fmt.Sprint("app", i), 1)
		}
		for range rng.IntN(200) {
			v, n, kind := 1+rng.IntN(apps), name(), build.Kind(rng.IntN(2))
			into := m.suffix
			switch {
			case rng.IntN(8) == 0:
				kind, into, n = build.Wild, m.wild, "x*."+n
			case kind == build.Exact:
				into = m.exact
			}
			if _, dup := into[n]; dup {
				continue
			}
			into[n] = v
			if err := b.AddDomain(n, kind, build.Owner{App: v}); err != nil {
				t.Fatal(err)
			}
		}
		addr := func() netip.Addr {
			a := [16]byte{0: 0x20, 1: byte(rng.IntN(2)), 2: byte(rng.IntN(256)), 15: byte(rng.IntN(4))}
			if rng.IntN(2) == 0 {
				return netip.AddrFrom4([4]byte{10, a[1], a[2], a[15]})
			}
			return netip.AddrFrom16(a)
		}
		for range rng.IntN(60) {
			a, v := addr(), 1+rng.IntN(apps)
			p := netip.PrefixFrom(a, 1+rng.IntN(a.BitLen())).Masked()
			if _, dup := m.nets[p]; !dup {
				m.nets[p] = v
				b.AddNetwork(p, build.Owner{App: v})
			}
		}
		var out bytes.Buffer
		if _, err := b.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		c, err := Parse(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			n := name()
			got, _ := c.Host([]byte(n))
			if want := m.host(n); int(got.App) != want {
				t.Fatalf("seed %d: Host(%q) = %d by %v %q, want %d", seed, n, got.App, got.Kind, c.AppendEntry(nil, got), want)
			}
			a := addr()
			got, _ = c.Addr(a.As16())
			if want := m.addr(a); int(got.App) != want {
				t.Fatalf("seed %d: Addr(%v) = %d by %q, want %d", seed, a, got.App, c.AppendEntry(nil, got), want)
			}
		}
	}
}
