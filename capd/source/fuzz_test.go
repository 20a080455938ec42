package source

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// same reads b whole and in small pieces and wants the same frames and the same
// last word, every frame within its bounds, and an end that is io.EOF or *Error.
func same(t *testing.T, b []byte) {
	one, f, err1 := all(bytes.NewReader(b))
	two, _, err2 := all(iotest.HalfReader(&oddReader{bytes.NewReader(b)}))
	var e *Error
	if !errors.Is(err1, io.EOF) && !errors.As(err1, &e) {
		t.Fatalf("ended with %v, want io.EOF or an *Error", err1)
	}
	if err1.Error() != err2.Error() {
		t.Fatalf("whole: %v\nin pieces: %v", err1, err2)
	}
	if d := cmp.Diff(one, two); d != "" {
		t.Fatalf("frames (-whole +pieces):\n%s", d)
	}
	for i, fr := range one {
		if len(fr.Data) > MaxFrame || uint64(fr.WireLen) < uint64(len(fr.Data)) || int(fr.If) >= len(f.Interfaces()) {
			t.Fatalf("frame %d out of bounds: %d bytes of %d, interface %d", i, len(fr.Data), fr.WireLen, fr.If)
		}
	}
}

func FuzzPcap(f *testing.F) {
	for _, o := range []order{le, be} {
		for _, magic := range []uint32{magicMicro, magicNano, magicModified} {
			f.Add(newPcapFile(o, magic, 1).packet(1, 2, 3, 4, []byte("abc")).packet(2, 2, 30, 40, make([]byte, 30)).b)
		}
	}
	f.Add((&pcapFile{order: be, magic: magicMicro, major: 2, minor: 3, link: 1}).start().packet(1, 2, 4, 3, []byte("abc")).b)
	f.Add(gzipped(f, newPcapFile(le, magicMicro, 1).packet(1, 2, 3, 4, []byte("abc")).b))
	f.Fuzz(func(t *testing.T, b []byte) { same(t, b) })
}

func FuzzPcapng(f *testing.F) {
	for _, o := range []order{le, be} {
		n := (&ngFile{order: o}).section()
		n.iface(1, 0, n.option(optName, []byte("eth0")), n.option(optResolution, []byte{9}), n.option(optEnd, nil))
		n.packet(0, 1, 3, []byte("abc"))
		n.block(blockSimple, n.words(9), []byte("xyz4"))
		n.block(5, make([]byte, 20))
		n.section().iface(101, 0).packet(0, 1, 3, []byte("abc"))
		f.Add(n.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// A section header in front brings every input into the block reader.
		same(t, append((&ngFile{order: le}).section().iface(1, 0).b, b...))
		same(t, b)
	})
}

// FuzzClock checks the conversion of time stamps against no arithmetic of its
// own: it must be monotone, whatever resolution and offset a file claims.
func FuzzClock(f *testing.F) {
	f.Add(byte(6), int64(0), uint64(1), uint64(2))
	f.Add(byte(0x80|20), int64(-4), uint64(1)<<40, uint64(1)<<41)
	f.Fuzz(func(t *testing.T, resolution byte, offset int64, a, b uint64) {
		var c ngClock
		if !c.setResolution(resolution) {
			return
		}
		c.offset = offset
		if a > b {
			a, b = b, a
		}
		if x, y := c.ns(a), c.ns(b); x > y {
			t.Fatalf("ns(%d) = %d > ns(%d) = %d", a, x, b, y)
		}
	})
}
