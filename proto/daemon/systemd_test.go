package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// manager is a service manager that only listens.
func manager(t *testing.T, name string) func() string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return func() string {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 256)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

func TestSystemd(t *testing.T) {
	for _, name := range []string{
		filepath.Join(t.TempDir(), "notify"),
		fmt.Sprintf("@weir-test-%d", os.Getpid()),
	} {
		next := manager(t, name)
		s := NewSystemd(env(map[string]string{"NOTIFY_SOCKET": name}))
		for want, send := range map[string]func() error{
			"READY=1":       s.Ready,
			"RELOADING=1":   s.Reloading,
			"STOPPING=1":    s.Stopping,
			"STATUS=a b\tc": func() error { return s.Status("a\nb\tc") },
		} {
			if err := send(); err != nil {
				t.Errorf("send %s: %v", want, err)
			}
			if got := next(); got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		}
	}
}

func TestSystemdAbsent(t *testing.T) {
	s := NewSystemd(env(nil))
	if err := s.Ready(); err != nil {
		t.Errorf("Ready without a manager = %v, want nil", err)
	}
	if err := s.Watchdog(context.Background(), nil); err != nil {
		t.Errorf("Watchdog without a manager = %v, want nil", err)
	}
	s = NewSystemd(env(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none")}))
	if err := s.Ready(); err == nil {
		t.Error("Ready on a missing socket = nil, want an error")
	}
}

func TestWatchdog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	next := manager(t, name)
	s := NewSystemd(env(map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	calls := 0
	go func() {
		done <- s.Watchdog(ctx, func() bool {
			calls++
			switch calls {
			case 2:
				_ = s.Status("hung") // a sign for the test, in the place of a heartbeat
				return false
			case 4:
				cancel()
			}
			return true
		})
	}()
	for _, want := range []string{"WATCHDOG=1", "STATUS=hung", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := next(); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Watchdog = %v, want nil", err)
	}
}

func TestWatchdogOther(t *testing.T) {
	for _, m := range []map[string]string{
		{"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"},
		{"WATCHDOG_USEC": "-1"},
		{"WATCHDOG_USEC": "9999999999999999999"},
		{"WATCHDOG_USEC": "x"},
	} {
		if s := NewSystemd(env(m)); s.watchdog != 0 {
			t.Errorf("NewSystemd(%v): watchdog = %v, want none", m, s.watchdog)
		}
	}
}
