package live

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"weir/tests/binaries"
	"weir/tests/e2e"
	"weir/tests/netns"
)

// names that the servers answer to. No other host has them (RFC 2606).
const (
	httpName = "www.example.com"
	tls12    = "old.example.org"
	tls13    = "new.example.org"
	quicName = "quick.example.net"
	dnsName  = "asked.example.com"
)

// start starts a server in the namespace of the lab's server and returns when it says,
// on either output, that it is ready.
func (l *lab) start(t testing.TB, ready, program string, args ...string) *e2e.Running {
	t.Helper()
	r := e2e.Start(t, l.server.Command(program, args...))
	r.Eventually(t, program+" is ready", func() bool { return strings.Contains(r.Stdout()+r.Stderr(), ready) })
	return r
}

// serveHTTP answers at port 80 of both families.
func (l *lab) serveHTTP(t testing.TB) {
	t.Helper()
	l.server.Do(t, func() error {
		ln, err := net.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(r.Host)) // curl sees what is missing
		})}
		go func() { _ = s.Serve(ln) }() // until it is closed
		t.Cleanup(func() { _ = s.Close() })
		return nil
	})
}

// serveTLS has openssl answer at port 443 of both families with pages over HTTP.
func (l *lab) serveTLS(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	l.server.Run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
		"-subj", "/CN=example.org", "-days", "1", "-keyout", key, "-out", cert)
	l.start(t, "ACCEPT", "openssl", "s_server", "-accept", "443", "-key", key, "-cert", cert, "-www")
}

// serveDNS has dnsmasq answer every question with the server's address.
func (l *lab) serveDNS(t testing.TB) {
	t.Helper()
	l.start(t, "started", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--log-facility=-", "--user=root",
		"--no-resolv", "--no-hosts", "--bind-interfaces", "--interface=s0", "--address=/#/"+server4, "--address=/#/"+server6)
}

// serveSSH starts sshd, and returns the arguments that let ssh in.
func (l *lab) serveSSH(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	l.server.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd gives its privileges up in it
		t.Fatal(err)
	}
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd" // it wants its whole path
	}
	l.start(t, "Server listening on", sshd, "-D", "-e", "-f", "/dev/null", "-h", key, "-o", "AuthorizedKeysFile="+key+".pub",
		"-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "PidFile=none")
	return []string{"-F", "/dev/null", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-l", "root"}
}

var quicBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-quic-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "quic")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = filepath.Join(binaries.Root(), "tests", "live", "quic")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = &buildError{string(out), err}
	}
	return path, err
})

type buildError struct {
	out string
	err error
}

func (e *buildError) Error() string { return "build tests/live/quic: " + e.err.Error() + "\n" + e.out }
func (e *buildError) Unwrap() error { return e.err }

// quic returns the path of the QUIC client and server.
func quic(t testing.TB) string {
	t.Helper()
	path, err := quicBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// dump is a running tcpdump on s0.
type dump struct {
	*e2e.Running
	path string
}

// dump starts tcpdump and returns when it captures.
func (l *lab) dump(t testing.TB) *dump {
	t.Helper()
	path := filepath.Join(t.TempDir(), "beside.pcap")
	return &dump{l.start(t, "listening on", "tcpdump", "-i", "s0", "-w", path, "--immediate-mode", "-U", "-s", "0", "-B", "32768", "-Z", "root"), path}
}

// stop ends tcpdump and checks that it lost nothing.
func (d *dump) stop(t testing.TB) {
	t.Helper()
	d.Signal(t, syscall.SIGINT)
	_, _, errs := d.Wait(t)
	for s := bufio.NewScanner(strings.NewReader(errs)); s.Scan(); {
		if strings.Contains(s.Text(), "dropped") && !strings.HasPrefix(s.Text(), "0 ") {
			t.Errorf("tcpdump itself lost packets: %s", s.Text())
		}
	}
}

// needTools skips where the programs are missing.
func needTools(t testing.TB) {
	t.Helper()
	netns.NeedTool(t, "tcpdump", "curl", "openssl", "dnsmasq", "dig", "ssh", "ssh-keygen", "sshd", "iperf3", "aria2c")
}

// background starts a client that runs as long as the test.
func (l *lab) background(t testing.TB, program string, args ...string) *e2e.Running {
	t.Helper()
	return e2e.Start(t, l.client.Command(program, args...))
}

// kill kills a process that the test started.
func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}
