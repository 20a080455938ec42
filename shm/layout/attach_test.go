package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	ro := Spec{Magic: MagicPacketRing, ABIMajor: ABIMajor}
	tests := []struct {
		name  string
		spec  Spec
		size  int64
		spoil func(b []byte)
		fix   bool // make the checksum good again
		want  error
	}{
		{name: "good, owner", spec: testSpec()},
		{name: "good, reader", spec: ro},
		{name: "newer minor", spec: ro, spoil: func(b []byte) { b[10] = 9 }, fix: true},
		{name: "not finished", spec: ro, spoil: func(b []byte) { clear(b[:8]) }, want: ErrAwait},
		{name: "not ours", spec: ro, spoil: func(b []byte) { copy(b, "\x7fELF\x02\x01\x01\x00") }, want: ErrCorrupt},
		{name: "next version of the magic", spec: ro, spoil: func(b []byte) { copy(b, "DPIRPKT2") }, want: ErrABI},
		{name: "other byte order", spec: ro, spoil: func(b []byte) { copy(b, "1TKPRIPD") }, want: ErrABI},
		{name: "other kind", spec: ro, spoil: func(b []byte) { copy(b, "DPIREVT1") }, want: ErrCorrupt},
		{name: "newer major", spec: ro, spoil: func(b []byte) { b[8] = 2 }, fix: true, want: ErrABI},
		{name: "older major", spec: ro, spoil: func(b []byte) { b[8] = 0 }, fix: true, want: ErrABI},
		{name: "checksum", spec: ro, spoil: func(b []byte) { b[70] ^= 1 }, want: ErrCorrupt},
		{name: "header size", spec: ro, spoil: func(b []byte) { b[13] = 0x20 }, fix: true, want: ErrGeometry},
		{name: "no ring id", spec: ro, spoil: func(b []byte) { clear(b[16:24]) }, fix: true, want: ErrCorrupt},
		{name: "other ring id", spec: testSpec(), spoil: func(b []byte) { b[16] ^= 1 }, fix: true, want: ErrGeometry},
		{name: "other capacity", spec: testSpec(), spoil: func(b []byte) { b[26] ^= 1 }, fix: true, want: ErrGeometry},
		{name: "other capacity, reader", spec: ro, spoil: func(b []byte) { b[26] ^= 1 }, fix: true},
		{name: "other tag", spec: testSpec(), spoil: func(b []byte) { b[120] ^= 1 }, fix: true, want: ErrGeometry},
		{name: "other size", spec: testSpec(), size: 4 * HeaderSize, want: ErrGeometry},
		{name: "shorter than a header", spec: ro, size: 100, want: ErrGeometry},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewHeap(testSpec()).Bytes()[:StaticSize]
			if tt.spoil != nil {
				tt.spoil(b)
			}
			if tt.fix {
				host.PutUint32(b[124:], CRC(0, b[8:124]))
			}
			if tt.size == 0 {
				tt.size = 3 * HeaderSize
			}
			_, err := tt.spec.Check("x.ring", b, tt.size)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Check() = %v, want %v", err, tt.want)
			}
			var ae *AttachError
			if err != nil && (!errors.As(err, &ae) || ae.Path != "x.ring") {
				t.Errorf("Check() = %#v, want an AttachError with the path", err)
			}
		})
	}
}

func TestAttachErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  AttachError
		want string
	}{
		{AttachError{Path: "a.ring", Got: 42, Err: ErrOwned}, "attach a.ring: owned by a running process (pid 42): stop it first"},
		{AttachError{Path: "a.ring", Err: ErrAwait}, "attach a.ring: not there yet"},
		{AttachError{Path: "a.ring", Want: 1, Got: 16, Err: ErrABI}, "attach a.ring: incompatible layout (want 0x1, got 0x10)"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}

func TestCheckCopiesTheHeader(t *testing.T) {
	s := testSpec()
	h, err := s.Check("x", NewHeap(s).Bytes(), s.Size)
	if err != nil {
		t.Fatal(err)
	}
	if h.Name != s.Name || h.RingID != s.RingID || h.Tag != s.Tag || h.Params != s.Params || h.ABIMajor != ABIMajor {
		t.Errorf("Check() = %+v, want the values of %+v", h, s)
	}
}

func TestOpenMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.ring")
	_, err := OpenRO(path, testSpec())
	if !errors.Is(err, ErrAwait) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenRO() = %v, want ErrAwait and fs.ErrNotExist", err)
	}
	if _, err = OpenRW(path, testSpec()); !errors.Is(err, ErrAwait) {
		t.Errorf("OpenRW() = %v, want ErrAwait", err)
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("OpenRW() = %q, want the path in it", err)
	}
}

// TestCreateWithoutFolder: the error names what is missing, not another process.
func TestCreateWithoutFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	_, _, err := CreateOrOpen(filepath.Join(dir, "a.ring"), testSpec())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no directory "+dir) {
		t.Errorf("CreateOrOpen() = %v, want that there is no directory %s", err, dir)
	}
}

func TestOpenStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRO(empty, testSpec()); !errors.Is(err, ErrGeometry) {
		t.Errorf("OpenRO(empty file) = %v, want ErrGeometry", err)
	}
	if _, err := OpenRO(dir, testSpec()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("OpenRO(folder) = %v, want ErrCorrupt", err)
	}
}

func TestOpenForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	s := testSpec()
	s.CheckUID, s.UID = true, os.Getuid()+1
	if _, err := OpenRO(path, s); !errors.Is(err, ErrForeign) {
		t.Errorf("OpenRO() with another user = %v, want ErrForeign", err)
	}
	s.UID = os.Getuid()
	r, err := OpenRO(path, s)
	if err != nil {
		t.Fatalf("OpenRO() with this user = %v, want nil", err)
	}
	_ = r.Close()
}

func TestParamsSurviveTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.slab")
	const magic = 0x31424c5357495250
	s := Spec{Magic: magic, ABIMajor: 3, Size: 5 * HeaderSize, Params: [4]uint64{1, 2, 3, 1 << 63}, Tag: 7, Populate: true}
	m, fresh, err := CreateOrOpen(path, s)
	if err != nil || !fresh {
		t.Fatalf("CreateOrOpen() = fresh %v, %v, want true, nil", fresh, err)
	}
	m.Bytes()[4*HeaderSize] = 42
	id := m.Header().RingID
	_ = m.Close()
	m, fresh, err = CreateOrOpen(path, s)
	if err != nil || fresh {
		t.Fatalf("second CreateOrOpen() = fresh %v, %v, want false, nil", fresh, err)
	}
	defer func() { _ = m.Close() }()
	if m.Header().Params != s.Params || m.Header().RingID != id || m.Bytes()[4*HeaderSize] != 42 {
		t.Errorf("taken over %+v, want params %v, id %#x and the content", m.Header(), s.Params, id)
	}
}

// FuzzAttach maps arbitrary files: any error is fine, a crash is not, and what is
// accepted must be what the specification says.
func FuzzAttach(f *testing.F) {
	good := NewHeap(testSpec()).Bytes()
	f.Add(good, int64(0))
	f.Add(good[:HeaderSize], int64(HeaderSize))
	f.Add(good[:60], int64(1<<20))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		path := filepath.Join(t.TempDir(), "f.ring")
		if err := os.WriteFile(path, head, 0o600); err != nil {
			t.Fatal(err)
		}
		if size > 0 && size < 1<<22 {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
		m, err := OpenRO(path, Spec{Magic: MagicPacketRing, ABIMajor: ABIMajor})
		if err != nil {
			return
		}
		defer func() { _ = m.Close() }()
		if m.U64(0).Load() != MagicPacketRing || len(m.Bytes()) < HeaderSize {
			t.Errorf("attached to %d bytes with magic %#x", len(m.Bytes()), m.U64(0).Load())
		}
		_ = m.Owner().State().String()
	})
}
