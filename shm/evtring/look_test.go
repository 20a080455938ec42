package evtring

import (
	"os"
	"testing"

	"weir/shm/cursor"
)

func TestLook(t *testing.T) {
	cfg := testConfig(t)
	p := openProducer(t, cfg)
	r := attach(t, cfg, "a")
	writeAll(t, p, 0, 10, most)
	readAll(t, r, 0, 10, most)
	r.RequestResync(5)
	r.Commit()
	i, err := Look(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if i.Tail != p.Tail() || i.Intent < i.Tail || i.Capacity != MinCapacity || i.Wait ||
		!i.Owner.Alive || i.Owner.PID != os.Getpid() || i.Stats != p.Stats() || i.Header.RingID != p.RingID() {
		t.Errorf("Look() = %+v", i)
	}
	c, err := cursor.Look(cfg.cursor("a"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind != cursor.Event || c.Position != p.Tail() || Counter(c.LastSeq) != 10 ||
		c.ResyncAsked != 1 || c.ResyncDone != 0 || c.ResyncFor != 5 || c.Name != "a" {
		t.Errorf("cursor.Look() = %+v", c)
	}
	if got := ReadReaderStats(c.Stats); got != r.Stats() {
		t.Errorf("ReadReaderStats() = %+v, want %+v", got, r.Stats())
	}
	if _, err := Look(cfg.cursor("a")); err == nil {
		t.Error("Look() at a cursor = nil, want an error")
	}
	if _, err := Look(cfg.Path + "x"); err == nil {
		t.Error("Look() at nothing = nil, want an error")
	}
}
