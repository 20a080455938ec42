package queue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"weir/tests/e2e"
	"weir/tests/live"
	"weir/tests/netns"
)

// Other addresses of the server. Nobody but those who try for the blocked name sends
// anything there.
const blocked4, blocked6 = "198.51.100.66", "2001:db8:2::66"

const blockedHost, allowedHost = "blocked.example", "allowed.example"

// policy drops one name.
const policy = `
[policy]
mode = "enforce"

[[rule]]
name = "no-such-name"
match = 'host == "` + blockedHost + `"'
verdict = "%s"
`

// inline starts Weir with every packet held until it is judged.
func (l *lab) inline(t *testing.T, verdict string, hold time.Duration) *weir {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, policy, verdict), 0o644); err != nil {
		t.Fatal(err)
	}
	w := l.weir(t, "-nfqueue", "forward", "-hold", hold.String(), "-policy", path, "-log-level", "info")
	w.Eventually(t, "packets are held", func() bool {
		l.tries(t, allowedHost, server4, 1, 10*time.Second, 0)
		return w.counter(t, "queue_judged") > 0
	})
	return w
}

// serveAll answers at all addresses of the server: HTTP at port 80, HTTPS at 443, QUIC
// at UDP 443.
func (l *lab) serveAll(t *testing.T) {
	t.Helper()
	netns.NeedTool(t, "tcpdump", "curl")
	for _, a := range []string{blocked4 + "/24", blocked6 + "/64"} {
		args := []string{"addr", "add", a, "dev", "s0"}
		if strings.Contains(a, ":") {
			args = append(args, "nodad")
		}
		l.server.Run(t, "ip", args...)
	}
	body := make([]byte, slowFile)
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				_, _ = w.Write(body) // curl sees what is missing
			}
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate(t)}},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients that are cut off are no news
	}
	t.Cleanup(func() { _ = s.Close() })
	l.server.Do(t, func() error {
		plain, err := net.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		secure, err := net.Listen("tcp", ":443")
		if err != nil {
			return err
		}
		go func() { _ = s.Serve(plain) }() // until it is closed
		go func() { _ = s.ServeTLS(secure, "", "") }()
		return nil
	})
	for _, a := range []string{server4, blocked4, server6, blocked6} {
		q := e2e.Start(t, l.server.Command(live.QUIC(t), "serve", net.JoinHostPort(a, "443")))
		q.Eventually(t, "the QUIC server listens", func() bool { return strings.Contains(q.Stdout(), "listening") })
	}
}

// slowFile is the length in bytes of what is fetched slowly.
const slowFile = 2 << 20

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// wire is what tcpdump saw go to the server.
type wire struct {
	*e2e.Running
	path string
}

func (l *lab) watch(t *testing.T) *wire {
	t.Helper()
	w := &wire{path: filepath.Join(t.TempDir(), "server.pcap")}
	w.Running = e2e.Start(t, l.server.Command("tcpdump", "-i", "s0", "-Q", "in", "-w", w.path, "--immediate-mode", "-U", "-B", "65536", "-Z", "root",
		"dst host "+blocked4+" or dst host "+blocked6))
	w.Eventually(t, "tcpdump captures", func() bool { return strings.Contains(w.Stderr(), "listening on") })
	return w
}

// payloads ends the capture and returns how many connections to the blocked addresses
// had payload get through, and how many were opened.
func (w *wire) payloads(t *testing.T) (leaked, opened int) {
	t.Helper()
	w.Signal(t, syscall.SIGINT)
	if _, _, errs := w.Wait(t); !strings.Contains(errs, "\n0 packets dropped by kernel") {
		t.Fatalf("tcpdump lost packets:\n%s", errs)
	}
	f, err := os.Open(w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	type source struct {
		addr gopacket.Endpoint
		port gopacket.Endpoint
	}
	all, bad := map[source]bool{}, map[source]bool{}
	for {
		b, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return len(bad), len(all)
		}
		if err != nil {
			t.Fatal(err)
		}
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.NoCopy)
		if p.TransportLayer() == nil {
			continue // neighbours are looked for
		}
		s := source{p.NetworkLayer().NetworkFlow().Src(), p.TransportLayer().TransportFlow().Src()}
		all[s] = true
		if len(p.TransportLayer().LayerPayload()) > 0 {
			bad[s] = true
		}
	}
}

