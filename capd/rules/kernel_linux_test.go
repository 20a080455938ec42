package rules

import (
	"testing"
)

const (
	bitFinal  = 0x80000000
	bitDrop   = 0x40000000
	bitReject = 0x20000000
)

var servers = map[string]string{"IPv4": server4, "IPv6": server6}

// A transfer of many packets is queued until the verdict, and then never again.
func TestForwardUntilFinal(t *testing.T) {
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, false)
			l.server.serve(t)
			install(t, nil)
			c := consume(t, 7, after(8, bitFinal))
			if err := l.client.exchange(t, server, 20<<20); err != nil {
				t.Fatal(err)
			}
			if got := c.count(); got < 8 || got > 40 {
				t.Errorf("%d packets queued, want 8 to 40", got)
			}
		})
	}
}
