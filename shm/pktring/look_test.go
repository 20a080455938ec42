package pktring

import (
	"errors"
	"os"
	"testing"

	"weir/shm/cursor"
	"weir/shm/layout"
)

func TestView(t *testing.T) {
	cfg := testConfig(t, 16, 1<<14)
	p, c := openPair(t, cfg)
	fill(t, p, 0, 12)
	drain(t, c, 0, 12)
	c.Commit()
	p.InRing()
	fill(t, p, 12, 20)
	v, err := OpenView(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	i, err := v.Info()
	if err != nil {
		t.Fatal(err)
	}
	if i.Tail != 20 || i.Freed != 12 || i.Descriptors != 16 || i.PayloadBytes != 1<<14 || i.Wait ||
		i.Owner.PID != os.Getpid() || !i.Owner.Alive || i.Owner.State != layout.StateLive || i.Stats != p.Stats() {
		t.Errorf("Info() = %+v", i)
	}
	if v.Header().RingID != p.RingID() {
		t.Error("Header() is not the ring's")
	}
	var desc [DescSize]byte
	for pos := i.Freed; pos != i.Tail; pos++ {
		payload, err := v.Record(pos, &desc, nil)
		if err != nil {
			t.Fatal(err)
		}
		pkt := makePacket(pos, 200)
		if pkt.bare {
			payload = nil
		}
		pkt.check(t, desc[:], payload[:len(payload):len(payload)])
	}
	for _, pos := range []uint64{0, 11, 20, 21, 1 << 40, 1<<64 - 1} {
		if _, err := v.Record(pos, &desc, nil); !errors.Is(err, ErrGone) {
			t.Errorf("Record(%d) = %v, want ErrGone", pos, err)
		}
	}
	le.PutUint32(p.desc[5*DescSize+offCapLen:], 1<<30) // position 5, on its way to be 21
	p.desc[5*DescSize+offFlags] |= flagPayload
	if b, err := v.Record(5, &desc, nil); !errors.Is(err, ErrGone) || b != nil {
		t.Errorf("Record() of an overwritten descriptor = %d bytes, %v, want ErrGone", len(b), err)
	}
	le.PutUint32(p.desc[3*DescSize+offCapLen:], 1<<30) // position 19
	p.desc[3*DescSize+offFlags] |= flagPayload
	if _, err := v.Record(19, &desc, nil); !errors.Is(err, layout.ErrCorrupt) {
		t.Errorf("Record() with a mad length = %v, want ErrCorrupt", err)
	}

	ci, err := cursor.Look(cfg.CursorPath)
	if err != nil {
		t.Fatal(err)
	}
	if ci.Kind != cursor.Packet || ci.Position != 12 || ci.RingID != p.RingID() || ci.Name != "test" || !ci.Owner.Alive {
		t.Errorf("Look() = %+v", ci)
	}
	if got := ReadConsumerStats(ci.Stats); got.Records != 12 {
		t.Errorf("ReadConsumerStats() = %+v, want 12 records", got)
	}
	if _, err := OpenView(cfg.CursorPath); err == nil {
		t.Error("OpenView() of a cursor = nil, want an error")
	}
	if _, err := cursor.Look(cfg.Path); err == nil {
		t.Error("Look() at a ring = nil, want an error")
	}
}
