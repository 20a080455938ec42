package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/tests/e2e"
	"weir/tests/netns"
)

// often looks at the totals of connections every second and waits little for stragglers.
const often = `
[capture.conntrack]
interval = "1s"
[flow.timeouts]
tcp_closing = "2s"
`

// accounted starts Weir over queues that get the first packets of each flow.
func (l *lab) accounted(t *testing.T, more string) *weir {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.toml")
	if err := os.WriteFile(path, []byte(often+more), 0o600); err != nil {
		t.Fatal(err)
	}
	return l.weir(t, "-nfqueue", "forward", "-policy", path, "-log-level", "info")
}

// told returns all flow events so far that meet a condition, oldest first.
func (w *weir) told(t *testing.T, meets func(event.Type, event.Flow) bool) (flows []event.Flow) {
	t.Helper()
	rings, err := filepath.Glob(filepath.Join(filepath.Dir(layout.Root(w.dir).EventRing(0)), "*.ring"))
	if err != nil || len(rings) == 0 {
		t.Fatalf("event rings: %v, %v", rings, err)
	}
	for _, path := range rings {
		r, err := evtring.Tail(path, evtring.Oldest)
		if err != nil {
			t.Fatal(err)
		}
		for {
			rec, err := r.Next()
			if errors.Is(err, evtring.ErrIdle) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !event.Type(rec.Type).HasFlow() {
				continue
			}
			f, err := event.ParseFlow(append([]byte(nil), rec.Payload...))
			if err != nil {
				t.Fatal(err)
			}
			if meets(event.Type(rec.Type), f) {
				flows = append(flows, f)
			}
		}
		_ = r.Close()
	}
	return flows
}

