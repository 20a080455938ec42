// Package hint remembers which name a client was told for an address, so that a
// flow whose bytes say nothing can be named by the DNS answer that led to it.
//
// Every worker writes one table, in a shared file of its own, and reads those of
// all workers: the answer may have come to another worker than the flow. Tables
// survive restarts. They are guesses, never proof, and hostile by origin: an entry
// is copied, then checked, then believed for its name only.
//
// Offline the answer must not depend on the number of workers. So a table carries
// the packet time its worker has passed; an answer's time is never before the last
// tick; a look-up for a flow waits until all workers have passed its first packet
// (Passed) and takes the newest answer not later than that.
//
// File, after the static header of shm/layout:
//
//	1024 u64 progress: packet time (ns) before which this table is complete
//	4096 entries of 192 bytes, in sets of 8:
//	   0 u32 sequence, odd while written      4 u32 CRC-32C of bytes 8..191
//	   8 [16] client, zero for any           24 [16] server
//	  40 u64 time of the answer, ns          48 u64 the same answer again, ns
//	  56 u8 kind  57 u8 name length  58 u16 port  60 u32 TTL in s    64 [128] name
//	then a u64 for each set: a byte of the hash for each of its entries, 0 for none
//
// Most look-ups find nothing, and these words say so without a look at the entries.
//
// A name that was told again is of the later time for all look-ups from then on, of
// the earlier one for those before: other workers may have written other names in
// between.
package hint

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"sync/atomic"
)

const (
	progressAt = 1024
	entriesAt  = 4096
	entrySize  = 192
	setSize    = 8
	maxName    = 128
)

// Kind says what an entry tells.
type Kind uint8

// Kinds of entries.
const (
	DNS      Kind = 1 // name is a host name that resolved to the server address
	Expected Kind = 2 // name is the protocol of a connection that was announced to that address and port
)

// FileSize returns the bytes of a table's file for n entries; n is rounded up to a
// power of two of at least 64.
func FileSize(n int) int64 { return entriesAt + int64(ceil(n))*(entrySize+1) }

func ceil(n int) int {
	if n <= 64 {
		return 64
	}
	return 1 << bits.Len(uint(n-1))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// table is the memory of one file.
type table struct {
	mem    []byte
	sets   uint64
	tagsAt int
}

func newTable(mem []byte) table {
	n := (len(mem) - entriesAt) / ((entrySize + 1) * setSize)
	if n < 1 {
		return table{}
	}
	sets := 1 << (bits.Len(uint(n)) - 1)
	return table{mem: mem, sets: uint64(sets), tagsAt: entriesAt + sets*setSize*entrySize}
}

// tags returns the word of a set.
func (t *table) tags(set uint64) *atomic.Uint64 { return word(t.mem, t.tagsAt+8*int(set)) }

func (t *table) entry(set uint64, i int) []byte {
	off := entriesAt + (int(set)*setSize+i)*entrySize
	return t.mem[off : off+entrySize : off+entrySize]
}

// place returns the set that an address and port belong to, and their byte in its
// word. All clients of an address share both, so that one look finds the client's
// entry and the common one.
func (t *table) place(server *[16]byte, port uint16) (set uint64, tag uint8) {
	a, b := binary.LittleEndian.Uint64(server[:8]), binary.LittleEndian.Uint64(server[8:])
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15^uint64(port)<<48, b^0xd1342543de82ef95)
	return (hi ^ lo) & (t.sets - 1), uint8((hi^lo)>>56) | 1
}

const eachByte = 0x0101010101010101

// having returns a bit, the highest of its byte, for each entry of a set that may
// have this tag: for all that have it, seldom for others.
func having(tags uint64, tag uint8) uint64 {
	x := tags ^ uint64(tag)*eachByte
	return (x - eachByte) &^ x & (eachByte << 7)
}

