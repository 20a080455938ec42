package target

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/proto/config"
)

// netns moves the test to a network namespace of its own. The thread is never
// given back: it dies with the test, and the namespace with it.
func netns(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("new network namespace: %v", err)
		}
		t.Skipf("needs root for a network namespace: %v", err)
	}
}

// nft runs the nft command in the test's namespace: the thread is locked, and a
// child is born in the namespace of the thread that starts it.
func nft(t *testing.T, script string) string {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the nft command")
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s\n%s", err, out, script)
	}
	return string(out)
}

func backend(t *testing.T, sets ...*Set) *NFT {
	t.Helper()
	n, err := NewNFT("weir", "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if err := n.Open(sets); err != nil {
		t.Fatal(err)
	}
	return n
}

func ownSet(t *testing.T, edit func(*config.Set)) *Set {
	t.Helper()
	c := config.Set{Name: "ports", Create: true, Key: []string{"server_port"}, Timeout: time.Hour, Remove: config.RemoveFlowEnd}
	if edit != nil {
		edit(&c)
	}
	return newSet(t, c)
}

// keys returns what the kernel has in a set, in order.
func keys(t *testing.T, n *NFT, s *Set) []string {
	t.Helper()
	list, err := n.Dump(s)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, f := range list {
		out = append(out, s.Format(f.Key))
	}
	slices.Sort(out)
	return out
}

func commit(t *testing.T, n *NFT, l *Ledger) {
	t.Helper()
	c := l.Changes(time.Now(), false, n.Limit())
	if err := n.Commit(c); err != nil {
		t.Fatal(err)
	}
	l.Done(c)
}

func TestNFTKeys(t *testing.T) {
	netns(t)
	f4, f6 := flow(t, "192.0.2.1", "203.0.113.7", nil), flow(t, "2001:db8::1", "2001:db8::2", nil)
	tests := []struct{ address, key, want string }{
		{config.FamilyIPv4, "client_ip", "192.0.2.1"},
		{config.FamilyIPv6, "client_ip", "2001:db8::1"},
		{config.FamilyIPv4, "client_ip client_port server_ip server_port ip_protocol", "192.0.2.1 . 51000 . 203.0.113.7 . 443 . tcp"},
		{config.FamilyIPv6, "client_ip client_port server_ip server_port ip_protocol", "2001:db8::1 . 51000 . 2001:db8::2 . 443 . tcp"},
		{"", "server_port", "443"},
		{"", "ip_protocol", "tcp"},
		{"", "mac", "02:00:00:00:00:ab"},
		{"", "mark", "0x01020304"},
		{"", "interface", `"lan0"`},
		{config.FamilyIPv4, "mac interface mark server_ip ip_protocol", `02:00:00:00:00:ab . "lan0" . 0x01020304 . 203.0.113.7 . tcp`},
	}
	var sets []*Set
	for i, tt := range tests {
		sets = append(sets, newSet(t, config.Set{Name: fmt.Sprint("s", i), Create: true, Address: tt.address, Key: strings.Fields(tt.key), Timeout: time.Hour}))
	}
	n := backend(t, sets...)
	l := NewLedger(sets)
	for i, s := range sets {
		f := f4
		if tests[i].address == config.FamilyIPv6 {
			f = f6
		}
		key, ok := s.AppendKey(nil, s.Key, f, "lan0")
		if !ok {
			t.Fatalf("%v: no key", s.Key)
		}
		l.Want(i, key, 0, "r")
	}
	commit(t, n, l)
	for i, tt := range tests {
		if got := keys(t, n, sets[i]); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: the kernel has %q, want %q", tt.key, got, tt.want)
		}
		// The nft command must show the same: the types were declared right.
		cmd := exec.Command("nft", "list", "set", "inet", "weir", sets[i].Name)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want+" expires") {
			t.Errorf("%s: nft list: %v: %s", tt.key, err, out)
		}
	}
}

