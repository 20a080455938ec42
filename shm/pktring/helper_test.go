package pktring

import (
	"path/filepath"
	"testing"
)

// openPair opens both ends of a ring in a temporary folder.
func openPair(tb testing.TB, cfg Config) (*Producer, *Consumer) {
	tb.Helper()
	dir := shmDir(tb)
	cfg.Path, cfg.CursorPath = filepath.Join(dir, "c00-w00.ring"), filepath.Join(dir, "c00-w00.cur")
	p, err := OpenProducer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	c, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{Name: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	if !p.ConsumerAlive() {
		tb.Fatal("ConsumerAlive() = false, want true: consumer in the same process")
	}
	return p, c
}
