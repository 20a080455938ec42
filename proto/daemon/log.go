package daemon

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
)

// NewHandler returns the log handler of all daemons: lines of key=value,
// repeats limited. For the journal each line begins with its priority, <3> to
// <7>, and leaves the time to the journal.
func NewHandler(w io.Writer, level slog.Leveler, journal bool) slog.Handler {
	var h slog.Handler = slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	if journal {
		h = newJournal(w, level)
	}
	return newLimiter(h)
}

// parseLevel reads a level that the configuration has checked.
func parseLevel(s string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(s)) // info, the zero value, for anything else
	return l
}

// journal writes one line per record, with a priority that sd-daemon(3) defines.
type journal struct {
	*journalOut
	inner slog.Handler // formats into journalOut.buf
}

type journalOut struct {
	mu  sync.Mutex // guards buf and w
	buf bytes.Buffer
	w   io.Writer
}

func newJournal(w io.Writer, level slog.Leveler) *journal {
	out := &journalOut{w: w}
	return &journal{out, slog.NewTextHandler(&out.buf, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// Enabled implements slog.Handler.
func (j *journal) Enabled(ctx context.Context, l slog.Level) bool { return j.inner.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf.Reset()
	j.buf.WriteString(priority(r.Level))
	if err := j.inner.Handle(ctx, r); err != nil {
		return err
	}
	_, err := j.w.Write(j.buf.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journal{j.journalOut, j.inner.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (j *journal) WithGroup(name string) slog.Handler {
	return &journal{j.journalOut, j.inner.WithGroup(name)}
}
