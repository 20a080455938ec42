package source

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// File is a capture file: classic pcap or pcapng, packed with gzip or not. What
// it is is told by its bytes, never by its name.
type File struct {
	Source // the reader of the format

	name   string
	closer io.Closer
	size   int64
	read   atomic.Int64 // of the file itself; a progress display reads it
	list   func() []Interface
}

// Open opens the capture file path.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = errors.New("is a directory")
	}
	if err != nil {
		_ = f.Close() // opened for reading: nothing to lose
		return nil, fmt.Errorf("read capture %s: %w", path, err)
	}
	out, err := New(path, f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	out.closer, out.size = f, st.Size()
	return out, nil
}

// New reads a capture from r, which may be a pipe. The name is for messages.
func New(name string, r io.Reader) (*File, error) {
	f := &File{name: name}
	b := newBlocks(&counter{r: r, n: &f.read})
	unpacked := false
	if b.want(2) && binary.BigEndian.Uint16(b.peek()) == 0x1f8b {
		z, err := gzip.NewReader(bufio.NewReader(&rest{b}))
		if err != nil {
			return nil, &Error{Name: name, Err: unpackError(err)}
		}
		b, unpacked = newBlocks(&unpacker{z}), true
	}
	return f, f.detect(b, unpacked)
}

// detect looks at the first four bytes and picks the reader.
func (f *File) detect(b *blocks, unpacked bool) error {
	if !b.want(4) {
		err := b.short()
		if len(b.peek()) == 0 && errors.Is(b.err, io.EOF) {
			err = ErrEmpty
		} else if errors.Is(err, ErrTruncated) {
			err = fmt.Errorf("%w: %d bytes", ErrFormat, len(b.peek()))
		}
		return &Error{Name: f.name, Unpacked: unpacked, Err: err}
	}
	magic := binary.LittleEndian.Uint32(b.peek())
	big := false
	switch swap32(magic) {
	case magicMicro, magicNano, magicModified:
		magic, big = swap32(magic), true
	}
	switch magic {
	case magicMicro, magicNano, magicModified:
		p, err := openPcap(f.name, b, magic, big, unpacked)
		if err != nil {
			return err
		}
		f.Source, f.list = p, p.interfaces
	case blockSection:
		p, err := openPcapng(f.name, b, unpacked)
		if err != nil {
			return err
		}
		f.Source, f.list = p, p.interfaces
	default:
		return &Error{Name: f.name, Unpacked: unpacked,
			Err: fmt.Errorf("%w: it starts with % x", ErrFormat, b.peek()[:4])}
	}
	return nil
}

// Interfaces returns the interfaces met so far, in the order of Frame.If. In
// pcapng more may follow.
func (f *File) Interfaces() []Interface { return f.list() }

// Name returns the name that the file was opened with.
func (f *File) Name() string { return f.name }

// Progress returns how many bytes of the file were read, and its size, 0 when
// unknown. It may be called while another goroutine is in Next.
func (f *File) Progress() (read, size int64) { return f.read.Load(), f.size }

// Close closes the file. Frames are dead after it.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	c := f.closer
	f.closer = nil
	return c.Close()
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// rest gives what blocks has read already, then what follows.
type rest struct{ b *blocks }

func (r *rest) Read(b []byte) (int, error) {
	if !r.b.want(1) {
		return 0, r.b.err
	}
	n := copy(b, r.b.peek())
	r.b.take(n)
	return n, nil
}

// unpacker gives the errors of gzip the words of this package.
type unpacker struct{ z *gzip.Reader }

func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.z.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unpackError(err)
	}
	return n, err
}

func unpackError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("gzip: %w", ErrTruncated)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("gzip: %w", err)
}
