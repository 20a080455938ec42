package target

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/proto/config"
)

var update = flag.Bool("update", false, "write golden files anew")

var epoch = time.Unix(1_700_000_000, 0)

func testSets(t testing.TB) []*Set {
	return []*Set{
		newSet(t, config.Set{Name: "timed", Create: true, Key: []string{"server_port"}, Timeout: 10 * time.Minute, Size: 100}),
		newSet(t, config.Set{Name: "ending", Create: true, Key: []string{"server_port"}, Remove: config.RemoveFlowEnd, Size: 100}),
		newSet(t, config.Set{Name: "both", Table: "user", Key: []string{"server_port"}, Timeout: time.Minute, Remove: config.RemoveFlowEnd, Size: 3}),
	}
}

const timed, ending, both = 0, 1, 2

func port(n int) []byte { return []byte{byte(n >> 8), byte(n)} }

// run makes all changes and returns them as text.
func run(l *Ledger, now time.Time, hold bool) []string {
	var out []string
	changes := l.Changes(now, hold, 1000)
	for _, c := range changes {
		out = append(out, c.String())
	}
	l.Done(changes)
	if again := l.Changes(now, hold, 1000); len(again) != 0 {
		out = append(out, fmt.Sprintf("AGAIN %v", again))
	}
	return out
}

func TestLedger(t *testing.T) {
	const (
		addTimed = `add element inet weir timed { 80 timeout 600s comment "weir: r" }`
		addEnd   = `add element inet weir ending { 80 comment "weir: r" }`
		delTimed = `delete element inet weir timed { 80 }`
		delEnd   = `delete element inet weir ending { 80 }`
		addBoth  = `add element inet user both { 80 timeout 60s comment "weir: r" }`
	)
	minute := func(n float64) time.Time { return epoch.Add(time.Duration(n * float64(time.Minute))) }
	tests := []struct {
		name  string
		steps func(l *Ledger, expect func(now time.Time, hold bool, want ...string))
	}{
		{"came and went between two transactions", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			l.Release(l.Want(timed, port(80), 0, "r"), true)
			l.Release(l.Want(ending, port(80), 0, "r"), true)
			expect(epoch, false, addTimed)
			expect(minute(11), false)
			expect(minute(22), false)
		}},
		{"suspended set", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			l.Suspend(timed, true)
			l.Want(timed, port(80), 0, "r")
			l.Want(ending, port(80), 0, "r")
			expect(epoch, false, addEnd)
			l.Suspend(timed, false)
			expect(minute(1), false, addTimed)
		}},
		{"two flows want one element", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(ending, port(80), 0, "r")
			b := l.Want(ending, port(80), 0, "other")
			expect(epoch, false, addEnd)
			l.Release(a, true)
			expect(epoch, false)
			l.Release(b, true)
			expect(epoch, false, delEnd)
			expect(epoch, false)
		}},
		{"wanted again before it went", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(ending, port(80), 0, "r")
			expect(epoch, false, addEnd)
			l.Release(a, true)
			l.Want(ending, port(80), 0, "r")
			expect(epoch, false)
		}},
		{"released before it came", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			l.Release(l.Want(ending, port(80), 0, "r"), true)
			expect(epoch, false)
		}},
		{"nothing is deleted on hold", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(ending, port(80), 0, "r")
			expect(epoch, true, addEnd)
			l.Release(a, true)
			expect(epoch, true)
			expect(epoch, false, delEnd)
		}},
		{"refreshed at half its timeout while a flow lives", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			l.Want(timed, port(80), 0, "r")
			expect(epoch, false, addTimed)
			expect(minute(4.9), false)
			expect(minute(5.1), false, addTimed+" # refresh")
			expect(minute(10), false)
			expect(minute(10.2), false, addTimed+" # refresh")
		}},
		{"lives out its timeout after the flow", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(timed, port(80), 0, "r")
			expect(epoch, false, addTimed)
			l.Release(a, true)
			expect(minute(0.5), false) // young enough
			expect(minute(5.1), false)
			expect(minute(10), false)
			if _, kernel, _ := l.Count(timed); kernel != 0 {
				t.Errorf("%d elements left when the kernel dropped them, want 0", kernel)
			}
		}},
		{"one more timeout when the flow ends late", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(timed, port(80), 0, "r")
			expect(epoch, false, addTimed)
			l.Release(a, true)
			expect(minute(3), false, addTimed+" # refresh")
			expect(minute(12), false)
			expect(minute(13), false)
		}},
		{"withdrawn: goes at once", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(timed, port(80), 0, "r")
			expect(epoch, false, addTimed)
			l.Release(a, false)
			expect(epoch, false, delTimed)
		}},
		{"withdrawn, but a flow had wanted it to its end", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a, b := l.Want(timed, port(80), 0, "r"), l.Want(timed, port(80), 0, "r")
			expect(epoch, false, addTimed)
			l.Release(b, true)
			l.Release(a, false)
			expect(epoch, false)
		}},
		{"the longest timeout counts", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			l.Want(timed, port(80), time.Minute, "r")
			l.Want(timed, port(80), time.Hour, "r")
			expect(epoch, false, `add element inet weir timed { 80 timeout 3600s comment "weir: r" }`)
		}},
		{"timeout and flow end", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			a := l.Want(both, port(80), 0, "r")
			expect(epoch, false, addBoth)
			expect(minute(0.6), false, addBoth+" # refresh")
			l.Release(a, true)
			expect(minute(0.6), false, `delete element inet user both { 80 }`)
		}},
		{"we slept too long", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			l.Want(timed, port(80), 0, "r")
			expect(epoch, false, addTimed)
			expect(minute(60), false, addTimed)
		}},
		{"full set", func(l *Ledger, expect func(time.Time, bool, ...string)) {
			var held []Element
			for i := range 4 {
				held = append(held, l.Want(both, port(80+i), 0, "r"))
			}
			if got := l.Changes(epoch, false, 100); len(got) != 3 {
				t.Fatalf("Changes = %v, want three of size 3", got)
			} else {
				l.Done(got)
			}
			if _, _, full := l.Count(both); full != 1 {
				t.Errorf("full = %d, want 1", full)
			}
			l.Release(held[0], true)
			expect(epoch.Add(time.Second), false, `delete element inet user both { 80 }`)
			expect(epoch.Add(6*time.Second), false, strings.Replace(addBoth, "80", "83", 1))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger(testSets(t))
			step := 0
			tt.steps(l, func(now time.Time, hold bool, want ...string) {
				t.Helper()
				step++
				if d := cmp.Diff(want, run(l, now, hold)); d != "" {
					t.Errorf("step %d (-want +got):\n%s", step, d)
				}
			})
		})
	}
}

