// Package hashset is a set of 128-bit hashes in shared memory: one process adds and
// removes, others ask, without a lock and without waiting.
//
// It knows hashes, not flows. What is asked of it is a hint: a writer that dies, a
// full bucket or hostile bytes in the file make answers wrong, never a reader fail.
// A hash that was not added is found with probability 2^-61 for each time it is asked
// about, for the 64 bits that are stored with any of the 8 hashes of a bucket.
//
// A file is the header of package layout, magic "DPIRSET1", and buckets of one cache
// line: 8 words, each the high half of a hash, or 0 for none. The low half chooses the
// bucket. Bytes 128..135 are the owner's word: what the hashes are about, such as the
// id of a table; a set whose word is another's begins empty. Native byte order; part
// of the format, do not change.
//
//	static header: Params[0] buckets
package hashset

import (
	"fmt"
	"os"
	"sync/atomic"

	"weir/shm/layout"
)

const (
	magic = 0x3154455352495044 // "DPIRSET1"
	abi   = 1

	ways       = 8
	bucketSize = 8 * ways

	// Most buckets of a set: 8 GiB of address space are more than any table of flows.
	maxBuckets = 1 << 27
)

// set is what reader and writer share.
type set struct {
	m    *layout.Mapping
	mask uint64
}

// at returns word i of the bucket of hash lo. All bits of the hash are as good as random
// (flowkey.Hash); the lowest chose the worker.
func (s *set) at(lo uint64, i int) *atomic.Uint64 {
	return s.m.U64(layout.HeaderSize + int(lo>>16&s.mask)*bucketSize + 8*i)
}

// Has reports whether the hash was added, as far as that can be known.
func (s *set) Has(lo, hi uint64) bool {
	for i := range ways {
		if s.at(lo, i).Load() == hi && hi != 0 {
			return true
		}
	}
	return false
}

// Guard runs f and turns the loss of the set's memory into layout.ErrRingLost.
func (s *set) Guard(f func() error) error { return s.m.Guard(f) }

// Config is the set that a Writer wants.
type Config struct {
	Path    string
	Name    string // for display
	Entries int    // how many hashes it is for; a few more or less find room
	Tag     uint32 // another tag than the file's makes a new file
	Mode    os.FileMode
}

// Writer is the one process that changes a set. One goroutine owns it.
type Writer struct {
	set
	closed bool
}

// Create takes over the set at cfg.Path or makes it; About comes before any other use.
// The error is layout.ErrOwned when
// another process has it.
func Create(cfg Config) (*Writer, error) {
	buckets := bucketsFor(cfg.Entries)
	s := spec(buckets, cfg.Tag)
	s.Name, s.Mode = cfg.Name, cfg.Mode
	m, _, err := layout.CreateOrOpen(cfg.Path, s)
	if err != nil {
		return nil, fmt.Errorf("open hash set: %w", err)
	}
	w := &Writer{set: set{m, uint64(buckets - 1)}}
	if err := w.Guard(func() error { m.Owner().Claim(); return nil }); err != nil {
		_ = m.Close() // the first error says more
		return nil, fmt.Errorf("open hash set %s: %w", cfg.Path, err)
	}
	return w, nil
}

// bucketsFor returns how many buckets a set of n hashes has.
func bucketsFor(n int) int {
	buckets := 1
	for buckets*ways < n && buckets < maxBuckets {
		buckets *= 2
	}
	return buckets
}

// spec is the file of so many buckets. All of it is touched now.
func spec(buckets int, tag uint32) layout.Spec {
	return layout.Spec{
		Magic: magic, ABIMajor: abi, Size: layout.HeaderSize + int64(buckets)*bucketSize, Tag: tag,
		Params: [4]uint64{uint64(buckets)}, Populate: true,
	}
}

// About says what the hashes are about, by a word such as the id of a table. Those about
// something else go.
func (w *Writer) About(word uint64) {
	if about := w.m.U64(layout.OffHot); about.Load() != word {
		w.Clear()
		about.Store(word)
	}
}

// Add adds a hash. It reports false when its bucket is full, or for the one hash in
// 2^64 whose high half is 0.
func (w *Writer) Add(lo, hi uint64) bool {
	if hi == 0 {
		return false
	}
	free := -1
	for i := range ways {
		switch w.at(lo, i).Load() {
		case hi:
			return true
		case 0:
			free = i
		}
	}
	if free < 0 {
		return false
	}
	w.at(lo, free).Store(hi)
	return true
}

// Remove takes a hash out, if it is there.
func (w *Writer) Remove(lo, hi uint64) {
	for i := range ways {
		if e := w.at(lo, i); e.Load() == hi && hi != 0 {
			e.Store(0)
		}
	}
}

// Clear takes all hashes out.
func (w *Writer) Clear() {
	for b := range w.mask + 1 {
		for i := range ways {
			w.at(b<<16, i).Store(0)
		}
	}
}

// Beat says that the owner lives. Not for the packet path.
func (w *Writer) Beat() { w.m.Owner().Beat() }

// Close leaves the set as it is: readers go on with it. Idempotent.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	_ = w.Guard(func() error { w.m.Owner().SetState(layout.StateClosed); return nil }) // lost memory has no state
	return w.m.Close()
}

// Reader asks a set. One goroutine owns it.
type Reader struct{ set }

// Open maps the set at path, which is to be for so many hashes: all of it is mapped, and
// who made it may be hostile. Errors: layout.ErrAwait when it is not there yet,
// layout.ErrGeometry when it is of another size, or made for another tag.
func Open(path string, entries int, tag uint32) (*Reader, error) {
	buckets := bucketsFor(entries)
	m, err := layout.OpenRO(path, spec(buckets, tag))
	if err != nil {
		return nil, fmt.Errorf("open hash set: %w", err)
	}
	return &Reader{set{m, uint64(buckets - 1)}}, nil
}

// Replaced reports whether another file has the set's name, or none.
func (r *Reader) Replaced() bool { return r.m.Replaced() }

// Map returns the set's memory, for a guard that covers more.
func (r *Reader) Map() *layout.Mapping { return r.m }

// Close unmaps the set.
func (r *Reader) Close() error { return r.m.Close() }
