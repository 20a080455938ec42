package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Systemd tells the service manager how the process is, sd_notify(3). Where no
// manager listens every method does nothing and returns nil.
type Systemd struct {
	socket   string
	watchdog time.Duration // 0 = none
}

// NewSystemd reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID with getenv.
func NewSystemd(getenv func(string) string) Systemd {
	s := Systemd{socket: getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	pid := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && usec < int64(24*time.Hour/time.Microsecond) && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// Ready says that the process serves: rings are attached.
func (s Systemd) Ready() error { return s.send("READY=1") }

// Reloading says that SIGHUP is being served; Ready ends it.
func (s Systemd) Reloading() error { return s.send("RELOADING=1") }

// Stopping says that the process drains and leaves.
func (s Systemd) Stopping() error { return s.send("STOPPING=1") }

// Status shows one line in systemctl status.
func (s Systemd) Status(text string) error {
	return s.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Watchdog keeps the manager's watchdog quiet while alive reports true, until
// ctx is done. alive is called twice per interval and must not block: it looks
// whether the main loop has moved since the last call.
func (s Systemd) Watchdog(ctx context.Context, alive func() bool) error {
	if s.socket == "" || s.watchdog == 0 {
		return nil
	}
	t := time.NewTicker(s.watchdog / 2)
	defer t.Stop()
	for {
		if alive() {
			if err := s.send("WATCHDOG=1"); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (s Systemd) send(state string) error {
	if s.socket == "" {
		return nil
	}
	// A name that begins with '@' is abstract, for systemd and for net alike.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
