package main

import (
	"bufio"
	"encoding/binary"
	"io"

	"weir/capd/source"
)

// pcapWriter writes a classic capture of Ethernet frames. Flush tells of errors.
type pcapWriter struct{ *bufio.Writer }

func newPcapWriter(w io.Writer) pcapWriter {
	b := bufio.NewWriterSize(w, 1<<20)
	var h [24]byte
	binary.LittleEndian.PutUint32(h[0:], 0xa1b2c3d4)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], source.MaxFrame)
	binary.LittleEndian.PutUint32(h[20:], 1)
	_, _ = b.Write(h[:]) // a bufio.Writer keeps its first error
	return pcapWriter{b}
}

// write adds a frame of at ns after the beginning, wire bytes long.
func (w pcapWriter) write(at uint64, wire uint32, frame []byte) {
	us := mixBase + at/1000
	var h [16]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(us/1e6))
	binary.LittleEndian.PutUint32(h[4:], uint32(us%1e6))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(h[12:], wire)
	_, _ = w.Write(h[:])
	_, _ = w.Write(frame)
}