// tries opens TLS connections side by side and returns how many were served. split, if
// not 0, is where the n-th hello is cut into two segments: after n*split bytes, as far
// as it is that long.
func (l *lab) tries(t *testing.T, host, addr string, n int, each time.Duration, split int) int {
	t.Helper()
	var served atomic.Int64
	var all sync.WaitGroup
	for i := range min(n, sideBySide) {
		all.Go(func() {
			l.client.Do(t, func() error {
				for k := i; k < n; k += sideBySide {
					if try(host, addr, each, k*split) == nil {
						served.Add(1)
					}
				}
				return nil
			})
		})
	}
	all.Wait()
	return int(served.Load())
}

// sideBySide is how many connections are tried at once.
const sideBySide = 25

func try(host, addr string, each time.Duration, split int) error {
	deadline := time.Now().Add(each)
	// One address is dialled by this very thread, which is in the namespace.
	d := net.Dialer{Deadline: deadline}
	c, err := d.Dial("tcp", net.JoinHostPort(addr, "443"))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(deadline) // a TCP socket has deadlines
	s := tls.Client(&cut{Conn: c, at: split}, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err := s.Handshake(); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host); err != nil {
		return err
	}
	_, err = io.ReadAll(s)
	return err
}

// cut sends what is written first in two segments.
type cut struct {
	net.Conn
	at int
}

func (c *cut) Write(b []byte) (int, error) {
	at := c.at
	c.at = 0
	if at == 0 {
		return c.Conn.Write(b)
	}
	at = 1 + (at-1)%(len(b)-1)
	n, err := c.Conn.Write(b[:at])
	if err != nil {
		return n, err
	}
	n, err = c.Conn.Write(b[at:])
	return at + n, err
}

// curl fetches a page many times, each over a connection of its own, and returns how
// many were served.
func (l *lab) curl(t *testing.T, scheme, host, addr string, n int, each time.Duration) int {
	t.Helper()
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	out, err := l.client.Command("curl", "-s", "-k", "-Z", "--parallel-immediate", "--http1.1", "--parallel-max", strconv.Itoa(sideBySide), "--max-time", fmt.Sprint(each.Seconds()),
		"-H", "Connection: close", "--resolve", host+":"+port+":"+addr, "-o", "/dev/null", "-w", "%{http_code}\n",
		fmt.Sprintf("%s://%s/?[1-%d]", scheme, host, n)).Output()
	if err != nil && len(out) == 0 {
		t.Fatalf("curl: %v", err)
	}
	return strings.Count(string(out), "200\n")
}

func (l *lab) quic(t *testing.T, host, addr string, n int, each time.Duration) int {
	t.Helper()
	out := l.client.Run(t, live.QUIC(t), "try", net.JoinHostPort(addr, "443"), host, strconv.Itoa(n), each.String())
	served, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatalf("quic try said %q", out)
	}
	return served
}