// Every line of the dry run is a line that nft takes.
func TestDryIsNFT(t *testing.T) {
	netns(t)
	b, err := os.ReadFile("testdata/dry.golden")
	if err != nil {
		t.Fatal(err)
	}
	nft(t, "add table inet user\nadd set inet user both { type inet_service; flags timeout; }\n"+string(b))
}

func TestNFTTimeouts(t *testing.T) {
	netns(t)
	for name, renews := range map[string]bool{"as the kernel does it": true, "as old kernels need it": false} {
		t.Run(name, func(t *testing.T) {
			netns(t)
			s := ownSet(t, nil)
			n := backend(t, s)
			n.renews = n.renews && renews
			if err := n.Commit([]Change{{Op: Add, Set: s, Key: string(port(80)), Timeout: 10 * time.Second, Rule: "r"}}); err != nil {
				t.Fatal(err)
			}
			if got := expires(t, n, s); got > 10*time.Second || got < 5*time.Second {
				t.Errorf("expires in %v, want 10 s", got)
			}
			if err := n.Commit([]Change{{Op: Refresh, Set: s, Key: string(port(80)), Timeout: time.Hour, Rule: "r"}}); err != nil {
				t.Fatal(err)
			}
			if got := expires(t, n, s); got < 59*time.Minute {
				t.Errorf("after a refresh: expires in %v, want an hour", got)
			}
		})
	}
}

func expires(t *testing.T, n *NFT, s *Set) time.Duration {
	t.Helper()
	list, err := n.Dump(s)
	if err != nil || len(list) != 1 {
		t.Fatalf("Dump = %v, %v, want one element", list, err)
	}
	return list[0].Expires
}

func TestNFTExpiry(t *testing.T) {
	netns(t)
	s := ownSet(t, nil)
	n := backend(t, s)
	if err := n.Commit([]Change{{Op: Add, Set: s, Key: string(port(80)), Timeout: 50 * time.Millisecond, Rule: "r"}}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; {
		if len(keys(t, n, s)) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the element is still there after 5 s, want it gone after 50 ms")
		}
		runtime.Gosched()
	}
}

// 10,000 elements must all arrive: too many in one message are cut in silence.
// TestNFTGone: a set that goes between two looks is a reason to look again, not to
// give up.
func TestNFTGone(t *testing.T) {
	for _, script := range []string{"delete set inet weir ports", "delete table inet weir"} {
		netns(t)
		s := ownSet(t, nil)
		n := backend(t, s)
		nft(t, script)
		if _, err := n.Dump(s); !errors.Is(err, ErrDiverged) {
			t.Errorf("%s: Dump() = %v, want ErrDiverged", script, err)
		}
		if err := n.Open([]*Set{s}); err != nil {
			t.Errorf("%s: Open() = %v", script, err)
		}
		if got := keys(t, n, s); len(got) != 0 {
			t.Errorf("%s: keys %q, want none", script, got)
		}
	}
}

func TestNFTManyElements(t *testing.T) {
	netns(t)
	const count = 10000
	s := newSet(t, config.Set{Name: "flows", Create: true, Address: config.FamilyIPv6, Timeout: time.Hour, Remove: config.RemoveFlowEnd,
		Key: strings.Fields("client_ip client_port server_ip server_port ip_protocol")})
	n := backend(t, s)
	l := NewLedger([]*Set{s})
	f := flow(t, "2001:db8::1", "2001:db8::2", nil)
	rule := strings.Repeat("r", 64)
	var held []Element
	for i := range count {
		binary.LittleEndian.PutUint16(f[64:], uint16(i))
		key, _ := s.AppendKey(nil, s.Key, f, "")
		held = append(held, l.Want(0, key, 0, rule))
	}
	for l.Pending() > 0 {
		c := l.Changes(time.Now(), false, n.Limit())
		if len(c) == 0 {
			break
		}
		if err := n.Commit(c); err != nil {
			t.Fatal(err)
		}
		l.Done(c)
	}
	if got := len(keys(t, n, s)); got != count {
		t.Errorf("the kernel has %d elements, want %d", got, count)
	}
	list, err := n.Dump(s)
	if err != nil || !list[0].Ours || list[0].Rule != rule {
		t.Errorf("Dump: %v, first %+v, want our mark and the rule", err, list[0])
	}
	for _, x := range held {
		l.Release(x, true)
	}
	commit(t, n, l)
	if got := len(keys(t, n, s)); got != 0 {
		t.Errorf("the kernel has %d elements after their deletion, want 0", got)
	}
}

