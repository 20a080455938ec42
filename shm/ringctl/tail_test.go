package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"weir/proto/event"
	"weir/shm/evtring"
)

// following runs tail in the background and returns its output.
func following(t *testing.T, args ...string) (lines *bufio.Scanner, stderr *bytes.Buffer, ended chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	stderr, ended = new(bytes.Buffer), make(chan int, 1)
	go func() {
		status := run(ctx, args, w, stderr)
		_ = w.Close()
		ended <- status
	}()
	t.Cleanup(func() { cancel(); _ = r.Close() })
	return bufio.NewScanner(r), stderr, ended
}

func next(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("no line came: %v", lines.Err())
	}
	return lines.Text()
}

// TestTailFollows sees events as they come, goes on with the ring that replaces the
// one it reads, and ends when the producer has left.
func TestTailFollows(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.tell(1, event.FlowNew, 1)
	lines, stderr, ended := following(t, "-root", string(s.root), "tail", "w01", "-from", "oldest")
	if got := next(t, lines); !strings.HasPrefix(got, "1 ") || !strings.Contains(got, "FLOW_NEW") {
		t.Errorf("first line %q", got)
	}
	s.tell(1, event.FlowEnd, 1)
	if got := next(t, lines); !strings.HasPrefix(got, "2 ") || !strings.Contains(got, "FLOW_END") {
		t.Errorf("second line %q", got)
	}
	cfg := evtring.Config{Path: s.root.EventRing(1), Capacity: 2 * evtring.MinCapacity, Worker: 1, Mode: 0o600}
	s.must(s.events[1].Close())
	p, err := evtring.OpenProducer(cfg) // another geometry: a new file
	s.must(err)
	s.events[1] = p
	s.tell(1, event.FlowUpdate, 2)
	if got := next(t, lines); !strings.HasPrefix(got, "1 ") || !strings.Contains(got, "FLOW_UPDATE") {
		t.Errorf("first line of the new ring %q", got)
	}
	s.must(p.Close())
	if lines.Scan() {
		t.Errorf("unexpected line %q", lines.Text())
	}
	if status := <-ended; status != exitOK || stderr.Len() > 0 {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

// TestTailInterrupted ends at a signal although the producer lives.
func TestTailInterrupted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if status := run(ctx, []string{"-root", string(s.root), "tail", "w01"}, &out, &errs); status != exitOK {
		t.Errorf("status %d, %s", status, &errs)
	}
}

// TestTailLost says how many events are missing.
func TestTailLost(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	must(t, edit(dir+"/evt/w00.ring", func(b []byte) { b[4096+208+50] ^= 1 }))
	out, errs, status := ringctl(t, "-root", dir, "tail", "w00")
	if status != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(errs, "damaged event at position 208") {
		t.Errorf("status %d, stdout %q, stderr %q", status, out, errs)
	}
}