// iperf sends for some seconds from the client to the server. The function that it
// returns waits for the end, and says how many bytes of payload iperf3 says it sent.
func (l *lab) iperf(t *testing.T, addr string, seconds int) (sent func() uint64) {
	t.Helper()
	netns.NeedTool(t, "iperf3")
	server := e2e.Start(t, l.server.Command("iperf3", "-s", "-1", "-p", iperfPort))
	server.Eventually(t, "iperf3 listens", func() bool {
		out, _ := l.server.Command("ss", "-Hltn", "sport", "=", ":"+iperfPort).Output()
		return len(out) > 0
	})
	client := e2e.Start(t, l.client.Command("iperf3", "-J", "-c", addr, "-p", iperfPort, "-t", fmt.Sprint(seconds), "-b", "300M"))
	return func() uint64 {
		t.Helper()
		status, out, errs := client.Wait(t)
		var report struct {
			End struct {
				Sent struct{ Bytes uint64 } `json:"sum_sent"`
			}
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 || report.End.Sent.Bytes == 0 {
			t.Fatalf("iperf3 = %d, %v: %s%s", status, err, out, errs)
		}
		return report.End.Sent.Bytes
	}
}

const iperfPort = "5201"

// isData reports whether a flow is the one that iperf3 sends its data by.
func isData(f event.Flow) bool { return f.ServerPort() == 5201 && f.ClientBytes() > 1<<20 }

// tcpHeaders are the bytes before the payload of a segment: IPv4 and TCP with timestamps.
const tcpHeaders = 20 + 32

// The totals of a flow of which only the first packets were queued are those of all its
// packets, while it lives and at its end. Bytes are those of IP packets, so iperf3's
// payload is held against them less the headers, and as they are.
func TestTotals(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.gateway.Run(t, "sh", "-c", "echo 0 > /proc/sys/net/netfilter/nf_conntrack_acct")
	w := l.accounted(t, "")
	w.Eventually(t, "accounting is switched on with a log line", func() bool {
		on := l.gateway.Run(t, "cat", "/proc/sys/net/netfilter/nf_conntrack_acct")
		return strings.TrimSpace(on) == "1" && strings.Contains(w.Stderr(), "switched on net.netfilter.nf_conntrack_acct")
	})
	sent := l.iperf(t, server4, 11)()
	var end []event.Flow
	w.Eventually(t, "the flow has ended", func() bool {
		end = w.told(t, func(typ event.Type, f event.Flow) bool { return typ == event.FlowEnd && isData(f) })
		return len(end) > 0
	})
	f := end[0]
	if len(end) != 1 || f.Flags()&event.FlagAccounted == 0 || f.EndReason() != event.EndFIN {
		t.Errorf("%d ends, flags %#x, reason %v; want one, accounted, fin", len(end), f.Flags(), f.EndReason())
	}
	payload := f.ClientBytes() - tcpHeaders*f.ClientPackets()
	t.Logf("iperf3 sent %d bytes; flow: %d bytes in %d packets (%+.3f %%), without headers %d (%+.3f %%); queued %d packets", sent, f.ClientBytes(),
		f.ClientPackets(), percent(f.ClientBytes(), sent), payload, percent(payload, sent), w.counter(t, "frames"))
	if d := percent(payload, sent); math.Abs(d) > 1 {
		t.Errorf("payload is %d bytes, iperf3 sent %d: %.2f %% off", payload, sent, d)
	}
	if n := w.counter(t, "frames"); n > 100 {
		t.Errorf("%d packets were queued: the totals show nothing", n)
	}
	if d := time.Duration(f.Last() - f.First()); d < 10*time.Second || d > 16*time.Second {
		t.Errorf("the flow lasted %v, want 11 s", d)
	}
	stats := w.told(t, func(typ event.Type, f event.Flow) bool { return typ == event.FlowStats && isData(f) })
	if len(stats) < 2 || stats[0].ClientBytes() >= stats[len(stats)-1].ClientBytes() || stats[len(stats)-1].ClientBytes() > f.ClientBytes() {
		t.Errorf("%d FLOW_STATS do not grow to %d bytes", len(stats), f.ClientBytes())
	}
	if n := w.counter(t, "conntrack_lost") + w.counter(t, "conntrack_malformed") + w.counter(t, "conntrack_missed"); n != 0 {
		t.Errorf("%d messages or records were lost or unreadable", n)
	}
}

func percent(got, want uint64) float64 { return 100 * (float64(got) - float64(want)) / float64(want) }

// TestNAT: a connection whose addresses are translated is one flow, with the addresses of
// both sides and with totals.
func TestNAT(t *testing.T) {
	for _, tt := range []struct{ name, rules, addr, want string }{
		{"snat", "chain post {\ntype nat hook postrouting priority srcnat\noifname gs0 masquerade\n}", server4,
			`"nat":{"client_ip":"198.51.100.1","client_port":%d,"server_ip":"198.51.100.2","server_port":5201}`},
		{"dnat", "chain pre {\ntype nat hook prerouting priority dstnat\nip daddr 192.0.2.1 tcp dport 5201 dnat to 198.51.100.2\n}", "192.0.2.1",
			`"nat":{"client_ip":"192.0.2.2","client_port":%d,"server_ip":"192.0.2.1","server_port":5201}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.gateway.NFT(t, "table ip nat {\n"+tt.rules+"\n}")
			w := l.accounted(t, "")
			sent := l.iperf(t, tt.addr, 2)()
			var end []event.Flow
			w.Eventually(t, "both flows have ended", func() bool {
				end = w.told(t, func(typ event.Type, f event.Flow) bool { return typ == event.FlowEnd && f.ServerPort() == 5201 })
				return len(end) == 2
			})
			data := 0
			for _, f := range end {
				line := string(event.AppendJSON(nil, f, &event.Names{}))
				if want := fmt.Sprintf(tt.want, f.ClientPort()); !strings.Contains(line, want) || !strings.Contains(line, `"ct":{"id":`) {
					t.Errorf("record %s\nwant in it %s", line, want)
				}
				if isData(f) {
					data++
					if d := percent(f.ClientBytes()-tcpHeaders*f.ClientPackets(), sent); math.Abs(d) > 1 {
						t.Errorf("payload is %.2f %% off", d)
					}
				}
			}
			if all := w.told(t, func(typ event.Type, f event.Flow) bool { return typ == event.FlowNew && f.ServerPort() == 5201 }); data != 1 || len(all) > 2 {
				t.Errorf("%d flows of data, %d flows begun, want 1 of 2", data, len(all))
			}
		})
	}
}

// TestTotalsSurvive: a flow whose packets pass in the kernel keeps its totals and its end
// while capd is killed and starts again.
func TestTotalsSurvive(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	w := l.accounted(t, "")
	wait := l.iperf(t, server4, 6)
	w.Eventually(t, "the flow has totals", func() bool {
		return w.counter(t, "conntrack_notices") > 2
	})
	pids := w.Children("capd")
	if len(pids) != 1 {
		t.Fatalf("capd runs as %v, want one process", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	sent := wait()
	var end []event.Flow
	w.Eventually(t, "the flow has ended", func() bool {
		end = w.told(t, func(typ event.Type, f event.Flow) bool { return typ == event.FlowEnd && isData(f) })
		return len(end) > 0
	})
	if d := percent(end[0].ClientBytes()-tcpHeaders*end[0].ClientPackets(), sent); len(end) != 1 || math.Abs(d) > 1 || end[0].EndReason() != event.EndFIN {
		t.Errorf("%d ends, payload is %.2f %% off, reason %v; want one, 0, fin", len(end), d, end[0].EndReason())
	}
}
