package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func serve(t *testing.T, path string, answer func(context.Context, Request) (any, error)) {
	t.Helper()
	s, err := Listen(path, answer)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Serve(ctx); close(done) }()
	t.Cleanup(func() {
		cancel()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-done
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket was left behind")
		}
	})
}

func echo(_ context.Context, q Request) (any, error) {
	if q.Cmd == "bad" {
		return nil, fmt.Errorf("no %s", q.Arg)
	}
	return map[string]string{q.Cmd: q.Arg}, nil
}

func TestAsk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, echo)
	got, err := Ask(path, Request{Cmd: "explain", Arg: "x"})
	if err != nil || string(got) != `{"explain":"x"}` {
		t.Errorf("Ask = %s, %v, want the echo", got, err)
	}
	if _, err := Ask(path, Request{Cmd: "bad", Arg: "y"}); err == nil || err.Error() != "no y" {
		t.Errorf("Ask = %v, want the server's error", err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("mode = %v, %v, want 0660", fi.Mode(), err)
	}
}

func TestHostileRequests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, echo)
	for _, line := range []string{"nonsense\n", "[]\n", strings.Repeat("x", 2*maxRequest) + "\n", "\n"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(line))
		buf := make([]byte, 100)
		n, _ := c.Read(buf)
		if n > 0 && !strings.HasPrefix(string(buf[:n]), `{"error":"not a request`) {
			t.Errorf("answer to %.20q = %q", line, buf[:n])
		}
		_ = c.Close()
	}
	if _, err := Ask(path, Request{Cmd: "still"}); err != nil {
		t.Errorf("Ask afterwards: %v", err)
	}
}

func TestTwoServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, path, echo)
	if _, err := Listen(path, echo); !errors.Is(err, ErrRunning) {
		t.Errorf("Listen = %v, want ErrRunning", err)
	}
}

// A policyd that was killed leaves its socket behind.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	serve(t, path, echo)
	if _, err := Ask(path, Request{Cmd: "x"}); err != nil {
		t.Errorf("Ask: %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	if _, err := Ask(filepath.Join(t.TempDir(), "s"), Request{}); err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("Ask = %v, want advice", err)
	}
}
