package evtring

import (
	"sync/atomic"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// Record is one event. Payload is a private copy, valid until the next call of
// Next.
type Record struct {
	Type           uint16
	Version, Flags uint8
	Seq            uint64 // Epoch(Seq), Counter(Seq)
	TS             uint64 // ns
	Payload        []byte
}

// Reader reads a ring at its own pace. One goroutine owns it.
type Reader struct {
	data     []byte
	mask     uint64
	position uint64 // of the next record to parse
	returned uint64 // everything before it was returned: what Commit stores
	lastSeq  uint64 // of the last record returned, for Commit

	buf    []byte // private copy of [position, position+len(window)), within a block
	window []byte

	expect   uint64 // counter of the next record, when known
	known    bool
	trusted  bool   // expect is exact; after a restart it is only a lower bound
	gap      bool   // records were skipped: the next one tells how many
	resumeAt uint64 // counter up to which a restarted reader had been given records

	wakeAt   uint32 // bytes that are worth waking up for
	tailLost int    // times in a row that the tail made no sense

	pending    Record // parsed, but its loss is reported first
	pendingEnd uint64
	hasPending bool

	hot, intent, want *atomic.Uint64
	fence             atomic.Uint32
	stats             ReaderStats
	shared            statsLine

	m         *layout.Mapping
	guard     layout.Guard
	cur       *cursor.File // nil: only looking
	own, peer layout.Owner
	name      string
	resumed   bool
	nextCheck uint64
	closed    bool
}

// Next returns the next event. Errors: ErrIdle when there is none; *Overrun when
// events were lost before the next one, which the next call returns; ErrCorrupt
// (a *CorruptError) when a block had damaged bytes and is skipped.
func (r *Reader) Next() (Record, error) {
	if r.hasPending {
		r.hasPending = false
		return r.deliver(r.pending, r.pendingEnd), nil
	}
	// A sound ring has a record in every block; a hostile one could lead us
	// through empty ones for ever.
	for range maxHops {
		if len(r.window) == 0 {
			if err := r.fill(); err != nil {
				return Record{}, err
			}
			continue
		}
		word := host.Uint32(r.window)
		if word&padBit != 0 {
			if uint64(word&^padBit) != toBlockEnd(r.position) {
				return Record{}, r.corrupt()
			}
			r.skipBlock()
			continue
		}
		rec, size, ok := r.parse(uint64(word))
		if !ok || r.stale(rec.Seq) {
			return Record{}, r.corrupt()
		}
		r.window = r.window[size:]
		r.position += size
		if lost, gap := r.account(rec.Seq); gap {
			r.pending, r.pendingEnd, r.hasPending = rec, r.position, true
			r.returned, r.lastSeq = r.position-size, rec.Seq-1
			return Record{}, &Overrun{Lost: lost}
		}
		return r.deliver(rec, r.position), nil
	}
	return Record{}, ErrIdle
}

// maxHops is how many blocks Next looks at: a lap, a pad and a few more laps.
const maxHops = 16

// deliver counts what is handed out.
func (r *Reader) deliver(rec Record, end uint64) Record {
	r.returned, r.lastSeq = end, rec.Seq
	r.stats.Events++
	r.stats.Bytes += RecordHeader + uint64(len(rec.Payload))
	if r.resumeAt != 0 {
		if Counter(rec.Seq) <= r.resumeAt {
			r.stats.Reread++
		} else {
			r.resumeAt = 0
		}
	}
	return rec
}

// parse cuts the record at the beginning of the window. The window ends at a
// record's end, so a length beyond it is damage.
func (r *Reader) parse(length uint64) (rec Record, size uint64, ok bool) {
	size = alignUp(length)
	if length < RecordHeader || length > MaxRecord || size > uint64(len(r.window)) {
		return rec, 0, false
	}
	b := r.window[:length:length]
	if recordCRC(b) != host.Uint32(b[offCRC:]) {
		return rec, 0, false
	}
	return Record{
		Type: host.Uint16(b[offType:]), Version: b[offVer], Flags: b[offFlags],
		Seq: host.Uint64(b[offSeq:]), TS: host.Uint64(b[offTS:]),
		Payload: b[RecordHeader:length:length],
	}, size, true
}

// stale reports whether an event is one that was returned long ago: a damaged
// tail led us to where it still lies.
func (r *Reader) stale(seq uint64) bool {
	return r.known && r.trusted && (Counter(seq)-r.expect)&counterMask > counterMask/2
}

// account compares a record's counter with the expected one. gap means that the
// loss is to be reported before the record.
func (r *Reader) account(seq uint64) (lost uint64, gap bool) {
	n := Counter(seq)
	lost = (n - r.expect) & counterMask
	// Less than expected is no loss: a restarted reader's saved counter may be ahead
	// of its saved position.
	if !r.known || lost > counterMask/2 || (!r.trusted && !r.gap) {
		lost = 0
	}
	gap = lost != 0 || r.gap && !r.known
	r.expect, r.known, r.trusted, r.gap = (n+1)&counterMask, true, true, false
	r.stats.Lost += lost
	return lost, gap
}

// fill copies what is published of the present block, and only then looks
// whether the producer had begun to overwrite it.
func (r *Reader) fill() error {
	capacity := r.mask + 1
	tail := r.hot.Load() // pairs with Producer.Publish
	ahead := tail - r.position
	if ahead == 0 || -ahead < BlockSize { // at the tail, or skipping the rest of its block
		return ErrIdle
	}
	if ahead > capacity {
		if int64(ahead) < 0 {
			return r.lostTail()
		}
		return r.lapped()
	}
	n := min(ahead, toBlockEnd(r.position)) &^ (align - 1)
	if n == 0 {
		return r.lostTail()
	}
	off := r.position & r.mask
	copy(r.buf[:n], r.data[off:off+n])
	loadFence(&r.fence)
	if r.intent.Load()-r.position > capacity { // pairs with Producer.advance
		return r.lapped()
	}
	r.window, r.tailLost = r.buf[:n], 0
	return nil
}

// patience is how often a reader meets a lost tail before it believes it.
const patience = 3

// lapped goes to the oldest block that is whole and will be for a while; the
// first record there tells how many were lost.
func (r *Reader) lapped() error {
	r.stats.Overruns++
	r.position = r.oldest()
	r.gap = true
	return nil
}

// oldest is a block boundary with at least a block between it and the producer.
func (r *Reader) oldest() uint64 {
	tail, intent := r.hot.Load(), r.intent.Load()
	if intent <= r.mask+1 && tail <= intent {
		return 0 // never lapped
	}
	pos := (intent-r.mask-1+BlockSize-1)&^(BlockSize-1) + BlockSize
	if tail-pos > r.mask+1 {
		return tail &^ (align - 1)
	}
	return pos
}

// lostTail is for a tail that went back: somebody wrote over the header, now or
// when we went where we are. The last event that was whole is still a good place
// to look from, and the producer's next publication repairs the tail. When that
// does not help, it is our position that is wrong.
func (r *Reader) lostTail() error {
	r.stats.Corrupt++
	r.position, r.gap = r.returned, true
	if r.tailLost++; r.tailLost > patience {
		r.position = r.oldest()
		r.returned, r.tailLost = r.position, 0
	}
	return &CorruptError{Position: r.position, Count: r.stats.Corrupt}
}

// corrupt skips the rest of a damaged block.
func (r *Reader) corrupt() error {
	r.stats.Corrupt++
	err := &CorruptError{Position: r.position, Count: r.stats.Corrupt}
	r.skipBlock()
	r.gap = true
	return err
}

func (r *Reader) skipBlock() {
	r.position += toBlockEnd(r.position)
	r.window = nil
}

// Position returns the position up to which records were returned.
func (r *Reader) Position() uint64 { return r.returned }

// Lag returns how many bytes are published and not returned; more than Capacity
// when the reader is lapped.
func (r *Reader) Lag() uint64 { return r.hot.Load() - r.returned }

// Capacity returns the bytes that the ring holds.
func (r *Reader) Capacity() uint64 { return r.mask + 1 }

// Resumed reports whether the reader went on where it was. If not, events are
// missing before the first: ask for a snapshot.
func (r *Reader) Resumed() bool { return r.resumed }

// Header returns the ring's static header.
func (r *Reader) Header() *layout.Header { return r.m.Header() }

// RingID returns the random word that tells this ring from others of its name.
func (r *Reader) RingID() uint64 { return r.m.Header().RingID }

// Stats returns the counters, those of earlier readers of the cursor included.
func (r *Reader) Stats() ReaderStats { return r.stats }
