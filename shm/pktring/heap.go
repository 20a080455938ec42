package pktring

import (
	"weir/shm/cursor"
	"weir/shm/layout"
)

// NewHeap returns both ends of a ring in ordinary memory, for tests under the
// race detector, which is blind to mapped files.
func NewHeap(cfg Config) (*Producer, *Consumer, error) {
	spec, g, err := cfg.spec()
	if err != nil {
		return nil, nil, err
	}
	m := layout.NewHeap(spec)
	cur := cursor.NewHeap(cursor.Packet, m.Header().RingID)
	p := &Producer{cfg: cfg, spec: spec, fresh: true, cur: cur}
	p.use(m, g)
	p.epoch = p.owner.Claim()
	c, err := newConsumer(m, Options{})
	if err != nil {
		return nil, nil, err
	}
	c.start(cur, true)
	return p, c, nil
}
