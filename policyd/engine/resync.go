package engine

import (
	"time"

	"weir/policyd/feed"
)

const (
	resyncFirst = time.Second // the first repeat; then twice as long each time
	resyncMost  = 30 * time.Second
	alarmAfter  = 3                // requests without an answer
	snapshotMax = 30 * time.Second // without progress
)

// resync is the state of asking one worker for a snapshot.
type resync struct {
	asked    int       // requests since the view was whole
	next     time.Time // not again before
	progress time.Time // last sign of a snapshot
}

// resync asks worker w for a snapshot, unless it was just asked.
func (e *Engine) resync(w int, reason uint32) {
	k, now := &e.resyncs[w], e.opt.Now()
	if now.Before(k.next) || e.workers.Resync(w, reason) == 0 {
		return
	}
	k.asked++
	backoff := min(resyncFirst<<min(k.asked-1, 10), resyncMost)
	k.next = now.Add(backoff)
	if k.asked > alarmAfter {
		e.opt.Log.Error("the view stays incomplete: the worker sends no whole snapshot", "worker", w, "requests", k.asked)
	}
}

// retryResyncs asks again where a snapshot does not come, or was spoilt.
func (e *Engine) retryResyncs(now time.Time) {
	for w := range e.resyncs {
		k := &e.resyncs[w]
		if !e.view.Stale(w) || now.Before(k.next) {
			continue
		}
		if e.view.Snapshot(w) && now.Sub(k.progress) < snapshotMax {
			continue // one is coming in
		}
		e.resync(w, feed.ReasonRetry)
	}
}
