package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	mmap "github.com/edsrzf/mmap-go"
)

// Mapping is a file of ours in memory. The file stays open as long as the
// mapping: an owner's lock hangs on it, and a reader asks it who is alive.
//
// Slices and words taken from a Mapping die with Close; nothing keeps the memory
// alive. After ErrRingLost call Abandon instead, and slices stay harmless.
type Mapping struct {
	path   string
	f      *os.File // nil for heap memory
	mem    mmap.MMap
	b      []byte
	header Header
	owner  int // offset of the owner line
	rw     bool
}

// Create makes the file at path, which must not exist, maps it for writing and
// takes the owner's lock. Everything is in place before the name appears; when
// the file system is full it fails here, not later with SIGBUS.
func Create(path string, s Spec) (*Mapping, error) {
	return create(path, s, false)
}

// OpenRW maps an existing file for writing and takes the owner's lock. ErrOwned
// means another process has it.
func OpenRW(path string, s Spec) (*Mapping, error) {
	f, err := open(path, os.O_RDWR)
	if err != nil {
		return nil, openError(path, err)
	}
	m, err := openOwned(f, path, s)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return m, nil
}

// openOwned locks, checks and maps f.
func openOwned(f *os.File, path string, s Spec) (*Mapping, error) {
	if err := lockOwner(f); err != nil {
		return nil, ownedError(f, path, s, err)
	}
	// Between open and lock a former owner may have renamed another file here.
	if !samePath(f, path) {
		return nil, &AttachError{Path: path, Err: ErrAwait}
	}
	return attach(f, path, s, true)
}

// OpenRO maps an existing file read-only.
func OpenRO(path string, s Spec) (*Mapping, error) {
	f, err := open(path, os.O_RDONLY)
	if err != nil {
		return nil, openError(path, err)
	}
	m, err := attach(f, path, s, false)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return m, nil
}