func TestFailedTransaction(t *testing.T) {
	l := NewLedger(testSets(t))
	l.Want(ending, port(80), 0, "r")
	first := l.Changes(epoch, false, 10)
	second := l.Changes(epoch, false, 10) // nothing was Done
	if len(first) != 1 || len(second) != 1 || first[0].String() != second[0].String() {
		t.Errorf("Changes = %v, then %v, want the same", first, second)
	}
}

func TestChangesLimit(t *testing.T) {
	l := NewLedger(testSets(t))
	for i := range 10 {
		l.Want(ending, port(i), 0, "r")
	}
	n := 0
	for range 4 {
		c := l.Changes(epoch, false, 3)
		if len(c) > 3 {
			t.Errorf("%d changes, want at most 3", len(c))
		}
		n += len(c)
		l.Done(c)
	}
	if n != 10 {
		t.Errorf("%d changes in all, want 10", n)
	}
}

func TestReconcile(t *testing.T) {
	const gone = "no such rule"
	known := func(r string) bool { return r != gone }
	tests := []struct {
		name  string
		set   int
		want  bool // a flow wants the element
		found []Found
		then  []string
	}{
		{"wanted and missing", ending, true, nil, []string{`add element inet weir ending { 80 comment "weir: r" }`}},
		{"wanted and there", ending, true, []Found{{Key: string(port(80)), Ours: true, Rule: "r"}}, nil},
		{"unwanted and ours", ending, false, []Found{{Key: string(port(80)), Ours: true, Rule: "r"}}, []string{`delete element inet weir ending { 80 }`}},
		{"unwanted and not ours", ending, false, []Found{{Key: string(port(80))}}, nil},
		{"wanted and not ours", ending, true, []Found{{Key: string(port(80))}}, nil},
		{"unwanted, leaves by timeout", timed, false, []Found{{Key: string(port(80)), Ours: true, Rule: "r", Expires: time.Minute}}, nil},
		{"unwanted, its rule is gone", timed, false, []Found{{Key: string(port(80)), Ours: true, Rule: gone, Expires: time.Minute}}, []string{`delete element inet weir timed { 80 }`}},
		{"wanted, about to expire", timed, true, []Found{{Key: string(port(80)), Ours: true, Rule: "r", Expires: time.Minute}}, []string{`add element inet weir timed { 80 timeout 600s comment "weir: r" } # refresh`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger(testSets(t))
			if tt.want {
				l.Want(tt.set, port(80), 0, "r")
			}
			l.Reconcile(tt.set, tt.found, epoch, known)
			if c := l.Changes(epoch, true, 10); slices.ContainsFunc(c, func(c Change) bool { return c.Op == Delete }) {
				t.Errorf("Changes on hold = %v, want no deletion", c)
			}
			if d := cmp.Diff(tt.then, run(l, epoch, false)); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
		})
	}
}

