package queue

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// foreign is what a program that chooses between uplinks does with marks of its own,
// 0x3f00: it gives one to each new connection, and to all packets of it. Behind Weir's
// chains it counts what packets of the client carry.
const foreign = `
table ip uplinks {
	counter whole { }
	counter broken { }
	counter judged { }
	chain choose {
		type filter hook prerouting priority mangle; policy accept;
		iifname "gc0" ct mark & 0x00003f00 == 0 ct mark set ct mark | 0x00000100
		meta mark set ct mark & 0x00003f00
	}
	chain look {
		type filter hook postrouting priority srcnat; policy accept;
		oifname != "gs0" return
		ip saddr != 192.0.2.2 return
		meta mark 0x00000100 ct mark & 0x00003f00 == 0x00000100 counter name whole return
		counter name broken
	}
	chain count {
		type filter hook postrouting priority 200; policy accept;
		ct mark & 0x80003f00 == 0x80000100 counter name judged
	}
}
`

// Marks of others stay as they are, on packets and on connections, while packets are
// held and judged; ours is on the connection alone.
func TestForeignMarks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serveAll(t)
	l.gateway.NFT(t, foreign)
	w := l.inline(t, "drop", time.Second)
	if n := l.tries(t, allowedHost, server4, 10, 20*time.Second, 0); n != 10 {
		t.Errorf("%d of 10 connections were served", n)
	}
	if n := l.tries(t, blockedHost, blocked4, 5, 300*time.Millisecond, 0); n != 0 {
		t.Errorf("%d of 5 tries for the blocked name were served", n)
	}
	if n := w.counter(t, "queue_judged"); n < 10 {
		t.Errorf("%d packets were judged, want at least one a connection", n)
	}
	w.stop(t)
	if whole, broken := l.counted(t, "whole"), l.counted(t, "broken"); whole < 40 || broken != 0 {
		t.Errorf("%d packets had the mark of their connection and nothing else, %d had another", whole, broken)
	}
	if n := l.counted(t, "judged"); n == 0 {
		t.Error("no connection has a verdict beside the other program's mark")
	}
}

// counted returns the packets that a named counter of table uplinks has seen.
func (l *lab) counted(t *testing.T, name string) uint64 {
	t.Helper()
	out := l.gateway.Run(t, "nft", "list", "counter", "ip", "uplinks", name)
	m := regexp.MustCompile(`packets (\d+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatal(fmt.Errorf("counter %s: %q", name, out))
	}
	n, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
