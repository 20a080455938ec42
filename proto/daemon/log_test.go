package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"syscall"
)

func TestJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewHandler(&out, slog.LevelDebug, true)).With("daemon", "capd")
	log.Debug("a")
	log.Info("b", "n", 1)
	log.Warn("c\nd")
	log.WithGroup("g").Error("e", "level", 2)
	want := "<7>msg=a daemon=capd\n<6>msg=b daemon=capd n=1\n<4>msg=\"c\\nd\" daemon=capd\n<3>msg=e daemon=capd g.level=2\n"
	if got := out.String(); got != want {
		t.Errorf("journal lines = %q, want %q", got, want)
	}
}

func TestLevel(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	level.Set(parseLevel("error"))
	log := slog.New(NewHandler(&out, level, true))
	log.Warn("hidden")
	level.Set(parseLevel("debug"))
	log.Debug("shown")
	if got, want := out.String(), "<7>msg=shown\n"; got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
}

func TestLimit(t *testing.T) {
	var out bytes.Buffer
	h := NewHandler(&out, slog.LevelDebug, true)
	now := time.Unix(1000, 0)
	log := func(level slog.Level, msg string) {
		t.Helper()
		if err := h.Handle(context.Background(), slog.NewRecord(now, level, msg, 0)); err != nil {
			t.Fatal(err)
		}
	}
	for range limitBurst + 5 {
		log(slog.LevelWarn, "ring full")
		log(slog.LevelDebug, "detail")
	}
	log(slog.LevelInfo, "other")
	if got := strings.Count(out.String(), "ring full"); got != limitBurst {
		t.Errorf("repeated warning appears %d times, want %d", got, limitBurst)
	}
	if got := strings.Count(out.String(), "detail"); got != limitBurst+5 {
		t.Errorf("debug message appears %d times, want %d", got, limitBurst+5)
	}
	now = now.Add(limitWindow)
	out.Reset()
	log(slog.LevelInfo, "other")
	if got, want := out.String(), "<4>msg=\"messages suppressed\" message=\"ring full\" count=5\n<6>msg=other\n"; got != want {
		t.Errorf("after the window: log = %q, want %q", got, want)
	}
}

func TestLimitBounded(t *testing.T) {
	l := newLimiter(slog.DiscardHandler)
	now := time.Unix(1000, 0)
	for i := range 10 * limitKeys {
		l.admit(limitKey{slog.LevelInfo, fmt.Sprint(i)}, now)
	}
	if got := len(l.seen); got > limitKeys+1 {
		t.Errorf("limiter remembers %d messages, want at most %d", got, limitKeys+1)
	}
}

func TestOnJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	if !onJournal(f, stream) {
		t.Errorf("onJournal(file, %q) = false, want true", stream)
	}
	if onJournal(f, "1:1") || onJournal(f, "") || onJournal(&bytes.Buffer{}, stream) {
		t.Error("onJournal of another stream = true, want false")
	}
}
