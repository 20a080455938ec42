// Package stat is the counter file of one process: named 64-bit words that anyone
// may read without a protocol, also from a copy of the directory.
//
// It is not a ring and has no history. One process owns the file and stores words
// atomically; it keeps its true counters elsewhere and copies them here now and
// then, never once per packet.
//
//	file: 4096 header (shm/layout) | 4096 names, each ended by NUL | u64 words
//
// Part of the format, do not change; new names are added at the end.
package stat

import (
	"bytes"
	"fmt"
	"os"

	"weir/shm/layout"
)

// Magic is "DPISTAT1" as a host-order word.
const Magic = 0x3154415453495044

const (
	namesAt = layout.HeaderSize
	wordsAt = 2 * layout.HeaderSize
)

// File is a counter file.
type File struct {
	m     *layout.Mapping
	names []string
}

// Create takes over or makes the file at path with one word per name.
func Create(path string, names []string, mode os.FileMode) (*File, error) {
	var list []byte
	for _, n := range names {
		list = append(append(list, n...), 0)
	}
	if len(list) > wordsAt-namesAt {
		return nil, fmt.Errorf("counter file %s: names take %d bytes, at most %d", path, len(list), wordsAt-namesAt)
	}
	m, _, err := layout.CreateOrOpen(path, layout.Spec{
		Magic: Magic, ABIMajor: layout.ABIMajor, ABIMinor: layout.ABIMinor, Mode: mode,
		Size: wordsAt + 8*int64(len(names)), Params: [4]uint64{uint64(len(names))}, Tag: layout.CRC(0, list),
	})
	if err != nil {
		return nil, fmt.Errorf("counter file: %w", err)
	}
	copy(m.Bytes()[namesAt:], list)
	return &File{m: m, names: names}, nil
}

// Open maps the file at path for reading.
func Open(path string) (*File, error) {
	m, err := layout.OpenRO(path, layout.Spec{Magic: Magic, ABIMajor: layout.ABIMajor})
	if err != nil {
		return nil, fmt.Errorf("counter file: %w", err)
	}
	n := m.Header().Params[0]
	if size := uint64(len(m.Bytes())); size < wordsAt || n > (size-wordsAt)/8 {
		_ = m.Close()
		return nil, fmt.Errorf("counter file %s: %w: %d words in %d bytes", path, layout.ErrGeometry, n, size)
	}
	f := &File{m: m}
	for rest := m.Bytes()[namesAt:wordsAt]; uint64(len(f.names)) < n; {
		name, after, ok := bytes.Cut(rest, []byte{0})
		if !ok || len(name) == 0 {
			_ = m.Close()
			return nil, fmt.Errorf("counter file %s: %w: %d names for %d words", path, layout.ErrCorrupt, len(f.names), n)
		}
		f.names, rest = append(f.names, string(name)), after
	}
	return f, nil
}

// Names returns the names of the words, in order.
func (f *File) Names() []string { return f.names }

// Set stores word i.
func (f *File) Set(i int, v uint64) { f.m.U64(wordsAt + 8*i).Store(v) }

// Get returns word i.
func (f *File) Get(i int) uint64 { return f.m.U64(wordsAt + 8*i).Load() }

// Mapping returns the file itself: its owner line tells who writes it.
func (f *File) Mapping() *layout.Mapping { return f.m }

// Close unmaps the file, which stays.
func (f *File) Close() error { return f.m.Close() }