// What an earlier life put there may have been vouched for by flows that ended.
func TestReconcileKeepsWhatOthersMayHaveWanted(t *testing.T) {
	l := NewLedger(testSets(t))
	a := l.Want(timed, port(80), 0, "r")
	l.Reconcile(timed, []Found{{Key: string(port(80)), Ours: true, Rule: "r", Expires: 9 * time.Minute}}, epoch, func(string) bool { return true })
	l.Release(a, false)
	if got := run(l, epoch, false); got != nil {
		t.Errorf("changes = %v, want none", got)
	}
}

func TestForeignElementLeft(t *testing.T) {
	l := NewLedger(testSets(t))
	a := l.Want(ending, port(80), 0, "r")
	known := func(string) bool { return true }
	l.Reconcile(ending, []Found{{Key: string(port(80))}}, epoch, known)
	l.Release(a, true)
	if got := run(l, epoch, false); got != nil {
		t.Errorf("changes = %v, want none: the element is not ours", got)
	}
	l.Want(ending, port(80), 0, "r")
	l.Reconcile(ending, nil, epoch, known)
	if got := run(l, epoch, false); len(got) != 1 {
		t.Errorf("changes = %v, want an addition: nobody else's element is there", got)
	}
}

// TestLedgerModel lets flows come and go at random, with transactions that fail, a
// kernel that drops elements, and foreign deletions; whatever happened, after a
// reconciliation the kernel holds what flows want.
func TestLedgerModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		sets := testSets(t)
		l, k := NewLedger(sets), kernel{}
		now := epoch
		type held struct {
			set int
			x   Element
		}
		var flows []held
		for range 400 {
			now = now.Add(time.Duration(rng.IntN(40)) * time.Second)
			k.expire(now)
			switch n := rng.IntN(10); {
			case n < 5:
				s := rng.IntN(2)
				flows = append(flows, held{s, l.Want(s, port(rng.IntN(8)), 0, "r")})
			case n < 8 && len(flows) > 0:
				i := rng.IntN(len(flows))
				l.Release(flows[i].x, rng.IntN(2) == 0)
				flows = slices.Delete(flows, i, i+1)
			case n == 8:
				k.steal(rng)
				for s := range sets {
					l.Reconcile(s, k.dump(sets[s], now), now, func(string) bool { return true })
				}
			}
			if c := l.Changes(now, false, 5); rng.IntN(4) != 0 {
				k.apply(c, now)
				l.Done(c)
			}
		}
		for l.Pending() > 0 {
			c := l.Changes(now, false, 5)
			k.apply(c, now)
			l.Done(c)
		}
		for _, f := range flows {
			if _, ok := k[sets[f.set].String()+f.x.Key()]; !ok {
				t.Errorf("seed %d: %s %s is wanted and not in the kernel", seed, sets[f.set], sets[f.set].Format(f.x.Key()))
			}
		}
		for _, f := range k.dump(sets[ending], now) {
			if x, ok := l.Find(ending, f.Key); !ok || x.e.refs == 0 {
				t.Errorf("seed %d: %x is in the kernel and not wanted", seed, f.Key)
			}
		}
	}
}

