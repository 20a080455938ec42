package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// open does not hang when the path names a pipe.
func open(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
}

// create builds the file under a temporary name and gives it its own when it is
// complete. Without replace an existing file is left alone (fs.ErrExist).
func create(path string, s Spec, replace bool) (*Mapping, error) {
	if s.Size < HeaderSize {
		return nil, fmt.Errorf("create %s: %d bytes, less than a header: %w", path, s.Size, ErrGeometry)
	}
	if s.Mode == 0 {
		s.Mode = 0o640
	}
	if s.RingID == 0 {
		s.RingID = randomID()
	}
	removeStale(path)
	tmp := fmt.Sprintf("%s.tmp.%d.%x", path, os.Getpid(), randomID()&0xffffff)
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	m, err := build(f, path, s)
	if err == nil {
		err = publish(f, tmp, path, s.Mode, replace)
	}
	if err != nil {
		if m != nil {
			_ = m.Close()
		}
		_ = f.Close()
		_ = os.Remove(tmp)
		return nil, fmt.Errorf("create %s (%d bytes): %w", path, s.Size, err)
	}
	return m, nil
}

// build fills f: memory, lock, header, magic last.
func build(f *os.File, path string, s Spec) (*Mapping, error) {
	if err := lockOwner(f); err != nil {
		return nil, err
	}
	// Not ftruncate, unless asked for: that succeeds on a full tmpfs and faults at
	// the first write.
	reserve := allocate
	if s.Sparse {
		reserve = (*os.File).Truncate
	}
	if err := reserve(f, s.Size); err != nil {
		return nil, err
	}
	m := &Mapping{path: path, f: f, owner: s.ownerLine(), rw: true}
	if err := m.mapFile(s.Size, s.Populate); err != nil {
		return nil, err
	}
	s.encode(m.b, uint64(time.Now().UnixNano()))
	m.U64(0).Store(s.Magic)
	m.header = decode(m.b)
	return m, nil
}

func publish(f *os.File, tmp, path string, mode os.FileMode, replace bool) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if replace {
		return os.Rename(tmp, path)
	}
	err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// File systems without RENAME_NOREPLACE: a link is as atomic.
	if err := os.Link(tmp, path); err != nil {
		return err
	}
	return os.Remove(tmp)
}

// allocate reserves all of the file's memory.
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("allocate: %w", err)
		}
		return nil
	}
}

// removeStale deletes what owners killed in the middle of create left behind.
func removeStale(path string) {
	names, _ := filepath.Glob(globQuote(path) + ".tmp.*")
	for _, n := range names {
		if !Locked(n) && !recent(n) {
			_ = os.Remove(n)
		}
	}
}

// recent spares a file that another process may be about to lock.
func recent(name string) bool {
	fi, err := os.Stat(name)
	return err != nil || time.Since(fi.ModTime()) < time.Second
}

func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// lockOwner takes the write lock that says "I am the one writer". Not a POSIX
// lock: those vanish when any descriptor of the file is closed in the process.
func lockOwner(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrOwned
	}
	return err
}

// lockedByOther works on a read-only descriptor too.
func lockedByOther(f *os.File) bool {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk)
	return err == nil && lk.Type != unix.F_UNLCK
}

func samePath(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func fileUID(fi fs.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// populatePages faults all pages in. Kernels before 5.14 have no advice for it.
func populatePages(b []byte, write bool) error {
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	for {
		err := unix.Madvise(b, advice)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.EINVAL):
			touch(b)
			return nil
		}
		return err
	}
}

// touch reads one byte a page; an owner's later writes to a shared file mapping
// then find the page present.
func touch(b []byte) {
	var sum byte
	for i := 0; i < len(b); i += os.Getpagesize() {
		sum ^= b[i]
	}
	runtime.KeepAlive(sum) // or the reads would be optimised away
}
