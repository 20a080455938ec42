package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// TestWriteRefused: what a process owns, and what would lose records, is left alone.
func TestWriteRefused(t *testing.T) {
	t.Parallel()
	live, dir := newScene(t), frozen(t)
	for _, tt := range []struct{ root, args, says string }{
		{string(live.root), "retire w01", "stop it first"},
		{string(live.root), "retire c00-w01", "is being read by dpid worker 1"},
		{string(live.root), "resync policyd.w00", "it asks for a snapshot when it starts"},
		{string(live.root), "skip-poison c00-w01", "only be skipped between two workers"},
		{dir, "retire c00-w01", "holds 4 records that dpid worker 1 has not read"},
		{dir, "retire w07", "no readable ring"},
		{dir, "resync w00", "no event cursor"},
		{dir, "resync c00-w00", "no event cursor"},
		{dir, "skip-poison c00-w00", "no unread packet was in work"},
		{dir, "skip-poison w00", "not a packet ring"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			before := contents(t, tt.root)
			_, errs, status := ringctl(t, append([]string{"-root", tt.root, "-write"}, strings.Fields(tt.args)...)...)
			if status != exitBroken || !strings.Contains(errs, tt.says) {
				t.Errorf("status %d, %q, want %q", status, errs, tt.says)
			}
			for path, was := range before {
				if now := contents(t, tt.root)[path]; now != was {
					t.Errorf("%s was changed", path)
				}
			}
		})
	}
}

func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*/*.ring", "*/*.cur"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		must(t, err)
		for _, p := range paths {
			b, err := os.ReadFile(p)
			must(t, err)
			all[p] = string(b)
		}
	}
	return all
}

func TestResync(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	for want := uint32(1); want <= 2; want++ {
		if _, errs, status := ringctl(t, "-root", dir, "-write", "resync", "policyd.w00"); status != exitOK {
			t.Fatal(errs)
		}
		i, err := cursor.Look(filepath.Join(dir, "evtcur/policyd.w00.cur"))
		must(t, err)
		if i.ResyncAsked != want || i.ResyncDone != 0 || i.ResyncFor != reasonOperator || i.Position != 416 {
			t.Errorf("cursor = %+v, want request %d", i, want)
		}
	}
	// The worker's next producer finds it.
	p, err := evtring.OpenProducer(evtring.Config{
		Path: filepath.Join(dir, "evt/w00.ring"), Capacity: evtring.MinCapacity, CursorDir: filepath.Join(dir, "evtcur"),
		Wait: true, Tag: tagOf(t, filepath.Join(dir, "evt/w00.ring")),
	})
	must(t, err)
	defer func() { _ = p.Close() }()
	if _, err := p.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	if got := p.ResyncRequests(); len(got) != 1 || got[0].Consumer != "policyd" || got[0].Req != 2 {
		t.Errorf("ResyncRequests() = %+v, want number 2 of policyd", got)
	}
}

func tagOf(t *testing.T, path string) uint32 {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return binary.NativeEndian.Uint32(b[120:])
}

func TestRetire(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	path := filepath.Join(dir, "evt/w00.ring")
	old, err := evtring.Tail(path, evtring.Oldest)
	must(t, err)
	defer func() { _ = old.Close() }()
	if _, errs, status := ringctl(t, "-root", dir, "-write", "retire", "w00"); status != exitOK {
		t.Fatal(errs)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the ring is still there: %v", err)
	}
	if _, err := old.Next(); old.ProducerState() != layout.StateRetired || !old.Replaced() || err != nil {
		t.Errorf("a reader of the old ring: state %v, Next() = %v, want retired and its events", old.ProducerState(), err)
	}
	if _, errs, status := ringctl(t, "-root", dir, "-write", "retire", "c00-w00"); status != exitOK {
		t.Errorf("a packet ring that was read to its end: %s", errs)
	}
}

// TestSkipPoison: the next worker leaves out the packet, and only that one.
func TestSkipPoison(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	out, errs, status := ringctl(t, "-root", dir, "-write", "skip-poison", "c00-w01")
	if status != exitOK || !strings.Contains(out, "leaves out packet 2") {
		t.Fatalf("status %d, %q, %q", status, out, errs)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "quarantine", "*-c00-w01-2.pcapng"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept %q, %v, want one file", kept, err)
	}
	c, err := pktring.OpenConsumer(filepath.Join(dir, "pkt/c00-w01.ring"), filepath.Join(dir, "pktcur/c00-w01.cur"), pktring.Options{})
	must(t, err)
	defer func() { _ = c.Close() }()
	pos, ok := c.Poison()
	if !ok || pos != 2 || c.Position() != 2 || c.Backlog() != 4 {
		t.Errorf("Poison() = %d, %t at position %d with %d to read, want packet 2 at 2 with 4", pos, ok, c.Position(), c.Backlog())
	}
}