// Writer fills the table of one worker.
type Writer struct {
	t        table
	progress *atomic.Uint64
	clock    uint64
	// Stored, Confirmed, Evicted and TooLong count what Add did.
	Stored, Confirmed, Evicted, TooLong uint64
}

// NewWriter returns the writer of the table in mem, the bytes of its file.
func NewWriter(mem []byte) *Writer {
	w := &Writer{t: newTable(mem), progress: word(mem, progressAt)}
	if w.clock = w.progress.Load(); w.clock == math.MaxUint64 { // an earlier run, told to its end
		w.clock = 0
		w.progress.Store(0)
	}
	return w
}

// Pass says that everything before packet time ts is in the table; ts never falls.
func (w *Writer) Pass(ts uint64) {
	if ts > w.clock {
		w.clock = ts
		w.progress.Store(ts)
	}
}

// Passed returns the packet time that the table of this worker is complete up to.
func (w *Writer) Passed() uint64 { return w.progress.Load() }

// Add stores that client was told at time ts (ns) that server is name. The zero
// client stands for everybody.
func (w *Writer) Add(kind Kind, client, server *[16]byte, port uint16, name []byte, ts uint64, ttl uint32) {
	if w.t.sets == 0 || len(name) == 0 {
		return
	}
	if len(name) > maxName {
		w.TooLong++
		return
	}
	ts = max(ts, w.clock)
	set, tag := w.t.place(server, port)
	victim, oldest, at := 0, ^uint64(0), 0
	var newest []byte
	for i := range setSize {
		e := w.t.entry(set, i)
		if Kind(e[56]) == 0 {
			if oldest != 0 {
				victim, oldest = i, 0
			}
			continue
		}
		if matches(e, kind, client, server, port) && (newest == nil || timeOf(e) >= timeOf(newest)) {
			newest, at = e, i
		}
		if used := binary.LittleEndian.Uint64(e[48:]); used < oldest {
			victim, oldest = i, used
		}
	}
	if newest != nil && string(nameOf(newest)) == string(name) {
		w.Confirmed++
		w.mark(set, at, tag)
		w.write(newest, func(e []byte) { binary.LittleEndian.PutUint64(e[48:], ts) })
		return
	}
	if oldest != 0 {
		w.Evicted++
	}
	w.Stored++
	w.mark(set, victim, tag)
	w.write(w.t.entry(set, victim), func(e []byte) {
		clear(e[8:])
		copy(e[8:24], client[:])
		copy(e[24:40], server[:])
		binary.LittleEndian.PutUint64(e[40:], ts)
		binary.LittleEndian.PutUint64(e[48:], ts)
		e[56], e[57] = uint8(kind), uint8(len(name))
		binary.LittleEndian.PutUint16(e[58:], port)
		binary.LittleEndian.PutUint32(e[60:], ttl)
		copy(e[64:], name)
	})
}

// mark puts the tag of entry i into the word of its set. It goes before the entry:
// cut off in between, there is one that is looked at in vain.
func (w *Writer) mark(set uint64, i int, tag uint8) {
	word := w.t.tags(set)
	word.Store(word.Load()&^(0xff<<(8*i)) | uint64(tag)<<(8*i))
}

// write changes an entry under its sequence; pairs with Reader.load.
func (w *Writer) write(e []byte, change func([]byte)) {
	seq := word32(e, 0)
	s := seq.Load() | 1
	seq.Store(s)
	change(e)
	binary.LittleEndian.PutUint32(e[4:], crc32.Checksum(e[8:], castagnoli))
	seq.Store(s + 1)
}

func matches(e []byte, kind Kind, client, server *[16]byte, port uint16) bool {
	return about(e, kind, server, port) && clientOf(e) == *client
}

// about is matches for whichever client.
func about(e []byte, kind Kind, server *[16]byte, port uint16) bool {
	return Kind(e[56]) == kind && [16]byte(e[24:40]) == *server && binary.LittleEndian.Uint16(e[58:]) == port
}

func clientOf(e []byte) [16]byte { return [16]byte(e[8:24]) }

