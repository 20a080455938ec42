package live

import (
	"slices"
	"strings"
	"testing"

	"weir/tests/e2e"
)

// TestFilter: what the expression does not match is not captured, and nothing else.
func TestFilter(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	l.serveDNS(t)
	before := l.frames(t)
	w := l.watch(t, "-filter", "not (port 53 and udp)")
	for range 20 {
		l.client.Run(t, "dig", "+tries=1", "+time=20", "@"+server4, dnsName, "A")
	}
	dropped := l.frames(t) - before
	l.fetch(t, w, "it passes the filter")
	l.client.Run(t, "dig", "+tries=1", "+time=20", "+tcp", "@"+server6, dnsName, "A")
	w.Eventually(t, "capd has seen what passes", func() bool { return w.counters(t, "capd")["frames"] >= l.frames(t)-before-dropped })
	total := l.frames(t) - before
	got := w.stop(t)
	if n := w.lawful(t); dropped < 40 || n != total-dropped {
		t.Errorf("capd has counted %d frames, want %d of which %d are filtered", n, total, dropped)
	}
	if len(got) != 2 || !got.has(80, "http", httpName) || !got.has(53, "dns", dnsName) {
		t.Errorf("flows are, want HTTP and DNS over TCP:\n%s", join(got.lines()))
	}
}

// TestTwoInterfaces: several interfaces are captured from at once, with two workers, and
// a flow names its own.
func TestTwoInterfaces(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	const other = "198.51.100.2"
	l.client.Run(t, "ip", "link", "add", "c1", "type", "veth", "peer", "name", "s1", "netns", l.server.Name())
	l.client.Run(t, "ip", "addr", "add", "198.51.100.1/24", "dev", "c1")
	l.server.Run(t, "ip", "addr", "add", other+"/24", "dev", "s1")
	l.client.Run(t, "ip", "link", "set", "c1", "up")
	l.server.Run(t, "ip", "link", "set", "s1", "up")
	w := l.watch(t, "-i", "s0,s1", "-workers", "2")
	w.Eventually(t, "both interfaces are captured from", func() bool { return w.logged("msg=capturing", 2) })
	const each = 8
	for _, addr := range []string{server4, other} {
		for range each {
			l.client.Run(t, "curl", "-sSf", "-m", "20", "-o", "/dev/null", "-H", "Host: "+httpName, "http://"+addr+"/")
		}
	}
	w.Eventually(t, "all requests are told", func() bool { return strings.Count(w.Stdout(), httpName) >= 2*each })
	got := w.stop(t)
	w.lawful(t)
	workers := map[int]int{}
	for addr, dev := range map[string]string{server4: "s0", other: "s1"} {
		n := 0
		for _, f := range got {
			if f.Server == addr && f.Interface == dev && f.Protocol == "http" && f.Host == httpName {
				workers[f.Worker]++
				n++
			}
		}
		if n != each {
			t.Errorf("%d flows of %s at interface %s, want %d:\n%s", n, addr, dev, each, w.Stdout())
		}
	}
	if workers[0]+workers[1] != 2*each || len(workers) != 2 {
		t.Errorf("flows by worker: %v, want some of each", workers)
	}
}

// TestFor: without -json there is a table that grows, and totals at the end, which
// comes by itself.
func TestFor(t *testing.T) {
	t.Parallel()
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	r := e2e.Start(t, l.server.Command(e2e.Program(t, "weir"), "live", "-i", "s0", "-for", "10s", "-log-level", "info"))
	r.Eventually(t, "capd captures", func() bool { return strings.Contains(r.Stderr(), "msg=capturing") })
	l.client.Run(t, "curl", "-sSf", "-m", "20", "-o", "/dev/null", "-H", "Host: "+httpName, "http://"+server4+"/")
	r.Eventually(t, "the flow is in the table", func() bool { return strings.Contains(r.Stdout(), httpName) })
	status, out, errs := r.Wait(t)
	totals := strings.Index(out, "\nAPPLICATION")
	if status != 0 || strings.Index(out, httpName) > totals || !strings.Contains(out[max(totals, 0):], "\nall ") {
		t.Errorf("weir live -for 10s = status %d, want 0, and flows, then totals:\n%s\n%s", status, out, errs)
	}
	first := strings.Fields(strings.SplitN(out, "\n", 2)[0])
	if !slices.Equal(first[:2], []string{"CLIENT", "SERVER"}) {
		t.Errorf("the table begins with %q", first)
	}
}