func TestNFTDeleteOfMissing(t *testing.T) {
	netns(t)
	s := ownSet(t, nil)
	n := backend(t, s)
	err := n.Commit([]Change{
		{Op: Add, Set: s, Key: string(port(80)), Timeout: time.Hour, Rule: "r"},
		{Op: Delete, Set: s, Key: string(port(81))},
	})
	if !errors.Is(err, ErrDiverged) {
		t.Fatalf("Commit = %v, want ErrDiverged", err)
	}
	if got := keys(t, n, s); len(got) != 0 {
		t.Errorf("the kernel has %q after a failed transaction, want nothing", got)
	}
	if err := n.Commit([]Change{{Op: Add, Set: s, Key: string(port(80)), Timeout: time.Hour, Rule: "r"}}); err != nil {
		t.Errorf("Commit after a failure: %v", err)
	}
}

func TestNFTReconcile(t *testing.T) {
	netns(t)
	s := ownSet(t, nil)
	n := backend(t, s)
	l := NewLedger([]*Set{s})
	known := func(string) bool { return true }
	l.Want(0, port(80), 0, "r")
	l.Want(0, port(81), 0, "r")
	commit(t, n, l)
	check := func(what string) {
		t.Helper()
		changed, err := n.Changed()
		if err != nil || !changed {
			t.Errorf("%s: Changed = %t, %v, want true", what, changed, err)
		}
		if err := n.Open([]*Set{s}); err != nil {
			t.Fatal(err)
		}
		list, err := n.Dump(s)
		if err != nil {
			t.Fatal(err)
		}
		l.Reconcile(0, list, time.Now(), known)
		commit(t, n, l)
		if got := keys(t, n, s); !slices.Equal(got, []string{"80", "81"}) {
			t.Errorf("%s: the kernel has %q, want 80 and 81", what, got)
		}
	}
	if changed, err := n.Changed(); err != nil || changed {
		t.Errorf("Changed = %t, %v after our own transaction, want false", changed, err)
	}
	nft(t, "delete element inet weir ports { 80 }")
	check("element deleted")
	nft(t, "flush set inet weir ports")
	check("set flushed")
	nft(t, "delete table inet weir")
	check("table deleted")
	nft(t, "flush ruleset")
	check("ruleset flushed")
	nft(t, "delete set inet weir ports")
	check("set deleted")
}

func TestNFTKeepsContentAcrossOpens(t *testing.T) {
	netns(t)
	s := ownSet(t, nil)
	n := backend(t, s)
	l := NewLedger([]*Set{s})
	l.Want(0, port(80), 0, "r")
	commit(t, n, l)
	nft(t, "add chain inet weir mine { type filter hook forward priority 0; }\nadd rule inet weir mine tcp dport @ports drop")
	again := backend(t, s)
	if got := keys(t, again, s); !slices.Equal(got, []string{"80"}) {
		t.Errorf("after another start the kernel has %q, want 80", got)
	}
}

func TestNFTSetsThatWent(t *testing.T) {
	netns(t)
	a, b := ownSet(t, nil), ownSet(t, func(c *config.Set) { c.Name = "used" })
	n := backend(t, a, b)
	for _, s := range []*Set{a, b} {
		if err := n.Commit([]Change{{Op: Add, Set: s, Key: string(port(80)), Timeout: time.Hour, Rule: "r"}}); err != nil {
			t.Fatal(err)
		}
	}
	nft(t, "add set inet weir users_own { type mark; }\nadd chain inet weir mine\nadd rule inet weir mine tcp dport @used drop")
	if err := n.Open(nil); err != nil {
		t.Fatal(err)
	}
	out := list(t, "table", "inet", "weir")
	if strings.Contains(out, "set ports") || !strings.Contains(out, "set used") || !strings.Contains(out, "set users_own") {
		t.Errorf("after both left the configuration, ports should be gone, used and the user's set should stay: %s", out)
	}
	if strings.Contains(out, "80 ") {
		t.Errorf("a set that a rule uses was not emptied: %s", out)
	}
	if err := n.Open(nil); err != nil {
		t.Errorf("Open again: %v", err)
	}
}