// kernel is a model of the kernel's sets.
type kernel map[string]kernelElement

type kernelElement struct {
	set     *Set
	key     string
	expires time.Time
}

func (k kernel) apply(changes []Change, now time.Time) {
	for _, c := range changes {
		at := c.Set.String() + c.Key
		if _, there := k[at]; c.Op == Delete && !there {
			panic("deletion of a missing element: the transaction would fail")
		}
		delete(k, at)
		if c.Op != Delete {
			e := kernelElement{set: c.Set, key: c.Key}
			if c.Timeout > 0 {
				e.expires = now.Add(c.Timeout)
			}
			k[at] = e
		}
	}
}

func (k kernel) expire(now time.Time) {
	for at, e := range k {
		if !e.expires.IsZero() && !e.expires.After(now) {
			delete(k, at)
		}
	}
}

func (k kernel) steal(rng *rand.Rand) {
	for at := range k {
		if rng.IntN(2) == 0 {
			delete(k, at)
		}
	}
}

func (k kernel) dump(s *Set, now time.Time) (out []Found) {
	for _, e := range k {
		if e.set == s {
			f := Found{Key: e.key, Ours: true, Rule: "r"}
			if !e.expires.IsZero() {
				f.Expires = e.expires.Sub(now)
			}
			out = append(out, f)
		}
	}
	return out
}

// TestDry compares the text of transactions with the golden file; nft reads it.
func TestDry(t *testing.T) {
	var buf bytes.Buffer
	d := NewDry(&buf)
	sets := testSets(t)
	sets = append(sets, newSet(t, config.Set{Name: "wide", Create: true, Address: config.FamilyIPv6, Timeout: 1500 * time.Millisecond,
		Key: strings.Fields("client_ip mac ip_protocol mark interface")}))
	if err := d.Open(sets); err != nil {
		t.Fatal(err)
	}
	l := NewLedger(sets)
	commit := func(now time.Time) {
		c := l.Changes(now, false, d.Limit())
		if err := d.Commit(c); err != nil {
			t.Fatal(err)
		}
		l.Done(c)
	}
	key, _ := sets[3].AppendKey(nil, sets[3].Key, flow(t, "2001:db8::1", "2001:db8::2", nil), "lan0")
	a := l.Want(3, key, 0, "wide-rule")
	l.Want(timed, port(443), time.Hour, "long")
	b := l.Want(ending, port(22), 0, "ssh")
	commit(epoch)
	l.Release(a, false)
	l.Release(b, true)
	l.Want(both, port(53), 0, "dns")
	commit(epoch.Add(time.Second))
	commit(epoch.Add(40 * time.Minute))

	golden := filepath.Join("testdata", "dry.golden")
	if *update {
		if err := os.WriteFile(golden, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), buf.String()); diff != "" {
		t.Errorf("transactions (-want +got), -update writes them anew:\n%s", diff)
	}
	if found, _ := d.Dump(sets[timed]); len(found) != 1 || found[0].Rule != "long" {
		t.Errorf("Dump = %v, want the one element", found)
	}
}

func BenchmarkLedger(b *testing.B) {
	l := NewLedger([]*Set{newSet(b, config.Set{Key: []string{"server_port"}, Timeout: time.Minute, Size: 1 << 20})})
	var key [2]byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key[0], key[1] = byte(i>>8), byte(i)
		x := l.Want(0, key[:], 0, "r")
		if i%500 == 0 {
			l.Done(l.Changes(epoch.Add(time.Duration(i)*time.Microsecond), false, 10000))
		}
		l.Release(x, true)
	}
}
