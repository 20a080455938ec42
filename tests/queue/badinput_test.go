package queue

import (
	"net"
	"strings"
	"testing"

	"weir/tests/e2e"
)

// TestTaken: who finds a queue bound by another says so in one line, and neither the
// other nor its rules take harm.
func TestTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serve(t)
	w := l.weir(t, "-nfqueue", "forward")
	status, out, errs := e2e.Start(t, l.gateway.Command(e2e.Program(t, "weir"), "live", "-json", "-nfqueue", "forward")).Wait(t)
	if status != 1 || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "netfilter queue 0: taken by another program") {
		t.Errorf("a second weir live = status %d, output %q, want status 1 and one line that names the queue:\n%s", status, out, errs)
	}
	if !l.hasTable() {
		t.Error("the rules of the first are gone")
	}
	l.get(t, "first.example", server4)
	if got := w.stop(t); got["first.example"] != "tls" {
		t.Errorf("flows of the first = %v, want first.example as tls", got)
	}
}

// TestReversePath: packets that the kernel drops for where they come from reach no
// queue; that it may is said, with the interface.
func TestReversePath(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const elsewhere = "203.0.113.5" // the gateway would answer by the server's side
	l.client.Run(t, "ip", "addr", "add", elsewhere+"/32", "dev", "lo")
	l.gateway.Run(t, "ip", "route", "add", elsewhere+"/32", "via", server4)
	for dev, v := range map[string]string{"all": "0", "gc0": "1", "gs0": "0"} {
		l.gateway.Run(t, "sh", "-c", "echo "+v+" > /proc/sys/net/ipv4/conf/"+dev+"/rp_filter")
	}
	l.server.Do(t, func() error { // without it the server would answer that nobody listens
		c, err := net.ListenPacket("udp4", ":9")
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return err
	})
	w := l.weir(t, "-nfqueue", "forward")
	if errs := w.Stderr(); strings.Count(errs, "reverse path filter") != 1 || !strings.Contains(errs, "interfaces=gc0 ") || !strings.Contains(errs, "net.ipv4.conf.gc0.rp_filter=2") {
		t.Errorf("want one warning of the reverse path filter of gc0 alone, got:\n%s", errs)
	}
	l.datagrams(t, elsewhere, 5)
	l.datagrams(t, "192.0.2.2", 1)
	w.Eventually(t, "a packet is queued", func() bool { return w.counter(t, "frames") > 0 })
	if n := w.counter(t, "frames"); n != 1 {
		t.Errorf("%d packets were queued, want the one that passes a strict filter", n)
	}
	l.gateway.Run(t, "sh", "-c", "echo 2 > /proc/sys/net/ipv4/conf/gc0/rp_filter")
	l.datagrams(t, elsewhere, 5)
	w.Eventually(t, "a loose filter lets all be queued", func() bool { return w.counter(t, "frames") == 6 })
	w.stop(t)
}

// datagrams sends some of them from an address of the client to the server.
func (l *lab) datagrams(t *testing.T, from string, n int) {
	t.Helper()
	l.client.Do(t, func() error {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(server4), Port: 9})
		if err != nil {
			return err
		}
		for range n {
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
		}
		return c.Close()
	})
}
