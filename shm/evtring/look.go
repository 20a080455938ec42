package evtring

import (
	"fmt"

	"weir/shm/layout"
)

// Info is what a ring file said at one moment. For display; to see its events,
// use Tail.
type Info struct {
	Header       layout.Header
	Capacity     uint64
	Wait         bool
	Tail, Intent uint64
	Owner        layout.Peer
	Stats        ProducerStats
}

// Look reads the ring file at path without touching it.
func Look(path string) (i Info, err error) {
	m, err := layout.OpenRO(path, layout.Spec{Magic: layout.MagicEventRing, ABIMajor: layout.ABIMajor})
	if err != nil {
		return Info{}, fmt.Errorf("look at event ring: %w", err)
	}
	defer func() { _ = m.Close() }()
	i.Header = *m.Header()
	if i.Capacity, err = checkGeometry(path, m.Header(), int64(len(m.Bytes()))); err != nil {
		return Info{}, fmt.Errorf("look at event ring: %w", err)
	}
	err = m.Guard(func() error {
		i.Wait = i.Header.Ring().Policy&layout.PolicyWait != 0
		i.Tail, i.Intent = m.U64(layout.OffHot).Load(), m.U64(offIntent).Load()
		i.Owner = m.Peer()
		i.Stats.load(statsLine(m.Bytes()[layout.OffStats : layout.OffStats+layout.LineSize]))
		return nil
	})
	return i, err
}

// ReadReaderStats decodes the statistics line of an event cursor.
func ReadReaderStats(line []byte) (s ReaderStats) {
	if len(line) >= layout.LineSize {
		s.load(line)
	}
	return s
}