func timeOf(e []byte) uint64 { return binary.LittleEndian.Uint64(e[40:]) }

// toldBy returns when the entry was told last, as far as a look-up for time ts may
// know. Precondition: timeOf(e) <= ts.
func toldBy(e []byte, ts uint64) uint64 {
	if again := binary.LittleEndian.Uint64(e[48:]); again <= ts {
		return max(again, timeOf(e))
	}
	return timeOf(e)
}

func ttlOf(e []byte) uint64 { return uint64(binary.LittleEndian.Uint32(e[60:])) * 1e9 }

func nameOf(e []byte) []byte { return e[64 : 64+min(int(e[57]), maxName)] }

// Reader looks into the tables of all workers.
type Reader struct {
	tables   []table
	progress []*atomic.Uint64
	buf      [entrySize]byte
	own, any best
}

// best is the newest entry of a look-up so far.
type best struct {
	found bool
	at    uint64 // when it was told
	entry [entrySize]byte
}

// NewReader returns a reader of the tables in mems, one file of each worker.
func NewReader(mems [][]byte) *Reader {
	r := &Reader{}
	for _, m := range mems {
		if t := newTable(m); t.sets > 0 {
			r.tables = append(r.tables, t)
			r.progress = append(r.progress, word(m, progressAt))
		}
	}
	return r
}

// Passed reports whether every worker's table is complete past packet time ts.
func (r *Reader) Passed(ts uint64) bool {
	for _, p := range r.progress {
		if p.Load() <= ts {
			return false
		}
	}
	return true
}

// Name returns the name that client was told for server, not later than ts; when
// it asked for none, what others were told. Names outlive their TTL, because clients
// keep using addresses; announced connections do not. The name is valid until the
// next call.
func (r *Reader) Name(kind Kind, client, server *[16]byte, port uint16, ts uint64) (name []byte, own, ok bool) {
	r.own.found, r.any.found = false, false
	for i := range r.tables {
		r.find(&r.tables[i], kind, client, server, port, ts)
	}
	switch {
	case r.own.found:
		return nameOf(r.own.entry[:]), true, true
	case r.any.found:
		return nameOf(r.any.entry[:]), false, true
	}
	return nil, false, false
}

// find looks through one table.
func (r *Reader) find(t *table, kind Kind, client, server *[16]byte, port uint16, ts uint64) {
	set, tag := t.place(server, port)
	for m := having(t.tags(set).Load(), tag); m != 0; m &= m - 1 {
		e := t.entry(set, bits.TrailingZeros64(m)/8)
		if !about(e, kind, server, port) || !r.load(e) {
			continue
		}
		b := r.buf[:]
		if !about(b, kind, server, port) || timeOf(b) > ts || kind == Expected && ts-toldBy(b, ts) > ttlOf(b) {
			continue
		}
		switch c := clientOf(b); c {
		case *client:
			r.own.take(b, toldBy(b, ts))
		case [16]byte{}:
			r.any.take(b, toldBy(b, ts))
		}
	}
}

// take keeps an entry that is newer than what there is. Of two of the same time the
// one with the smaller name wins, whichever worker wrote it.
func (n *best) take(e []byte, at uint64) {
	if n.found && (at < n.at || at == n.at && string(nameOf(e)) >= string(nameOf(n.entry[:]))) {
		return
	}
	n.found, n.at, n.entry = true, at, [entrySize]byte(e)
}

// load copies an entry that may be changing under us; pairs with Writer.write. An
// entry that does not hold still for three tries is left out.
func (r *Reader) load(e []byte) bool {
	seq := word32(e, 0)
	for range 3 {
		s := seq.Load()
		if s&1 != 0 {
			continue
		}
		copy(r.buf[:], e)
		if seq.Load() == s && binary.LittleEndian.Uint32(r.buf[4:]) == crc32.Checksum(r.buf[8:], castagnoli) {
			return true
		}
	}
	return false
}
