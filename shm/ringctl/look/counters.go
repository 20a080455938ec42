package look

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"weir/shm/layout"
	"weir/shm/stat"
)

// Counters are the named words of one process.
type Counters struct {
	Name, Path string
	Names      []string
	Values     []uint64
	Header     layout.Header
	Alive      bool
}

// Get returns the counter called name, 0 when there is none.
func (c *Counters) Get(name string) uint64 {
	v, _ := c.Find(name)
	return v
}

// Find returns the counter called name and whether there is one.
func (c *Counters) Find(name string) (uint64, bool) {
	if c == nil {
		return 0, false
	}
	for i, n := range c.Names {
		if n == name {
			return c.Values[i], true
		}
	}
	return 0, false
}

// settles is how often counters are read again until two readings agree: their
// owner writes them one by one.
const settles = 5

func (in *Instance) counters(name string) {
	c := &Counters{Name: name, Path: in.Root.Stat(name)}
	f, err := stat.Open(c.Path)
	if err != nil {
		in.problem(name+" counters", c.Path, err)
		return
	}
	defer func() { _ = f.Close() }()
	c.Names, c.Header, c.Alive = f.Names(), *f.Mapping().Header(), f.Mapping().Locked()
	c.Values = make([]uint64, len(c.Names))
	err = f.Mapping().Guard(func() error {
		for range settles {
			same := true
			for i := range c.Values {
				v := f.Get(i)
				same = same && v == c.Values[i]
				c.Values[i] = v
			}
			if same {
				break
			}
		}
		return nil
	})
	if err != nil {
		in.problem(name+" counters", c.Path, err)
		return
	}
	in.Counters = append(in.Counters, c)
}

// Other is a file of which only the header is known here.
type Other struct {
	Name   string // below the root
	Path   string
	Size   int64
	Header layout.Header
	Alive  bool
}

// others looks at the headers of slabs and tables.
func (in *Instance) others() {
	for _, folder := range []string{"flow", "hint", "final"} {
		for _, file := range in.names(folder, "") {
			if strings.Contains(file, ".tmp.") {
				continue
			}
			o := &Other{Name: folder + "/" + file, Path: in.path(folder, file)}
			if err := o.read(); err != nil {
				in.problem(o.Name, o.Path, err)
				continue
			}
			in.Others = append(in.Others, o)
		}
	}
	stale, _ := filepath.Glob(filepath.Join(string(in.Root), "*", "*.tmp.*"))
	for _, path := range stale {
		if !layout.Locked(path) {
			in.Stale = append(in.Stale, path)
		}
	}
}

func (o *Other) read() error {
	f, err := os.OpenFile(o.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return &layout.AttachError{Path: o.Path, Err: layout.ErrCorrupt}
	}
	var b [layout.StaticSize]byte
	n, _ := f.ReadAt(b[:], 0) // a short file fails the check
	// Magic and version are those that it says: what it is for is its owner's business.
	s := layout.Spec{Magic: binary.NativeEndian.Uint64(b[:]), ABIMajor: binary.NativeEndian.Uint16(b[8:])}
	if s.Magic == 0 {
		return &layout.AttachError{Path: o.Path, Err: layout.ErrAwait}
	}
	o.Size, o.Alive = fi.Size(), layout.Locked(o.Path)
	o.Header, err = s.Check(o.Path, b[:n], fi.Size())
	return err
}

func inode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
