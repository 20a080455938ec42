package live

import (
	"os"
	"slices"
	"testing"

	"weir/tests/e2e"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := quicBinary(); err == nil && path != "" {
		_ = os.Remove(path)
	}
	os.Exit(code)
}

// TestPrograms: what real programs say to each other is told live as it is told of a
// capture taken at the same time, and no frame of it is lost or in no counter.
func TestPrograms(t *testing.T) {
	needTools(t)
	l := newLab(t)
	l.serveHTTP(t)
	l.serveTLS(t)
	l.serveDNS(t)
	ssh := l.serveSSH(t)
	l.start(t, "listening", quic(t), "serve", ":443")
	l.start(t, "Server listening", "iperf3", "-s", "--forceflush")
	file := l.serveTorrent(t)

	before := l.frames(t)
	w, d := l.watch(t), l.dump(t)
	ask := func(program string, args ...string) { l.client.Run(t, program, args...) }
	curl := func(args ...string) {
		ask("curl", append([]string{"-sSfk", "-m", "20", "-o", "/dev/null"}, args...)...)
	}
	resolve := func(name, addr string) []string {
		return []string{"--connect-to", name + "::" + addr + ":"}
	}
	curl(append(resolve(httpName, server4), "http://"+httpName+"/")...)
	curl(append(resolve(httpName, "["+server6+"]"), "http://"+httpName+"/")...)
	curl(append(resolve(tls12, server4), "--tls-max", "1.2", "https://"+tls12+"/")...)
	curl(append(resolve(tls13, server4), "--tlsv1.3", "https://"+tls13+"/")...)
	curl(append(resolve(tls13, "["+server6+"]"), "--tlsv1.3", "https://"+tls13+"/")...)
	for _, server := range []string{server4, server6} {
		ask("dig", "+tries=1", "+time=20", "@"+server, dnsName, "A")
		ask("dig", "+tries=1", "+time=20", "+tcp", "@"+server, dnsName, "AAAA")
		ask("ssh", append(ssh, server, "true")...)
	}
	ask(quic(t), "ask", server4+":443", quicName)
	ask(quic(t), "ask", "["+server6+"]:443", quicName)
	ask("iperf3", "-c", server4, "-n", "8M")
	ask("iperf3", "-c", server6, "-u", "-b", "20M", "-n", "1M")
	l.fetchTorrent(t, file)

	w.caughtUp(t, l, before)
	total := l.frames(t) - before
	d.stop(t)
	got := w.stop(t)
	if n := w.lawful(t); n != total {
		t.Errorf("capd has counted %d frames, the interface %d", n, total)
	}
	want := parse(t, join(e2e.Replay(t, d.path)))
	if diff := e2e.Diff(got.lines(), want.lines(), 20); diff != "" {
		t.Errorf("flows told live (+) differ from those of the capture taken beside (-):\n%s", diff)
	}
	// The name of an SSH server is the one that was asked for before.
	for _, f := range []struct {
		port           int
		protocol, host string
	}{
		{80, "http", httpName}, {443, "tls", tls12}, {443, "tls", tls13}, {53, "dns", dnsName}, {22, "ssh", dnsName}, {443, "quic", quicName},
	} {
		if !got.has(f.port, f.protocol, f.host) {
			t.Errorf("no flow to port %d is %s of %q:\n%s", f.port, f.protocol, f.host, join(got.lines()))
		}
	}
	if !slices.ContainsFunc(got, func(f flow) bool { return f.ServerPort == seederPort && f.Protocol == "bittorrent" }) {
		t.Errorf("no flow to port %d is bittorrent:\n%s", seederPort, join(got.lines()))
	}
	t.Logf("%d frames, %d flows:\n%s", total, len(got), join(got.lines()))
}
