// Package catalog answers which application and category a host name, an
// address or a TLS fingerprint belongs to.
//
// A Catalog is a compiled file, mapped read-only: all workers on a machine
// share one copy of it through the page cache, and opening it reads it once
// for its checksum and builds nothing but the table of application names.
// Look-ups neither allocate nor lock and may run in any number of goroutines.
// The file is data from disk and treated as hostile: whatever its bytes are,
// a look-up stays inside them and ends.
//
// Compile makes such a file from the curated text files in data, from the
// user's own applications and from lists of names in the community format.
// It is not part of a worker's run: a worker opens what was compiled before.
//
// The catalogue says what a name means. It does not say how sure that is, and
// it knows no flows: how a name was learned is the caller's business.
package catalog

import (
	"fmt"
	"os"

	"github.com/edsrzf/mmap-go"

	"weir/dpid/catalog/internal/format"
	"weir/proto/ids"
)

// Errors that Open and Parse wrap.
var (
	// ErrNotCatalog means the file does not begin like a compiled catalogue.
	ErrNotCatalog = format.ErrNotCatalog

	// ErrVersion means the file was compiled by an incompatible version.
	ErrVersion = format.ErrVersion

	// ErrCorrupt means sizes, offsets or checksums in the file do not fit.
	ErrCorrupt = format.ErrCorrupt
)

// AppID is the stable id of an application; 0 is none. User applications have
// ids from ids.FirstUserApp on, made from the name: they too stay the same.
type AppID = ids.Application

// CategoryID is the stable id of a category; 0 is none. Those that only the
// user's input names have ids from ids.FirstUserCat on, made from the name.
type CategoryID = ids.Category

// ListSet is a set of user lists: bit i is list i of the compilation.
type ListSet uint64

// Catalog is an open compiled catalogue.
type Catalog struct {
	file  mmap.MMap // nil when parsed from memory
	bytes int
	seed  uint64

	lines    uint32
	maxProbe uint32
	single   bool   // there are entries of one label
	bits     uint32 // of the filter
	filter   []byte // these alias the file
	names    []byte
	wilds    []byte
	values   []byte
	nets     []byte
	v4, v6   []byte
	ja4      []byte

	text       string // the Strings section, copied: outlives Close
	apps       []app
	categories []category
	lists      []list
	patterns   []pattern
}

// Open maps a compiled catalogue and checks it whole, checksums included.
// Whoever replaces the file must rename a new one over it, as the compile
// command does; truncating a mapped file would fault its readers.
func Open(path string) (*Catalog, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	defer func() { _ = f.Close() }() // the mapping stays
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() < format.HeaderSize {
		return nil, fmt.Errorf("open catalogue %s: %w", path, ErrNotCatalog)
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("map catalogue %s: %w", path, err)
	}
	c, err := Parse(m)
	if err != nil {
		_ = m.Unmap()
		return nil, fmt.Errorf("open catalogue %s: %w", path, err)
	}
	c.file = m
	return c, nil
}

// Parse reads a compiled catalogue from memory. b must not change afterwards.
func Parse(b []byte) (*Catalog, error) {
	hd, secs, err := format.Parse(b)
	if err != nil {
		return nil, err
	}
	c := &Catalog{
		bytes:    len(b),
		seed:     hd.Seed,
		maxProbe: hd.MaxProbe,
		single:   hd.Single,
		lines:    uint32(len(secs[format.Names]) / format.LineSize),
		bits:     uint32(len(secs[format.Filter]) * 8),
		filter:   secs[format.Filter],
		names:    secs[format.Names],
		wilds:    secs[format.Wilds],
		values:   secs[format.Values],
		nets:     secs[format.Nets],
		v4:       secs[format.V4],
		v6:       secs[format.V6],
		ja4:      secs[format.JA4],
		text:     string(secs[format.Strings]),
	}
	if err := c.loadTables(&secs); err != nil {
		return nil, err
	}
	if err := c.loadPatterns(secs[format.Patterns]); err != nil {
		return nil, err
	}
	return c, nil
}

// Close unmaps the file. No look-up may run or follow; strings that the
// Catalog gave out stay valid. Closing twice is fine.
func (c *Catalog) Close() error {
	m := c.file
	*c = Catalog{}
	if m == nil {
		return nil
	}
	if err := m.Unmap(); err != nil {
		return fmt.Errorf("unmap catalogue: %w", err)
	}
	return nil
}
