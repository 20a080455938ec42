package rules

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const others = `table inet other {
	set s { type ipv4_addr; elements = { 192.0.2.1 } }
	chain c { type filter hook forward priority 0; policy accept; ip saddr @s counter drop; }
}
table ip weir {
	chain c { counter; }
}`

func ruleset(t *testing.T) string { t.Helper(); return run(t, "", "nft -s list ruleset") }

func tables(t *testing.T) string { t.Helper(); return run(t, "", "nft list tables") }

// Our table comes, is replaced by another mode's, and goes; nothing else moves.
func TestInstallRemove(t *testing.T) {
	alone(t)
	nft(t, others)
	before := ruleset(t)
	for _, mode := range []Mode{Forward, Forward, Input, Output} {
		install(t, func(c *Config) { c.Mode = mode; c.Exempt = prefixes("10.0.0.0/8", "fd00::/8") })
		if got := tables(t); strings.Count(got, "weir_capture") != 1 || strings.Contains(got, "probe") {
			t.Errorf("mode %s: tables\n%swant one of ours", mode, got)
		}
		if got := ruleset(t); !strings.Contains(got, "queue_"+string(mode)) || mode != Forward && strings.Contains(got, "queue_forward") {
			t.Errorf("mode %s installed\n%s", mode, got)
		}
	}
	r := install(t, nil)
	for range 2 {
		if err := r.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if got := ruleset(t); got != before {
		t.Errorf("after Remove:\n%swant\n%s", got, before)
	}
	install(t, func(c *Config) { c.Exempt = prefixes("10.0.0.0/8") })
	install(t, func(c *Config) { c.Mode = Manual })
	if got := ruleset(t); got != before {
		t.Errorf("manual mode after a crash:\n%swant\n%s", got, before)
	}
}

// Large lists are whole: they take more than one message.
func TestManyExempt(t *testing.T) {
	alone(t)
	var list []string
	for i := range 3000 {
		list = append(list, "10."+strconv.Itoa(i/250)+"."+strconv.Itoa(i%250)+".8/30")
	}
	install(t, func(c *Config) { c.Exempt = prefixes(list...) })
	if got := strings.Count(ruleset(t), "/30"); got != len(list) {
		t.Errorf("%d networks in the kernel, want %d", got, len(list))
	}
}

// A run that was killed leaves its rules; the next one replaces them.
func TestTakeOver(t *testing.T) {
	if os.Getenv("WEIR_RULES_INSTALL") != "" { // the run that is killed
		install(t, nil)
		fmt.Println("installed")
		select {}
	}
	alone(t)
	nft(t, others)
	cmd := exec.Command(os.Args[0], "-test.run=^TestTakeOver$", "-test.v")
	cmd.Env = append(os.Environ(), "WEIR_RULES_INSTALL=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "installed"; {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	left := ruleset(t)
	if strings.Count(tables(t), "weir_capture") != 1 {
		t.Fatalf("the killed run left\n%s", left)
	}
	r, err := Plan(testConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.Install(logTo(t))
	if err != nil || !rep.TakenOver {
		t.Errorf("Install = %+v, %v, want a take-over", rep, err)
	}
	if got := ruleset(t); got != left {
		t.Errorf("after the take-over:\n%swant\n%s", got, left)
	}
}

// What is printed is what is installed. The queue statement is left out: this
// kernel may not have the form that is printed.
func TestPrintIsInstall(t *testing.T) {
	for _, mode := range []Mode{Forward, Input, Output} {
		for _, mask := range []uint32{0xff000000, 0x3, 0x70} {
			alone(t)
			r, err := Plan(testConfig(func(c *Config) {
				c.Mode, c.MarkMask, c.Packets, c.Exempt = mode, mask, 200, prefixes("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")
			}))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range r.variants() {
				var text strings.Builder
				conn, err := dial()
				if err != nil {
					t.Fatal(err)
				}
				for _, tb := range r.tables(v) {
					for _, c := range tb.chains {
						for i := range c.rules {
							if c.rules[i].queue != nil {
								c.rules[i].queue = nil
								c.rules[i].clauses = append(c.rules[i].clauses, accept())
							}
						}
					}
					tb.print(&text)
					if err := tb.send(conn, wayNative); err != nil {
						t.Fatal(err)
					}
				}
				if err := conn.Flush(); err != nil {
					t.Fatal(err)
				}
				installed := ruleset(t)
				run(t, "", "nft flush ruleset")
				nft(t, text.String())
				if printed := ruleset(t); printed != installed {
					t.Errorf("mode %s, mask %#x: installed:\n%sprinted:\n%s", mode, mask, installed, printed)
				}
				run(t, "", "nft flush ruleset")
			}
		}
	}
}

func TestInstallErrors(t *testing.T) {
	tests := []struct {
		name  string
		setup func(t *testing.T)
		mode  Mode
		want  error
		text  string
	}{
		{"a table of somebody else", func(t *testing.T) { nft(t, "table inet weir_capture {\n chain c { counter; }\n}") }, Forward, ErrForeign,
			"nft delete table inet weir_capture"},
		{"another instance", func(t *testing.T) { install(t, func(c *Config) { c.Instance = "lab-2" }) }, Forward, ErrForeign,
			`instance.name = "lab-2"`},
		{"no rights", dropRights, Forward, ErrDenied, "CAP_NET_ADMIN"},
		{"no way to queue", func(t *testing.T) {
			sysctl(t, "net/bridge/bridge-nf-call-iptables", "0")
		}, Bridge, ErrNoQueue, "net.bridge.bridge-nf-call-iptables"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			alone(t)
			tt.setup(t)
			r, err := Plan(testConfig(func(c *Config) { c.Mode = tt.mode }))
			if err != nil {
				t.Fatal(err)
			}
			rep, err := r.Install(logTo(t))
			if err == nil && errors.Is(tt.want, ErrNoQueue) && !strings.Contains(rep.Way, "br_netfilter") {
				t.Skip("this kernel queues bridged packets without br_netfilter")
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Install: %v, want %v and %q", err, tt.want, tt.text)
			}
			if errors.Is(tt.want, ErrForeign) {
				before := ruleset(t)
				if err := r.Remove(); err != nil || ruleset(t) != before {
					t.Errorf("Remove touched what is not ours: %v", err)
				}
			}
		})
	}
}

// dropRights takes CAP_NET_ADMIN from the test's thread, which dies with the test.
func dropRights(t *testing.T) {
	t.Helper()
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		t.Fatal(err)
	}
	d[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&h, &d[0]); err != nil {
		t.Fatal(err)
	}
}