// Nothing of a connection to a blocked name reaches the server, over TLS with hellos
// cut at any byte, plain HTTP and QUIC, IPv4 and IPv6; a name that is not blocked is
// always served. The long form holds packets for as short a time as people do: what
// is then let go unjudged is counted, and rare.
func TestBlocked(t *testing.T) {
	t.Parallel()
	tries, hold := 170, time.Second // no noise makes a packet wait so long
	if os.Getenv("WEIR_LONG") != "" {
		tries, hold = 1000, 20*time.Millisecond
	}
	l := newLab(t)
	l.serveAll(t)
	w := l.inline(t, "drop", hold)
	for _, tt := range []struct {
		name          string
		blocked, open string
		do            func(t *testing.T, host, addr string, n int, each time.Duration) int
	}{
		{"TLS, cut hellos", blocked4, server4, func(t *testing.T, host, addr string, n int, each time.Duration) int {
			return l.tries(t, host, addr, n, each, 11)
		}},
		{"TLS over IPv6", blocked6, server6, func(t *testing.T, host, addr string, n int, each time.Duration) int {
			return l.curl(t, "https", host, addr, n, each)
		}},
		{"HTTP", blocked4, server4, func(t *testing.T, host, addr string, n int, each time.Duration) int {
			return l.curl(t, "http", host, addr, n, each)
		}},
		{"HTTP over IPv6", blocked6, server6, func(t *testing.T, host, addr string, n int, each time.Duration) int {
			return l.curl(t, "http", host, addr, n, each)
		}},
		{"QUIC", blocked4, server4, l.quic},
		{"QUIC over IPv6", blocked6, server6, l.quic},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expired := w.counter(t, "queue_expired")
			beside := l.watch(t)
			if n := tt.do(t, blockedHost, tt.blocked, tries, 300*time.Millisecond); n != 0 {
				t.Errorf("%d of %d tries for the blocked name were served, want none", n, tries)
			}
			leaked, opened := beside.payloads(t)
			if isTCP := !strings.HasPrefix(tt.name, "QUIC"); isTCP && opened < tries*9/10 {
				t.Errorf("%d of %d tries came as far as to open a connection", opened, tries)
			}
			if n := tt.do(t, allowedHost, tt.open, tries, 20*time.Second); n != tries {
				t.Errorf("%d of %d tries for the other name were served, want all", n, tries)
			}
			expired = w.counter(t, "queue_expired") - expired
			t.Logf("%d tries, %d with payload at the server, %d packets expired", tries, leaked, expired)
			if uint64(leaked) > expired || leaked > tries/1000 {
				t.Errorf("payload of %d of %d connections reached the server; %d packets expired", leaked, tries, expired)
			}
		})
	}
	w.stop(t)
	if n := w.counter(t, "kernel_dropped"); n != 0 {
		t.Errorf("the kernel dropped %d packets", n)
	}
}

// A rejected connection ends at once.
func TestRejected(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serveAll(t)
	w := l.inline(t, "reject", time.Second)
	beside := l.watch(t)
	for _, addr := range []string{blocked4, blocked6} {
		out, err := l.client.Command("curl", "-sS", "-k", "--max-time", "30", "--resolve", blockedHost+":443:"+addr, "https://"+blockedHost+"/").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "reset") {
			t.Errorf("curl %s: %v: %s; want that the connection was reset", netip.MustParseAddr(addr), err, out)
		}
	}
	if leaked, _ := beside.payloads(t); leaked != 0 {
		t.Errorf("payload of %d connections reached the server", leaked)
	}
	w.stop(t)
}

// A policyd that comes late is waited for, and clients that send again meanwhile do
// not get through.
func TestLate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.serveAll(t)
	w := l.inline(t, "drop", time.Second)
	beside := l.watch(t)
	for range 5 {
		pids := w.Daemons("policyd enforce")
		if len(pids) != 1 {
			t.Fatalf("policyd enforce runs as %v, want one process", pids)
		}
		if err := syscall.Kill(pids[0], syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if n := l.tries(t, blockedHost, blocked4, 5, 1500*time.Millisecond, 7); n != 0 {
				t.Errorf("%d tries for the blocked name were served", n)
			}
		})
		time.Sleep(500 * time.Millisecond) // two retransmissions; less than policyd is given up after
		if err := syscall.Kill(pids[0], syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		all.Wait()
	}
	leaked, opened := beside.payloads(t)
	if leaked != 0 || opened == 0 {
		t.Errorf("payload of %d of %d connections reached the server", leaked, opened)
	}
	w.stop(t)
}
