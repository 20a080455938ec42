package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// all reads a capture to its end; the frames are copies.
func all(r io.Reader) (frames []Frame, f *File, err error) {
	f, err = New("test.pcap", r)
	if err != nil {
		return nil, nil, err
	}
	for {
		var fr Frame
		if err = f.Next(&fr); err != nil {
			return frames, f, err
		}
		fr.Data = bytes.Clone(fr.Data)
		frames = append(frames, fr)
	}
}

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

func TestPcapVariants(t *testing.T) {
	t.Parallel()
	data := []byte("0123456789")
	tests := []struct {
		name string
		file *pcapFile
		ts   uint64
		link uint32
	}{
		{"micro little", newPcapFile(le, magicMicro, 1), 7_000_005_000, 1},
		{"micro big", newPcapFile(be, magicMicro, 113), 7_000_005_000, 113},
		{"nano little", newPcapFile(le, magicNano, 1), 7_000_000_005, 1},
		{"nano big", newPcapFile(be, magicNano, 1), 7_000_000_005, 1},
		{"modified", (&pcapFile{order: le, magic: magicModified, major: 2, minor: 4, link: 1, extra: 8}).start(), 7_000_005_000, 1},
		{"version 2.3 swapped", (&pcapFile{order: be, magic: magicMicro, major: 2, minor: 3, link: 1, swapped: true}).start(), 7_000_005_000, 1},
		{"version 2.3", (&pcapFile{order: be, magic: magicMicro, major: 2, minor: 3, link: 1}).start(), 7_000_005_000, 1},
		{"version 2.1", (&pcapFile{order: be, magic: magicMicro, major: 2, minor: 1, link: 1, swapped: true}).start(), 7_000_005_000, 1},
		{"frame check length in the link word", newPcapFile(le, magicMicro, 0x54000001), 7_000_005_000, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := tt.file.packet(7, 5, 10, 90, data).packet(7, 5, 0, 60, nil).b
			want := []Frame{
				{TS: tt.ts, WireLen: 90, Link: tt.link, Data: data},
				{TS: tt.ts, WireLen: 60, Link: tt.link, Data: []byte{}},
			}
			for name, b := range map[string][]byte{"plain": file, "gzip": gzipped(t, file)} {
				got, _, err := all(bytes.NewReader(b))
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: Next = %v, want io.EOF", name, err)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: frames (-want +got):\n%s", name, d)
				}
			}
		})
	}
}

func TestPcapCapturedBeyondWire(t *testing.T) {
	t.Parallel()
	got, _, _ := all(bytes.NewReader(newPcapFile(le, magicMicro, 1).packet(0, 0, 4, 2, []byte("abcd")).b))
	if len(got) != 1 || got[0].WireLen != 4 || string(got[0].Data) != "abcd" {
		t.Errorf("frames = %+v, want one of 4 bytes with wire length 4", got)
	}
}

func TestPcapng(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]order{"little": le, "big": be} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &ngFile{order: o}
			n.section()
			n.iface(1, 0, n.option(optName, []byte("eth0")), n.option(optEnd, nil))
			n.iface(101, 3, n.option(optName, []byte("wg\x1b0\x00x")), n.option(optResolution, []byte{9}))
			n.packet(1, 1_000_000_001, 60, []byte("abc"))
			n.block(4, make([]byte, 40)) // name resolution: stepped over
			n.packet(0, 2, 5, []byte("hello"))
			n.section()
			n.iface(113, 2)
			n.block(blockSimple, n.words(9), []byte("xyz4")) // cut by the snap length
			n.block(blockOldPacket, n.words(o.Uint32([]byte{0, 0, 0, 0}), 0, 3, 1, 1), []byte("q"))
			got, f, err := all(bytes.NewReader(n.b))
			if !errors.Is(err, io.EOF) {
				t.Fatalf("Next = %v, want io.EOF", err)
			}
			want := []Frame{
				{TS: 1_000_000_001, WireLen: 60, Link: 101, If: 1, Data: []byte("abc")},
				{TS: 2000, WireLen: 5, Link: 1, If: 0, Data: []byte("hello")},
				{TS: 2000, WireLen: 9, Link: 113, If: 2, Data: []byte("xy")},
				{TS: 3000, WireLen: 1, Link: 113, If: 2, Data: []byte("q")},
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("frames (-want +got):\n%s", d)
			}
			ifs := []Interface{{"eth0", 1}, {"wg?0", 101}, {"", 113}}
			if d := cmp.Diff(ifs, f.Interfaces()); d != "" {
				t.Errorf("interfaces (-want +got):\n%s", d)
			}
		})
	}
}

