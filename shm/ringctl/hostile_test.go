package main

import (
	"encoding/binary"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lookers are the commands that read, without those that wait.
var lookers = []string{
	"status -w 0s", "status -json -w 0s", "ls", "ls -json", "lag -w 0s", "info c00-w00", "info c00-w01 -json", "info w00", "info w01",
	"info policyd.w00", "info capd", "info w00 -json", "tail w00", "tail w01 -json", "dump c00-w00", "dump c00-w01 -unread -json", "dump c00-w01 -pcapng -",
	"check -v", "check -json",
}

// readAll runs all of them; none may panic or say that it was called wrongly. It
// returns the status of check.
func readAll(t testing.TB, dir string) (status int) {
	t.Helper()
	for _, line := range lookers {
		_, errs, got := ringctl(t, append([]string{"-root", dir}, strings.Fields(line)...)...)
		if got == exitUsage {
			t.Fatalf("ringctl %s: status %d, %s", line, got, errs)
		}
		status = got
	}
	return status
}

func copied(t *testing.T, template string) string {
	dir := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(dir, os.DirFS(template)))
	return dir
}

func filesOf(t testing.TB, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestGarbage fills every file with random bytes, of its own length and of others.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		dir, r := frozen(t), rand.NewChaCha8([32]byte{byte(seed)})
		for _, path := range filesOf(t, dir) {
			fi, err := os.Stat(path)
			must(t, err)
			b := make([]byte, [...]int64{fi.Size(), 0, 1, 127, 4096, 8192}[seed])
			_, _ = r.Read(b) // never fails
			must(t, os.WriteFile(path, b, 0o600))
		}
		if status := readAll(t, dir); status != exitBroken {
			t.Errorf("seed %d: check ends with %d, want %d", seed, status, exitBroken)
		}
	}
}

// TestStrangeFiles has things in the place of files that are none.
func TestStrangeFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(path string) error
	}{
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }},
		{"link to itself", func(p string) error { return os.Symlink(p, p) }},
		{"link to nothing", func(p string) error { return os.Symlink(p+".none", p) }},
		{"device", func(p string) error { return os.Symlink("/dev/zero", p) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := frozen(t)
			for _, path := range filesOf(t, dir) {
				must(t, os.Remove(path), tt.make(path))
			}
			if status := readAll(t, dir); status != exitBroken {
				t.Errorf("check ends with %d, want %d", status, exitBroken)
			}
		})
	}
}

// FuzzFiles changes some bytes of one file, with a header that fits them or not.
func FuzzFiles(f *testing.F) {
	for i := range uint8(12) {
		f.Add(i, uint32(128), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), false)
		f.Add(i, uint32(24), []byte("\x00\x00\x01\x00\x00\x00\x00\x00\x10"), true)
		f.Add(i, uint32(4096), []byte("\x10\x00\x00\x80\x01\x00"), false)
		f.Add(i, uint32(384), []byte{255, 255, 255, 255, 255, 255, 255, 255}, false)
	}
	template := frozen(f)
	f.Fuzz(func(t *testing.T, file uint8, off uint32, change []byte, fits bool) {
		dir := copied(t, template)
		paths := filesOf(t, dir)
		path := paths[int(file)%len(paths)]
		must(t, edit(path, func(b []byte) {
			if len(b) == 0 {
				return
			}
			copy(b[int(off)%len(b):], change)
			if fits && len(b) >= 128 {
				seal(b)
			}
		}))
		readAll(t, dir)
	})
}

// FuzzBoth changes a ring and its cursor at their words, where it hurts most.
func FuzzBoth(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), true)
	f.Add(uint64(1<<63), uint64(1<<63+5), uint64(1), false)
	f.Add(^uint64(0), uint64(3), ^uint64(0), true)
	template := frozen(f)
	f.Fuzz(func(t *testing.T, tail, second, pos uint64, events bool) {
		dir := copied(t, template)
		ring, cur := "/pkt/c00-w01.ring", "/pktcur/c00-w01.cur"
		if events {
			ring, cur = "/evt/w00.ring", "/evtcur/policyd.w00.cur"
		}
		must(t, edit(dir+ring, func(b []byte) {
			binary.NativeEndian.PutUint64(b[128:], tail)
			binary.NativeEndian.PutUint64(b[136:], second)
		}), edit(dir+cur, func(b []byte) { binary.NativeEndian.PutUint64(b[position:], pos) }))
		readAll(t, dir)
	})
}
