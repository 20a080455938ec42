package pktring

import (
	"path/filepath"
	"testing"

	"weir/shm/internal/shmtest"
)

// testConfig is a small ring in a folder of its own.
func testConfig(tb testing.TB, n, payload int) Config {
	tb.Helper()
	dir := shmtest.Dir(tb)
	return Config{
		Path: filepath.Join(dir, "c00-w00.ring"), CursorPath: filepath.Join(dir, "c00-w00.cur"),
		Descriptors: n, PayloadBytes: payload, Mode: 0o600,
	}
}

// openPair opens both ends of a ring.
func openPair(tb testing.TB, cfg Config) (*Producer, *Consumer) {
	tb.Helper()
	if cfg.Path == "" {
		paths := testConfig(tb, 0, 0)
		cfg.Path, cfg.CursorPath = paths.Path, paths.CursorPath
	}
	p := openProducer(tb, cfg)
	c := openConsumer(tb, cfg)
	if !p.ConsumerAlive() {
		tb.Fatal("ConsumerAlive() = false, want true")
	}
	return p, c
}

func openProducer(tb testing.TB, cfg Config) *Producer {
	tb.Helper()
	p, err := OpenProducer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p
}

func openConsumer(tb testing.TB, cfg Config) *Consumer {
	tb.Helper()
	c, err := OpenConsumer(cfg.Path, cfg.CursorPath, Options{Name: "test", Mode: 0o600})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// heapPair returns both ends of a ring in ordinary memory, with the positions set
// to pos.
func heapPair(tb testing.TB, n, payload int, pos uint64) (*Producer, *Consumer) {
	tb.Helper()
	p, c, err := NewHeap(Config{Descriptors: n, PayloadBytes: payload})
	if err != nil {
		tb.Fatal(err)
	}
	p.startAt(pos, pos*16)
	c.head, c.tail = pos, pos
	c.position.Store(pos)
	return p, c
}

// startAt moves an empty ring to other positions.
func (p *Producer) startAt(pos, pay uint64) {
	p.next, p.published, p.head = pos, pos, pos
	p.payNext, p.payHead = pay, pay
	p.tail.Store(pos)
	p.freed.Store(pos)
}

// kill lets go of the producer's file as a SIGKILL would: nothing is written.
func (p *Producer) kill() {
	p.closed = true
	p.dropCursor()
	_ = p.m.Close()
}

// kill lets go of the consumer's files as a SIGKILL would.
func (c *Consumer) kill() {
	c.closed = true
	_ = c.cur.Close()
	_ = c.m.Close()
}

// packet is the n-th of an endless row of different packets. Its ordinal is n.
type packet struct {
	desc   [DescSize]byte
	prefix [PrefixSize]byte
	frame  []byte
	bare   bool // without payload
}

func makePacket(n uint64, maxFrame int) packet {
	var p packet
	h := n*0x9e3779b97f4a7c15 + 1
	for i := range p.desc {
		p.desc[i] = byte(h >> (8 * (i % 8)))
	}
	p.desc[offKind] = 1
	le.PutUint64(p.desc[offTS:], n+1000)
	le.PutUint64(p.desc[offOrdinal:], n)
	for i := range p.prefix {
		p.prefix[i] = byte(n) + byte(i)
	}
	p.bare = h>>60 == 3
	p.frame = make([]byte, h>>20%uint64(maxFrame+1))
	for i := range p.frame {
		p.frame[i] = byte(h>>8) + byte(i)
	}
	return p
}

func (p *packet) put(w *Producer) bool {
	if p.bare {
		return w.Put(p.desc[:], nil, p.frame)
	}
	return w.Put(p.desc[:], p.prefix[:], p.frame)
}

// check compares what a consumer sees with the packet.
func (p *packet) check(tb testing.TB, desc, payload []byte) {
	tb.Helper()
	want := p.desc
	copy(want[offPayPos:], desc[offPayPos:offPayPos+8]) // the ring's own
	flags := le.Uint16(want[offFlags:]) &^ flagPayload
	if !p.bare {
		flags |= flagPayload
		le.PutUint32(want[offCapLen:], uint32(len(p.frame)))
	}
	le.PutUint16(want[offFlags:], flags)
	if string(desc) != string(want[:]) {
		tb.Fatalf("descriptor of packet %d:\n% x, want\n% x", le.Uint64(p.desc[offOrdinal:]), desc, want)
	}
	if p.bare {
		if payload != nil {
			tb.Fatalf("packet %d has a payload of %d bytes, want none", le.Uint64(p.desc[offOrdinal:]), len(payload))
		}
		return
	}
	if string(payload) != string(p.prefix[:])+string(p.frame) {
		tb.Fatalf("payload of packet %d differs (%d bytes, want %d)",
			le.Uint64(p.desc[offOrdinal:]), len(payload), PrefixSize+len(p.frame))
	}
	if cap(payload) != len(payload) {
		tb.Fatalf("payload has capacity %d beyond its %d bytes", cap(payload), len(payload))
	}
}