func TestPcapngClock(t *testing.T) {
	t.Parallel()
	const most = ^uint64(0)
	tests := []struct {
		resolution byte
		offset     int64
		ts, want   uint64
	}{
		{6, 0, 1_500_000, 1_500_000_000},
		{9, 0, 77, 77},
		{0, 0, 3, 3_000_000_000},
		{12, 0, 1999, 1},
		{28, 0, most, 1},
		{0x80 | 10, 0, 1024 + 512, 1_500_000_000},
		{0x80 | 63, 0, 1 << 62, 500_000_000},
		{6, 10, 1, 10_000_001_000},
		{6, -1, 2_000_000, 1_000_000_000},
		{6, -5, 2_000_000, 0},       // before the epoch
		{6, 0, most, most},          // beyond the year 2554: saturates
		{6, 1, most, most},          //
		{9, 1, most, most},          //
		{6, -1 << 63, 5, 0},         // the smallest offset has no positive twin
		{0x80, 1 << 62, most, most}, //
	}
	for _, tt := range tests {
		n := &ngFile{order: le}
		n.section()
		n.iface(1, 0, n.option(optResolution, []byte{tt.resolution}),
			n.option(optTimeOffset, le.AppendUint64(nil, uint64(tt.offset))))
		n.packet(0, tt.ts, 1, []byte("x"))
		got, _, err := all(bytes.NewReader(n.b))
		if len(got) != 1 || got[0].TS != tt.want {
			t.Errorf("resolution %#x, offset %d, time %d = %v (%v), want %d", tt.resolution, tt.offset, tt.ts, got, err, tt.want)
		}
	}
}

