package steer

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// record is what a ring was given.
type record struct {
	desc, prefix, frame []byte
}

func (r record) d() pkt.Descriptor { return pkt.Descriptor(r.desc) }

// memoryRing is an Output that keeps all.
type memoryRing struct {
	records   []record
	published int
	room      int // records that still fit; negative: no limit
	waits     int
	dropped   uint64                 // packets, as told by Drop
	lost      uint64                 // their bytes
	refill    func(*memoryRing) bool // what WaitSpace does
}

func newMemoryRing() *memoryRing { return &memoryRing{room: -1} }

func (m *memoryRing) Put(desc, prefix, frame []byte) bool {
	if m.room == 0 {
		return false
	}
	m.room--
	d := bytes.Clone(desc)
	if prefix != nil { // as the ring does
		binary.LittleEndian.PutUint16(d[58:], binary.LittleEndian.Uint16(d[58:])|pkt.FlagPayload)
	}
	m.records = append(m.records, record{d, bytes.Clone(prefix), bytes.Clone(frame)})
	return true
}

func (m *memoryRing) Drop(packets, bytes uint64) {
	m.dropped += packets
	m.lost += bytes
}

func (m *memoryRing) Publish() { m.published = len(m.records) }
func (m *memoryRing) Show()    { m.Publish() }

func (m *memoryRing) MaxFrame() int { return 65600 }

func (m *memoryRing) WaitSpace(time.Duration) bool {
	m.waits++
	return m.refill != nil && m.refill(m)
}

func testSeed() *flowkey.Seed {
	var b [flowkey.SeedSize]byte
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	s := flowkey.ParseSeed(&b)
	return &s
}

// rings returns n memory rings, also as outputs.
func rings(n int) (mem []*memoryRing, outs []Output) {
	for range n {
		m := newMemoryRing()
		mem, outs = append(mem, m), append(outs, m)
	}
	return mem, outs
}