func list(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("nft", append([]string{"list"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft list: %v: %s", err, out)
	}
	return string(out)
}

func TestNFTSetOfAnotherType(t *testing.T) {
	netns(t)
	n := backend(t, ownSet(t, nil))
	other := ownSet(t, func(c *config.Set) { c.Key = []string{"mark"} })
	if err := n.Open([]*Set{other}); err != nil {
		t.Fatal(err)
	}
	if out := list(t, "set", "inet", "weir", "ports"); !strings.Contains(out, "type mark") {
		t.Errorf("the set was not made anew: %s", out)
	}
	nft(t, "add chain inet weir mine\nadd rule inet weir mine meta mark @ports drop")
	if err := n.Open([]*Set{ownSet(t, nil)}); err == nil || !strings.Contains(err.Error(), "remove the rule, or give the set another name") {
		t.Errorf("Open with a set in use = %v, want advice", err)
	}
}

func TestNFTForeignTable(t *testing.T) {
	tests := []struct{ name, script, whose string }{
		{"made by hand", "add table inet weir\nadd set inet weir ports { type inet_service; }", "it has no set weir_owner.test"},
		{"of another instance", "add table inet weir\nadd set inet weir weir_owner.other { type mark; }", `it belongs to instance.name = "other"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			netns(t)
			nft(t, tt.script)
			before := list(t, "ruleset")
			n, err := NewNFT("weir", "test")
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			err = n.Open([]*Set{ownSet(t, nil)})
			if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "choose another policy.table") || !strings.Contains(err.Error(), tt.whose) {
				t.Errorf("Open = %v, want ErrForeign with a remedy", err)
			}
			if _, _, err := n.Flush(nil); !errors.Is(err, ErrForeign) {
				t.Errorf("Flush = %v, want ErrForeign", err)
			}
			if after := list(t, "ruleset"); after != before {
				t.Errorf("the ruleset was changed from %s to %s", before, after)
			}
		})
	}
}

func userSet(t *testing.T, edit func(*config.Set)) *Set {
	return ownSet(t, func(c *config.Set) {
		c.Create, c.Table, c.Pos = false, "fw", config.Pos{File: "weir.toml", Line: 3}
		if edit != nil {
			edit(c)
		}
	})
}

func TestNFTUserSet(t *testing.T) {
	netns(t)
	nft(t, "add table inet fw\nadd set inet fw ports { type inet_service; flags timeout; elements = { 22 } }")
	s := userSet(t, nil)
	n := backend(t, s)
	l := NewLedger([]*Set{s})
	reconcile(t, n, l, s)
	x := l.Want(0, port(80), 0, "r")
	y := l.Want(0, port(22), 0, "r")
	commit(t, n, l)
	if got := keys(t, n, s); !slices.Equal(got, []string{"22", "80"}) {
		t.Errorf("the kernel has %q, want 22 and 80", got)
	}
	l.Release(x, true)
	l.Release(y, true)
	commit(t, n, l)
	if got := keys(t, n, s); len(got) > 1 {
		t.Errorf("the kernel has %q, want 80 gone", got)
	}
}

func reconcile(t *testing.T, n *NFT, l *Ledger, s *Set) {
	t.Helper()
	found, err := n.Dump(s)
	if err != nil {
		t.Fatal(err)
	}
	l.Reconcile(0, found, time.Now(), func(string) bool { return true })
}

func TestNFTUserSetWrong(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"no table", "", "there is no such set"},
		{"no set", "add table inet fw", "there is no such set"},
		{"another type", "add table inet fw\nadd set inet fw ports { type ipv4_addr; flags timeout; }", `its type is "ipv4_addr", the configuration fills "inet_service"`},
		{"joined type", "add table inet fw\nadd set inet fw ports { type inet_service . inet_proto; flags timeout; }", `its type is "inet_service . inet_proto"`},
		{"no timeout", "add table inet fw\nadd set inet fw ports { type inet_service; }", "it has no flags timeout"},
		{"interval", "add table inet fw\nadd set inet fw ports { type inet_service; flags interval, timeout; }", "it has flags interval"},
		{"map", "add table inet fw\nadd map inet fw ports { type inet_service : mark; flags timeout; }", "it is a map"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			netns(t)
			nft(t, tt.script)
			n, err := NewNFT("weir", "test")
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			err = n.Open([]*Set{userSet(t, nil)})
			const remedy = "declare it like this: nft 'add set inet fw ports { type inet_service; flags timeout; size 65536; }'"
			if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), remedy) ||
				!strings.HasPrefix(err.Error(), "weir.toml:3: set inet fw ports: ") {
				t.Errorf("Open = %v, want %q and %q", err, tt.want, remedy)
			}
			if strings.Contains(list(t, "ruleset"), "table inet weir") {
				t.Error("a table was left behind")
			}
		})
	}
}

func TestNFTFlush(t *testing.T) {
	netns(t)
	nft(t, "add table inet fw\nadd set inet fw ports { type inet_service; flags timeout; elements = { 22 } }\nadd table ip other")
	own, user := ownSet(t, func(c *config.Set) { c.Name = "own" }), userSet(t, nil)
	n := backend(t, own, user)
	for _, s := range []*Set{own, user} {
		if err := n.Commit([]Change{{Op: Add, Set: s, Key: string(port(80)), Timeout: time.Hour, Rule: "r"}}); err != nil {
			t.Fatal(err)
		}
	}
	table, elements, err := n.Flush([]*Set{own, user})
	if err != nil || !table || elements != 1 {
		t.Errorf("Flush = %t, %d, %v, want true, 1, nil", table, elements, err)
	}
	out := list(t, "ruleset")
	if strings.Contains(out, "inet weir") || !strings.Contains(out, "table ip other") || strings.Contains(out, "80") || !strings.Contains(out, "22") {
		t.Errorf("ruleset after Flush: %s", out)
	}
	if table, elements, err = n.Flush([]*Set{own, user}); err != nil || table || elements != 0 {
		t.Errorf("Flush again = %t, %d, %v, want false, 0, nil", table, elements, err)
	}
}

// A child without CAP_NET_ADMIN must get one clear error.
func TestNFTDenied(t *testing.T) {
	netns(t)
	if os.Getenv("DENIED_CHILD") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestNFTDenied$", "-test.v")
		cmd.Env = append(os.Environ(), "DENIED_CHILD=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("child: %v\n%s", err, out)
		}
		return
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // no capability at all
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		t.Fatal(err)
	}
	n, err := NewNFT("weir", "test")
	if err == nil {
		err = n.Open([]*Set{ownSet(t, nil)})
	}
	if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Open without privilege = %v, want ErrDenied", err)
	}
}

func BenchmarkNFTCommit(b *testing.B) {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skipf("needs root for a network namespace: %v", err)
	}
	c := config.Set{Name: "ports", Family: "inet", Create: true, Key: []string{"server_port"}, Timeout: time.Hour, Remove: config.RemoveFlowEnd}
	s, err := NewSet(c, "weir")
	if err != nil {
		b.Fatal(err)
	}
	n, err := NewNFT("weir", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	if err := n.Open([]*Set{s}); err != nil {
		b.Fatal(err)
	}
	var changes []Change
	for i := range 1000 {
		changes = append(changes, Change{Op: Add, Set: s, Key: string(port(i)), Timeout: time.Hour, Rule: "r"})
	}
	for b.Loop() {
		if err := n.Commit(changes); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "elements/s")
}