// CreateOrOpen is how an owner comes by its file: it takes over the one it finds
// (fresh false), or makes a new one (fresh true). A file of another geometry,
// tag, ring id or version, or with a damaged header, is marked retired and
// replaced: whoever still has it mapped keeps its contents.
func CreateOrOpen(path string, s Spec) (m *Mapping, fresh bool, err error) {
	const tries = 8 // each lost race means that another process made progress
	for range tries {
		m, err = OpenRW(path, s)
		switch {
		case err == nil:
			return m, false, nil
		case errors.Is(err, fs.ErrNotExist):
			m, err = create(path, s, false)
			if dir := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && !isDir(dir) {
				return nil, false, fmt.Errorf("create %s: there is no directory %s: %w", path, dir, fs.ErrNotExist)
			}
		case errors.Is(err, ErrABI), errors.Is(err, ErrGeometry), errors.Is(err, ErrCorrupt), errors.Is(err, ErrAwait):
			m, err = supersede(path, s)
		default:
			return nil, false, err
		}
		if err == nil {
			return m, true, nil
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("create %s: another process keeps replacing it: %w", path, err)
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// Replace builds a new file for an owner whose present one is unusable, renames
// it over the old name and marks the old file retired. m is closed only when
// that worked.
func (m *Mapping) Replace(s Spec) (*Mapping, error) {
	n, err := create(m.path, s, true)
	if err != nil {
		return nil, err
	}
	m.retire()
	_ = m.Close()
	return n, nil
}

// supersede replaces an existing file that failed its checks. The lock on the
// old file keeps a second owner from doing the same.
func supersede(path string, s Spec) (*Mapping, error) {
	f, err := open(path, os.O_RDWR)
	if err != nil {
		return nil, openError(path, err)
	}
	defer func() { _ = f.Close() }()
	if err := lockOwner(f); err != nil {
		return nil, ownedError(f, path, s, err)
	}
	if !samePath(f, path) {
		return nil, fmt.Errorf("replace %s: %w", path, fs.ErrExist)
	}
	m, err := create(path, s, true)
	if err != nil {
		return nil, err
	}
	retireFile(f, s)
	return m, nil
}

// retireFile marks a file we cannot use as retired, if it is at least one of ours.
func retireFile(f *os.File, s Spec) {
	var b [StaticSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil || host.Uint64(b[:]) != s.Magic {
		return
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() < HeaderSize {
		return
	}
	mem, err := mmap.MapRegion(f, HeaderSize, mmap.RDWR, 0, 0)
	if err != nil {
		return
	}
	old := &Mapping{b: mem, owner: s.ownerLine(), rw: true}
	// Nobody else writes the file, but somebody might still truncate it.
	_ = old.Guard(func() error { old.retire(); return nil })
	_ = mem.Unmap()
}

func (m *Mapping) retire() {
	m.Owner().SetState(StateRetired)
	// Sleepers on the hot word look at the state when they wake.
	FutexWake(LowHalf(m.U64(OffHot)))
}

// attach checks f's header and maps it.
func attach(f *os.File, path string, s Spec, rw bool) (*Mapping, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, &AttachError{Path: path, Err: ErrCorrupt}
	}
	if s.CheckUID && fileUID(fi) != s.UID {
		return nil, &AttachError{Path: path, Want: uint64(s.UID), Got: uint64(fileUID(fi)), Err: ErrForeign}
	}
	// Read, not mapped: a truncated file is a short read here, not a fault.
	var b [StaticSize]byte
	n, _ := f.ReadAt(b[:], 0)
	h, err := s.Check(path, b[:n], fi.Size())
	if err != nil {
		return nil, err
	}
	m := &Mapping{path: path, f: f, header: h, owner: s.ownerLine(), rw: rw}
	if err := m.mapFile(fi.Size(), s.Populate); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mapping) mapFile(size int64, populate bool) error {
	if int64(int(size)) != size {
		return &AttachError{Path: m.path, Want: 1 << 31, Got: uint64(size), Err: ErrGeometry}
	}
	prot := mmap.RDONLY
	if m.rw {
		prot = mmap.RDWR
	}
	mem, err := mmap.MapRegion(m.f, int(size), prot, 0, 0)
	if err != nil {
		return fmt.Errorf("map %s (%d bytes): %w", m.path, size, err)
	}
	m.mem, m.b = mem, mem
	if !populate {
		return nil
	}
	if err := m.Guard(func() error { return populatePages(m.b, m.rw) }); err != nil {
		_ = mem.Unmap()
		return fmt.Errorf("populate %s: %w", m.path, err)
	}
	return nil
}

// Path returns the name the file was opened by.
func (m *Mapping) Path() string { return m.path }

// Bytes returns the whole mapping. It is read-only for everyone but the owner:
// a write to it faults.
func (m *Mapping) Bytes() []byte { return m.b }

// Header returns the private copy of the static header.
func (m *Mapping) Header() *Header { return &m.header }

// Close unmaps the memory and closes the file, which drops an owner's lock. The
// file itself stays. Idempotent.
func (m *Mapping) Close() error {
	var err error
	if m.mem != nil {
		err = m.mem.Unmap()
		m.b = nil
	}
	m.Abandon()
	return err
}

// Abandon closes the file and leaves the memory mapped for ever, because slices
// may still point into it.
func (m *Mapping) Abandon() {
	m.mem = nil
	if m.f != nil {
		_ = m.f.Close()
		m.f = nil
	}
}

// Replaced reports whether the path now names another file or none.
func (m *Mapping) Replaced() bool { return m.f != nil && !samePath(m.f, m.path) }

// Whole reports whether the file still has the bytes that are mapped. An owner
// asks now and then: what is beyond the end of a truncated file is lost.
func (m *Mapping) Whole() bool {
	if m.f == nil {
		return true
	}
	fi, err := m.f.Stat()
	return err == nil && fi.Size() >= int64(len(m.b))
}

// Locked reports whether a process other than the holder of this mapping has the
// owner's lock: that is, whether the owner lives.
func (m *Mapping) Locked() bool { return m.f != nil && lockedByOther(m.f) }

// Locked reports whether the file at path has a living owner.
func Locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return lockedByOther(f)
}

// NewHeap returns heap memory that looks like a fresh file, for tests under the
// race detector, which does not see mapped memory.
func NewHeap(s Spec) *Mapping {
	if s.RingID == 0 {
		s.RingID = randomID()
	}
	m := &Mapping{path: "heap", b: heapBytes(int(s.Size)), owner: s.ownerLine(), rw: true}
	s.encode(m.b, 0)
	host.PutUint64(m.b, s.Magic)
	m.header = decode(m.b)
	return m
}

func (s *Spec) ownerLine() int {
	if s.OwnerLine == 0 {
		return OffOwner
	}
	return s.OwnerLine
}

func openError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &awaitError{AttachError{Path: path, Err: ErrAwait}, err}
	}
	return fmt.Errorf("attach: %w", err)
}

// awaitError is ErrAwait for a file that does not exist, and says so to errors.Is.
type awaitError struct {
	AttachError
	cause error
}

func (e *awaitError) Unwrap() []error { return []error{&e.AttachError, e.cause} }

// ownedError turns a refused lock into ErrOwned with the owner's process id,
// which is for display only.
func ownedError(f *os.File, path string, s Spec, err error) error {
	if !errors.Is(err, ErrOwned) {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	var b [4]byte
	_, _ = f.ReadAt(b[:], int64(s.ownerLine()+ownerPID))
	return &AttachError{Path: path, Got: uint64(host.Uint32(b[:])), Err: ErrOwned}
}
