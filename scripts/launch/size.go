package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"weir/proto/config"
)

const (
	mib = 1 << 20

	// minRecord is the least that a packet of a flow takes in a capture: a record
	// header of 16 bytes and an IP header. Bytes divided by it is more than there
	// can be flows.
	minRecord = 36

	// What a flow and the inspection of one take in the memory of a worker, at most,
	// beside what they have to say.
	flowMemory    = 256
	contextMemory = 4 << 10
	nameMemory    = 192
)

// sizes are those of one worker's rings and tables.
type sizes struct {
	descriptors, payload, events int64 // of rings
	flows, metadata              int64 // of the flow table
	contexts, names              int64 // inspections at once, DNS answers
}

// sizesFor gives each of some workers what a replay of so many bytes needs, within
// the memory there is for all. A replay of ten packets must not spend its time on
// clearing memory, and one of a port scan must not run out of flows: each of its
// packets is one.
func sizesFor(bytes int64, workers int, memory int64) sizes {
	n := int64(workers)
	each := memory / n
	var s sizes
	s.payload = power(bytes*2, mib, min(16*mib, each/8))
	s.descriptors = max(s.payload/256, 1<<10)
	s.events = power(bytes*4, 2*mib, min(8*mib, each/4)) // readers are waited for: more only leaves the caches

	// More than a million flows are only expected where average packets make them.
	flows := max(min(bytes/minRecord, 1<<20), bytes/1024)
	s.flows = power(flows/n, 1<<10, min(config.MaxFlows, each/4/flowMemory))
	// What is told of a flow was in its packets, and takes about twice the room.
	text := max(min(bytes*2, 64*mib), bytes/16)
	s.metadata = power(min(text, s.flows*512), mib, each/4)
	s.contexts = power(s.flows, 256, min(1<<15, each/8/contextMemory))
	// A table that is an eighth full forgets no name for want of a place in its set.
	s.names = power(bytes/16, 1<<10, min(1<<18, each/8/nameMemory))
	return s
}

// shared gives each of n rings of a worker its part of the room for one: they share
// the packets.
func (s sizes) shared(n int) sizes {
	for ; n > 1 && s.payload > mib; n = (n + 1) / 2 {
		s.payload /= 2
		s.descriptors = max(s.payload/256, 1<<10)
	}
	return s
}

// power returns the smallest power of two not below n that is at least lo, itself a
// power of two, and no more than hi, unless lo is.
func power(n, lo, hi int64) int64 {
	p := lo
	for p < n && p*2 <= hi {
		p *= 2
	}
	return p
}

// unpackedSize returns the size of a capture in bytes; of one packed with gzip, a
// guess at what it is unpacked.
func unpackedSize(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	switch {
	case st.IsDir():
		return 0, fmt.Errorf("%s: is a directory; name the files in it", path)
	case !st.Mode().IsRegular():
		return 0, fmt.Errorf("%s: is no file; a killed capd could not read it again", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	var magic [2]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return st.Size(), nil // capd says what is wrong
		}
		return 0, err
	}
	if magic != [2]byte{0x1f, 0x8b} {
		return st.Size(), nil
	}
	// The last four bytes tell the unpacked size of the last member, modulo 2^32
	// (RFC 1952 section 2.3.1). Traffic packs four to one, headers alone more.
	var last [4]byte
	if _, err := f.ReadAt(last[:], max(st.Size()-4, 0)); err != nil {
		return st.Size(), nil
	}
	told := int64(binary.LittleEndian.Uint32(last[:]))
	return max(min(told, st.Size()*1032), st.Size()*4), nil // deflate packs 1032:1 at best
}
