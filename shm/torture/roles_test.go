package torture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

var le = binary.LittleEndian

const (
	maxFrame = 3000
	maxEvent = 600
	batch    = 64 // records between two releases or commits: what may be seen twice

	offOrdinal = 48 // of a descriptor
	offKind    = 61
	kindPacket = 1
	kindLost   = 2
)

func packetRing(dir string, wait bool) pktring.Config {
	return pktring.Config{
		Path: filepath.Join(dir, "c00-w00.ring"), CursorPath: filepath.Join(dir, "c00-w00.cur"),
		Descriptors: 256, PayloadBytes: 1 << 18, Wait: wait, Mode: 0o600,
	}
}

// producePackets numbers packets for ever, going on after the last that an earlier
// life had published.
func producePackets(dir string, wait bool) error {
	stop := terminated()
	p, err := pktring.OpenProducer(packetRing(dir, wait))
	if err != nil {
		return err
	}
	var n uint64
	if last, ok := p.Last(); ok {
		n = le.Uint64(last[offOrdinal:]) + 1
	} else if p.Epoch() > 1 && p.Position() != 0 {
		return errors.New("taken over, but no last packet")
	}
	if p.Epoch() > 1 && p.Fresh() {
		return errors.New("ring was retired: a kill must not make it inconsistent")
	}
	var desc [pktring.DescSize]byte
	var prefix [pktring.PrefixSize]byte
	frame := make([]byte, maxFrame)
	desc[offKind] = kindPacket
	for !stop.Load() {
		if _, err := p.Housekeeping(); err != nil {
			return err
		}
		for range 1 + n%200 {
			length, first := record(n, maxFrame)
			paint(frame[:length], first)
			paint(prefix[:], first)
			le.PutUint64(desc[offOrdinal:], n)
			switch {
			case p.Put(desc[:], prefix[:], frame[:length]):
				n++
			case !wait:
				p.Drop(1, uint64(length))
				n++
			default:
				p.WaitSpace(time.Second)
			}
		}
		p.Publish()
	}
	return p.Close()
}

// consumePackets checks what arrives until the ring is closed and drained.
func consumePackets(dir string) error {
	seen, err := openProgress(dir)
	if err != nil {
		return err
	}
	c, err := openWhenThere(func() (*pktring.Consumer, error) {
		cfg := packetRing(dir, false)
		return pktring.OpenConsumer(cfg.Path, cfg.CursorPath, pktring.Options{Mode: 0o600})
	})
	if err != nil {
		return err
	}
	l, lost := life{progress: seen, window: batch}, uint64(0)
	if seen.get(offLostAfter) == c.Position() {
		lost = seen.get(offLostCount)
	}
	for {
		if err := c.Housekeeping(); err != nil {
			return err
		}
		run := c.Peek(batch)
		if len(run) == 0 {
			if c.ProducerState() == layout.StateClosed && len(c.Peek(1)) == 0 {
				return c.Close()
			}
			c.Wait(pktring.Spin, 10*time.Millisecond)
			continue
		}
		count := len(run) / pktring.DescSize
		for i := range count {
			d := run[i*pktring.DescSize : (i+1)*pktring.DescSize]
			c.Inflight(c.Position() + uint64(i))
			if d[offKind] == kindLost {
				lost += le.Uint64(d[8:])
				continue
			}
			n := le.Uint64(d[offOrdinal:])
			if err := checkPacket(n, d, c.Payload(d)); err != nil {
				return err
			}
			if err := l.saw(n, lost); err != nil {
				return err
			}
			lost = 0
		}
		seen.set(offLostAfter, 1<<64-1) // a kill between these stores must not pair the wrong two
		seen.set(offLostCount, lost)
		seen.set(offLostAfter, c.Position()+uint64(count))
		c.Release(count)
		c.Commit()
	}
}

func checkPacket(n uint64, d, payload []byte) error {
	length, first := record(n, maxFrame)
	if len(payload) != pktring.PrefixSize+length || int(le.Uint32(d[36:])) != length {
		return fmt.Errorf("packet %d has %d bytes, want %d", n, len(payload), pktring.PrefixSize+length)
	}
	if !painted(payload[:pktring.PrefixSize], first) || !painted(payload[pktring.PrefixSize:], first) {
		return fmt.Errorf("packet %d has wrong bytes", n)
	}
	return nil
}

