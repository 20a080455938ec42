package live

import (
	"encoding/json"
	"testing"

	"weir/tests/e2e"
)

// TestPlaces: records of an interface with role lan say that the client is in a network
// of ours and the server this machine, or no longer is, as addresses come and go.
func TestPlaces(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	const more = "192.0.2.77"
	w := l.watch(t, "-lan", "s0")
	type record struct {
		Role        string `json:"interface_role"`
		Direction   string `json:"direction"`
		Origin      string `json:"origin"`
		ClientPlace string `json:"client_place"`
		ServerPlace string `json:"server_place"`
		LocalIP     string `json:"local_ip"`
		LocalMAC    string `json:"local_mac"`
		OtherIP     string `json:"other_ip"`
		OtherMAC    string `json:"other_mac"`
	}
	fetch := func(addr string) (f record) {
		t.Helper()
		before := len(e2e.Lines(w.Stdout()))
		l.client.Run(t, "curl", "-sSf", "-m", "20", "-o", "/dev/null", "-H", "Host: "+httpName, "http://"+addr+"/")
		w.Eventually(t, "the request is told", func() bool { return len(e2e.Lines(w.Stdout())) > before })
		line := e2e.Lines(w.Stdout())[before]
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("flow line %q: %v", line, err)
		}
		return f
	}
	// The worker hears of a change some 100 ms after it; of the network as it was at the
	// start, too.
	until := func(addr, want string) {
		t.Helper()
		var f record
		w.Eventually(t, addr+" is "+want, func() bool { f = fetch(addr); return f.ServerPlace == want })
		if f.Role != "lan" || f.Direction != "internal" || f.Origin != "local" || f.ClientPlace != "local" ||
			f.LocalIP != client4 || f.LocalMAC != clientMAC || f.OtherIP != addr || f.OtherMAC != serverMAC {
			t.Errorf("flow to %s: %+v", addr, f)
		}
	}
	until(server4, "host")
	l.server.Run(t, "ip", "addr", "add", more+"/32", "dev", "lo")
	until(more, "host")
	l.server.Run(t, "ip", "addr", "del", more+"/32", "dev", "lo")
	// It answers all the same, for a machine behind it, say.
	l.server.Run(t, "ip", "route", "add", "local", more, "dev", "lo")
	until(more, "local")
	w.stop(t)
	w.lawful(t)
}
