package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	limitBurst  = 10               // records of one message that pass in a window
	limitWindow = 10 * time.Second // long enough to read, short enough to miss nothing for long
	limitKeys   = 256              // messages told apart; more of them share one budget
)

// limiter lets the first records of each message pass and counts the rest. The
// count is logged with the first record of any message after the window.
type limiter struct {
	*limits
	inner slog.Handler
}

type limits struct {
	mu    sync.Mutex // guards what follows
	since time.Time  // start of the window
	seen  map[limitKey]int
}

type limitKey struct {
	level   slog.Level
	message string
}

func newLimiter(inner slog.Handler) *limiter {
	return &limiter{&limits{seen: map[limitKey]int{}}, inner}
}

// Enabled implements slog.Handler.
func (l *limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.inner.Enabled(ctx, level)
}

// Handle implements slog.Handler. Debug records all pass: who asks for them
// wants them.
func (l *limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return l.inner.Handle(ctx, r)
	}
	pass, hidden := l.admit(limitKey{r.Level, r.Message}, r.Time)
	for k, n := range hidden {
		s := slog.NewRecord(r.Time, k.level, "messages suppressed", 0)
		s.AddAttrs(slog.String("message", k.message), slog.Int("count", n))
		if err := l.inner.Handle(ctx, s); err != nil {
			return err
		}
	}
	if !pass {
		return nil
	}
	return l.inner.Handle(ctx, r)
}

// admit counts a record. At the end of a window it returns what was hidden in it.
func (l *limits) admit(k limitKey, now time.Time) (pass bool, hidden map[limitKey]int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := now.Sub(l.since); d >= limitWindow || d < 0 {
		for k, n := range l.seen {
			if n > limitBurst {
				if hidden == nil {
					hidden = map[limitKey]int{}
				}
				hidden[k] = n - limitBurst
			}
		}
		clear(l.seen)
		l.since = now
	}
	if _, known := l.seen[k]; !known && len(l.seen) >= limitKeys {
		k = limitKey{k.level, "(other)"}
	}
	l.seen[k]++
	return l.seen[k] <= limitBurst, hidden
}

// WithAttrs implements slog.Handler.
func (l *limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limiter{l.limits, l.inner.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l *limiter) WithGroup(name string) slog.Handler {
	return &limiter{l.limits, l.inner.WithGroup(name)}
}