// openWhenThere tries until the ring is there.
func openWhenThere[T any](open func() (T, error)) (T, error) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		v, err := open()
		if !errors.Is(err, layout.ErrAwait) || time.Now().After(end) {
			return v, err
		}
	}
}

func eventRing(dir string, wait bool) evtring.Config {
	return evtring.Config{
		Path: filepath.Join(dir, "w00.ring"), CursorDir: dir, Capacity: evtring.MinCapacity, Wait: wait, Mode: 0o600,
	}
}

// produceEvents numbers events for ever, by the ring's own counter.
func produceEvents(dir string, wait bool) error {
	stop := terminated()
	p, err := evtring.OpenProducer(eventRing(dir, wait))
	if err != nil {
		return err
	}
	if p.Epoch() > 1 && p.Fresh() {
		return errors.New("ring was retired: a kill must not damage it")
	}
	for round := uint64(0); !stop.Load(); round++ {
		if _, err := p.Housekeeping(); err != nil {
			return err
		}
		p.WaitRoom(time.Second)
		for range 1 + round*7%100 {
			n := evtring.Counter(p.NextSeq())
			length, first := record(n, maxEvent)
			paint(p.Reserve(uint16(n), 1, 0, n, length), first)
		}
		p.Publish()
		if !wait && round%8 == 0 {
			time.Sleep(time.Duration(round%16) * 100 * time.Microsecond) // let the readers come near
		}
	}
	return p.Close()
}

// readEvents checks what arrives until the ring is closed and drained.
func readEvents(dir string) error {
	seen, err := openProgress(dir)
	if err != nil {
		return err
	}
	r, err := openWhenThere(func() (*evtring.Reader, error) {
		return evtring.Attach(filepath.Join(dir, "w00.ring"), filepath.Join(dir, "torture.w00.cur"), "torture")
	})
	if err != nil {
		return err
	}
	l, lost, since := life{progress: seen, window: batch}, uint64(0), 0
	if seen.get(offNext) == 0 {
		// The first life begins where the ring is: numbers begin with 1.
		rec, err := firstEvent(r, &lost)
		if err != nil {
			return err
		}
		l.began, l.next, lost = true, evtring.Counter(rec.Seq)+1, 0
		seen.set(offNext, l.next)
	}
	for {
		rec, err := r.Next()
		var over *evtring.Overrun
		switch {
		case err == nil:
			n := evtring.Counter(rec.Seq)
			if err := checkEvent(n, rec); err != nil {
				return err
			}
			if err := l.saw(n, lost); err != nil {
				return err
			}
			lost = 0
			if since++; since == batch {
				r.Commit()
				since = 0
			}
			continue
		case errors.As(err, &over):
			lost += over.Lost
			continue
		case !errors.Is(err, evtring.ErrIdle):
			return err
		}
		r.Commit()
		since = 0
		if err := r.Housekeeping(); err != nil {
			return err
		}
		if r.ProducerState() == layout.StateClosed && r.Lag() == 0 {
			return r.Close()
		}
		r.Wait(10 * time.Millisecond)
	}
}

// firstEvent waits for the first event that this cursor ever saw.
func firstEvent(r *evtring.Reader, lost *uint64) (evtring.Record, error) {
	for {
		rec, err := r.Next()
		var over *evtring.Overrun
		switch {
		case err == nil:
			return rec, checkEvent(evtring.Counter(rec.Seq), rec)
		case errors.As(err, &over):
			*lost += over.Lost
		case errors.Is(err, evtring.ErrIdle):
			r.Wait(10 * time.Millisecond)
		default:
			return rec, err
		}
	}
}

func checkEvent(n uint64, rec evtring.Record) error {
	length, first := record(n, maxEvent)
	if rec.Type != uint16(n) || rec.TS != n || len(rec.Payload) != length || !painted(rec.Payload, first) {
		return fmt.Errorf("event %d: type %d, time %d, %d bytes, want %d, and its own", n, rec.Type, rec.TS, len(rec.Payload), length)
	}
	return nil
}
