package crash

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/tests/e2e"
)

// compare holds flows against those of an undisturbed run and returns how many were
// inspected again; of those, only what was counted must be equal.
func compare(t testing.TB, got, want []string) (again int) {
	t.Helper()
	counts := map[string]int{}
	var wantRest []string
	reinspected := map[string]bool{}
	for _, l := range got {
		if strings.Contains(l, `"reinspected":true`) {
			reinspected[counted(t, l)] = true
			counts[counted(t, l)]++
			again++
		}
	}
	for _, l := range want {
		if k := counted(t, l); reinspected[k] {
			counts[k]--
			continue
		}
		wantRest = append(wantRest, l)
	}
	rest := slices.DeleteFunc(slices.Clone(got), func(l string) bool { return strings.Contains(l, `"reinspected":true`) })
	if d := e2e.Diff(rest, wantRest, 8); d != "" {
		t.Errorf("flows differ from the undisturbed run (+ disturbed, - not):\n%s", d)
	}
	for k, n := range counts {
		if n != 0 {
			t.Errorf("flow inspected again: %d more of it than in the undisturbed run: %s", n, k)
		}
	}
	return again
}

// counted is what the packets alone decide: the tuple, times, counters and the end.
func counted(t testing.TB, line string) string {
	t.Helper()
	var f struct {
		CIP, SIP       string
		CPort, SPort   int
		Proto          int
		First, Last    string
		CP, SP, CB, SB uint64
		End            string
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatal(err)
	}
	for k, p := range map[string]any{
		"client_ip": &f.CIP, "server_ip": &f.SIP, "client_port": &f.CPort, "server_port": &f.SPort, "ip_protocol": &f.Proto,
		"first_seen": &f.First, "last_seen": &f.Last, "client_packets": &f.CP, "server_packets": &f.SP,
		"client_bytes": &f.CB, "server_bytes": &f.SB, "end_reason": &f.End,
	} {
		if err := json.Unmarshal(m[k], p); err != nil {
			t.Fatalf("%s in %s: %v", k, line, err)
		}
	}
	return fmt.Sprintf("%+v", f)
}
