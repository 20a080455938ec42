package place

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"

	"weir/proto/network"
)

// Book is the newest Map of an instance.
type Book struct {
	*Map
	local []netip.Prefix
	path  string // "" = the configuration alone
	log   *slog.Logger
	seen  fs.FileInfo // of the file that was read, or tried, last
}

// Open returns the book of the networks that the configuration calls ours, nil for
// the private ones, and of the file at path, "" for none. The file may come later.
func Open(local []netip.Prefix, path string, log *slog.Logger) *Book {
	b := &Book{Map: New(local, nil), local: local, path: path, log: log}
	b.Refresh()
	return b
}

// Refresh reads the file again if it is another one. A file that cannot be read
// leaves what was known.
func (b *Book) Refresh() {
	if b.path == "" {
		return
	}
	st, err := os.Stat(b.path)
	if err != nil || b.seen != nil && os.SameFile(st, b.seen) && st.ModTime().Equal(b.seen.ModTime()) {
		return
	}
	v, err := network.Load(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	b.seen = st // a broken one is not told of again
	if err != nil {
		b.log.Warn("what is local is known from before only", "error", err)
		return
	}
	b.Map = New(b.local, v)
}