// TestBroken holds what is promised about broken files: what stands before the
// broken place is delivered, then one error with the place and the reason.
func TestBroken(t *testing.T) {
	t.Parallel()
	pcapOK := newPcapFile(le, magicMicro, 1).packet(1, 0, 4, 4, []byte("good"))
	record := func(n ...uint32) []byte {
		b := bytes.Clone(pcapOK.b)
		for _, v := range n {
			b = le.AppendUint32(b, v)
		}
		return b
	}
	ngOK := func() *ngFile {
		n := &ngFile{order: le}
		return n.section().iface(1, 0).packet(0, 1, 4, []byte("good"))
	}
	ngSize := int64(len(ngOK().b))
	wrongEnd := ngOK().packet(0, 1, 4, []byte("evil")).b
	wrongEnd[len(wrongEnd)-1] = 9
	z := gzipped(t, bytes.Repeat(pcapOK.b, 3000))
	tests := []struct {
		name   string
		file   []byte
		frames int
		at     int64
		reason error
		text   string
	}{
		{"empty", nil, 0, 0, ErrEmpty, "test.pcap: at byte 0: the file is empty"},
		{"three bytes", []byte{1, 2, 3}, 0, 0, ErrFormat, "3 bytes"},
		{"text", []byte("#!/bin/sh\n"), 0, 0, ErrFormat, "it starts with 23 21 2f 62"},
		{"file header", pcapOK.b[:10], 0, 0, ErrTruncated, "file header: cut short: 10 of 24 bytes"},
		{"version", (&pcapFile{order: le, magic: magicMicro, major: 3, link: 1}).start().b, 0, 0, ErrFormat, "version 3.0"},
		{"record header", record(9, 9, 9), 1, 44, ErrTruncated, "packet header: cut short: 12 of 16 bytes"},
		{"record data", append(record(9, 9, 5, 5), 'x'), 1, 44, ErrTruncated, "packet: cut short: 17 of 21 bytes"},
		{"record length", record(9, 9, MaxFrame+1, MaxFrame+1, 0), 1, 44, ErrCorrupt, "packet of 262145 captured bytes"},
		{"record length -1", record(9, 9, 0xffffffff, 0), 1, 44, ErrCorrupt, "packet of 4294967295 captured bytes"},
		{"ng order", append([]byte{0x0a, 0x0d, 0x0d, 0x0a}, "12345678"...), 0, 0, ErrFormat, "byte order magic"},
		{"ng head", []byte{0x0a, 0x0d, 0x0d, 0x0a, 1}, 0, 0, ErrTruncated, "5 of 28 bytes"},
		{"ng version", (&ngFile{order: le}).block(blockSection, le.AppendUint32(nil, orderMagic), []byte{2, 0, 0, 0}, make([]byte, 8)).b, 0, 0, ErrFormat, "version 2.0"},
		{"ng block header", append(ngOK().b, 6, 0, 0), 1, ngSize, ErrTruncated, "3 of 12 bytes"},
		{"ng block", append(ngOK().b, 6, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0), 1, ngSize, ErrTruncated, "12 of 64 bytes"},
		{"ng unknown block", append(ngOK().b, 99, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0), 1, ngSize, ErrTruncated, "type 0x63: cut short"},
		{"ng length 0", append(ngOK().b, make([]byte, 12)...), 1, ngSize, ErrCorrupt, "length 0"},
		{"ng length odd", append(ngOK().b, 6, 0, 0, 0, 33, 0, 0, 0, 0, 0, 0, 0), 1, ngSize, ErrCorrupt, "length 33"},
		{"ng length huge", append(ngOK().b, 6, 0, 0, 0, 0, 0, 0, 0xf0, 0, 0, 0, 0), 1, ngSize, ErrCorrupt, "limit 524288"},
		{"ng length at the end", wrongEnd, 1, ngSize, ErrCorrupt, "length 36, 150994980 at its end"},
		{"ng no such interface", ngOK().packet(1, 1, 1, nil).b, 1, ngSize, ErrCorrupt, "interface 1 of 1"},
		{"ng section forgets interfaces", ngOK().section().packet(0, 1, 1, nil).b, 1, ngSize + 28, ErrCorrupt, "interface 0 of 0"},
		{"ng captured", ngOK().block(blockPacket, le.AppendUint32(make([]byte, 12), 9), make([]byte, 4)).b, 1, ngSize, ErrCorrupt, "9 captured bytes, room for 0"},
		{"ng small packet", ngOK().block(blockPacket, nil).b, 1, ngSize, ErrCorrupt, "length 12"},
		{"ng resolution", ngOK().iface(1, 0, le.AppendUint16(le.AppendUint16(nil, optResolution), 1), []byte{0xff, 0, 0, 0}).b, 1, ngSize, ErrCorrupt, "if_tsresol"},
		{"ng option", ngOK().iface(1, 0, le.AppendUint16(le.AppendUint16(nil, optName), 99)).b, 1, ngSize, ErrCorrupt, "99 bytes, room for 0"},
		{"gzip of nothing", gzipped(t, nil), 0, 0, ErrEmpty, "at unpacked byte 0"},
		{"gzip header", []byte{0x1f, 0x8b, 8}, 0, 0, ErrTruncated, "gzip: cut short"},
		{"gzip wrong", append(bytes.Clone(z[:10]), bytes.Repeat([]byte{0xff}, 20)...), 0, 0, ErrCorrupt, "flate: corrupt input"},
		{"gzip checksum", append(bytes.Clone(gzipped(t, pcapOK.b)[:len(gzipped(t, pcapOK.b))-8]), make([]byte, 8)...), 1, 44, ErrCorrupt, "checksum"},
		{"gzip cut", gzipped(t, pcapOK.b)[:len(gzipped(t, pcapOK.b))-6], 1, 44, ErrTruncated, "at unpacked byte 44"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, f, err := all(bytes.NewReader(tt.file))
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, tt.reason) || e.Offset != tt.at || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error = %v, want %v at byte %d with %q", err, tt.reason, tt.at, tt.text)
			}
			if len(got) != tt.frames {
				t.Errorf("%d frames before the error, want %d", len(got), tt.frames)
			}
			if f != nil {
				var fr Frame
				if again := f.Next(&fr); again != err { //nolint:errorlint // the very same error
					t.Errorf("second Next = %v, want the same error %v", again, err)
				}
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none.pcap")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.pcap") {
		t.Errorf("Open of a missing file = %v, want one that names it and wraps os.ErrNotExist", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("Open of a directory = %v", err)
	}
	path := filepath.Join(dir, "misnamed.pcapng")
	file := newPcapFile(le, magicMicro, 1).packet(1, 0, 4, 4, []byte("good")).b
	if err := os.WriteFile(path, gzipped(t, file), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var fr Frame
	if err := f.Next(&fr); err != nil || string(fr.Data) != "good" {
		t.Errorf("Next = %q, %v, want the packet", fr.Data, err)
	}
	if read, size := f.Progress(); read != size || size == 0 {
		t.Errorf("Progress() = %d, %d, want the size twice", read, size)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

// TestReadError keeps an I/O error apart from a truncated file.
func TestReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	file := newPcapFile(le, magicMicro, 1).packet(1, 0, 4, 4, []byte("good")).b
	got, _, err := all(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(broken)))
	if len(got) != 1 || !errors.Is(err, broken) || errors.Is(err, ErrTruncated) {
		t.Errorf("%d frames and %v, want one frame and %v", len(got), err, broken)
	}
	if _, _, err := all(idleReader{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reader without progress: %v, want io.ErrNoProgress", err)
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

// TestPieces reads one long capture in all sorts of pieces: where a piece ends
// must not be seen.
func TestPieces(t *testing.T) {
	t.Parallel()
	p := newPcapFile(le, magicMicro, 1)
	n := (&ngFile{order: be}).section().iface(1, 0)
	data := make([]byte, MaxFrame)
	for i := range data {
		data[i] = byte(i * 7)
	}
	sizes := []int{0, 1, 60, 1514, 9000, 65535, MaxFrame, 3, MaxFrame - 1, 1514, MaxFrame, 40}
	for i, size := range sizes {
		p.packet(uint32(i), 0, uint32(size), uint32(size), data[:size])
		n.packet(0, uint64(i), uint32(size), data[:size])
		n.block(99, make([]byte, 700_000)) // longer than what is held in memory
	}
	for name, file := range map[string][]byte{"pcap": p.b, "pcapng": n.b} {
		readers := map[string]io.Reader{
			"whole": bytes.NewReader(file), "halves": iotest.HalfReader(bytes.NewReader(file)),
			"data with EOF": iotest.DataErrReader(bytes.NewReader(file)),
			"odd":           &oddReader{bytes.NewReader(file)},
		}
		for how, r := range readers {
			got, _, err := all(r)
			if !errors.Is(err, io.EOF) || len(got) != len(sizes) {
				t.Errorf("%s, %s: %d frames and %v, want %d and io.EOF", name, how, len(got), err, len(sizes))
				continue
			}
			for i, f := range got {
				if !bytes.Equal(f.Data, data[:sizes[i]]) {
					t.Errorf("%s, %s: frame %d differs", name, how, i)
				}
			}
		}
	}
}

// oddReader gives at most 4099 bytes a time.
type oddReader struct{ r io.Reader }

func (o *oddReader) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 4099)]) }

func TestNextAllocs(t *testing.T) {
	p := newPcapFile(le, magicMicro, 1)
	n := (&ngFile{order: le}).section().iface(1, 0)
	for range 3000 {
		p.packet(1, 0, 1000, 1000, make([]byte, 1000))
		n.packet(0, 1, 1000, make([]byte, 1000))
	}
	for name, file := range map[string][]byte{"pcap": p.b, "pcapng": n.b} {
		f, err := New(name, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var fr Frame
		_ = f.Next(&fr) // the first one sets up
		if got := testing.AllocsPerRun(2000, func() {
			if err := f.Next(&fr); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: Next allocates %v times, want 0", name, got)
		}
	}
}
