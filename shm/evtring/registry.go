package evtring

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// giveUpAfter is how long, offline, a dead reader's unread events are kept while
// its cursor stands still: time enough for a supervisor to start it again.
const giveUpAfter = 30 * time.Second

// registered is one reader's cursor, mapped read-only. Nothing in it is trusted:
// the worst it can do is to be waited for or to ask for snapshots.
type registered struct {
	name     string
	file     *cursor.File
	owner    layout.Owner
	seenReq  uint32 // last snapshot request that was reported
	alive    bool   // at the last scan
	position uint64 // at the last scan or wait
	moved    uint64 // monotonic ns when position last changed
	givenUp  bool
}

// registry is the producer's view of its readers.
type registry struct {
	list    []*registered
	scanned uint64 // monotonic ns
	at      uint64 // position of the producer at the last scan
	mtime   time.Time
}

// changed reports whether cursors may have come or gone since the last scan. The
// clock behind a folder's time is coarse: a change may be missed.
func (g *registry) changed(dir string) bool {
	if dir == "" {
		return false
	}
	fi, err := os.Stat(dir)
	return err == nil && !fi.ModTime().Equal(g.mtime)
}

// scan looks for cursor files that came, went or were replaced.
func (g *registry) scan(dir string, worker int, ringID, now uint64) {
	g.scanned = now
	if dir == "" {
		return
	}
	if fi, err := os.Stat(dir); err == nil {
		g.mtime = fi.ModTime() // before reading it
	}
	suffix := fmt.Sprintf(".w%02d.cur", worker)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the folder may come later, with the first reader
	}
	kept := g.list[:0]
	for _, r := range g.list {
		if r.file.Replaced() || !r.file.Whole() {
			_ = r.file.Close()
			continue
		}
		r.observe(now)
		kept = append(kept, r)
	}
	clear(g.list[len(kept):])
	g.list = kept
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || g.find(name) != nil {
			continue
		}
		f, err := cursor.Map(filepath.Join(dir, e.Name()), cursor.Event, ringID)
		if err != nil {
			continue // of an older ring, or not a cursor: its reader will replace it
		}
		r := &registered{name: name, file: f, owner: f.Owner(), moved: now, seenReq: f.U32(cursor.OffResyncAck).Load()}
		r.observe(now)
		g.list = append(g.list, r)
	}
}

// observe notes whether the reader lives and moves.
func (r *registered) observe(now uint64) {
	r.alive = r.file.Locked()
	if pos := r.file.Position.Load(); pos != r.position {
		r.position, r.moved, r.givenUp = pos, now, false
	}
}

func (g *registry) find(name string) *registered {
	for _, r := range g.list {
		if r.name == name {
			return r
		}
	}
	return nil
}

// wantsWake reports whether a reader sleeps that has enough before it, now that
// tail is published.
func (g *registry) wantsWake(tail uint64) bool {
	for _, r := range g.list {
		if r.file.WantsWake(tail) {
			return true
		}
	}
	return false
}

// lag is that of the slowest reader that can still be saved from being lapped.
func (g *registry) lag(tail, capacity uint64) uint64 {
	var worst uint64
	for _, r := range g.list {
		d := tail - r.file.Position.Load()
		if d <= capacity && d > worst && r.owner.State() != layout.StateClosed {
			worst = d
		}
	}
	return worst
}

// slowest returns the reader that is furthest behind among those to be waited
// for; nil when there is none. One that is lapped, or whose cursor makes no sense,
// has nothing to gain from it.
func (g *registry) slowest(tail, capacity uint64) (worst *registered, position uint64) {
	for _, r := range g.list {
		pos := r.file.Position.Load()
		if r.givenUp || tail-pos > capacity || r.owner.State() == layout.StateClosed {
			continue
		}
		if worst == nil || int64(position-pos) > 0 {
			worst, position = r, pos
		}
	}
	return worst, position
}

func (g *registry) close() {
	for _, r := range g.list {
		_ = r.file.Close()
	}
	g.list = nil
}
