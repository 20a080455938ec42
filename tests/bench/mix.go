package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"weir/capd/source"
)

// A mix is many captures interleaved, as a gateway would see them: copies of each
// capture, each with client addresses of its own and a start of its own within a
// span, and with silences inside a capture cut to maxGap.
type mix struct {
	name     string
	about    string
	captures []string
	copies   int
	span     uint64 // ns in which the copies start
	seed     uint64
}

const (
	maxGap  = 200_000_000           // ns
	mixBase = 1_700_000_000_000_000 // us since the epoch
)

//go:embed mixA.txt
var listA string

//go:embed mixB.txt
var listB string

// mixes are those of docs/bench.md. The lists name captures of nDPI's test suite.
var mixes = []mix{
	{name: "A", about: "every protocol", captures: strings.Fields(listA), copies: 24, span: 120e9, seed: 1},
	{name: "B", about: "long flows", captures: strings.Fields(listB), copies: 40, span: 60e9, seed: 1},
}

// packet is one packet of a mix before it is written.
type packet struct {
	at      uint64 // ns
	frame   []byte // of the capture, to be rewritten
	wire    uint32
	copy    uint16
	capture uint16
}

// write makes the mix of captures in dir as a classic pcap file at path and returns
// how many packets it has. Captures that are not of Ethernet, or broken, are left out.
func (m *mix) write(dir, path string) (packets int, err error) {
	r := rand.New(rand.NewPCG(m.seed, 0x6d6978))
	var all []packet
	for c, name := range m.captures {
		one, err := loadCapture(filepath.Join(dir, name))
		if err != nil {
			return 0, err
		}
		for i := range m.copies {
			start := r.Uint64N(m.span)
			for _, p := range one {
				p.at, p.copy, p.capture = p.at+start, uint16(i), uint16(c)
				all = append(all, p)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b packet) int { return cmp.Compare(a.at, b.at) })
	tmp := path + ".part"
	f, err := os.Create(tmp)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(writePcap(f, all), f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(tmp))
	}
	return len(all), os.Rename(tmp, path)
}

// loadCapture returns the frames of an Ethernet capture with times from 0 on, none
// when it is of another link type or cannot be read to its end.
func loadCapture(path string) ([]packet, error) {
	f, err := source.Open(path)
	var broken *source.Error
	if errors.As(err, &broken) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var list []packet
	var fr source.Frame
	var at, last uint64
	for {
		err := f.Next(&fr)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		const ethernet = 1
		if err != nil || fr.Link != ethernet {
			return nil, nil
		}
		if len(list) > 0 && fr.TS > last {
			at += min(fr.TS-last, maxGap)
		}
		last = fr.TS
		list = append(list, packet{at: at, frame: bytes.Clone(fr.Data), wire: fr.WireLen})
	}
}

func writePcap(w io.Writer, all []packet) error {
	out := newPcapWriter(w)
	var frame []byte
	for _, p := range all {
		frame = append(frame[:0], p.frame...)
		rewriter{uint64(p.capture), uint64(p.copy)}.frame(frame)
		out.write(p.at, p.wire, frame)
	}
	return out.Flush()
}

// file returns the mix as a file in cache, made from the captures in dir when it is
// not there yet.
func (m *mix) file(cache, dir string) (string, error) {
	path := filepath.Join(cache, fmt.Sprintf("mix%s-%d-%d.pcap", m.name, m.copies, m.seed))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "making mix %s from %d captures ...\n", m.name, len(m.captures))
	_, err := m.write(dir, path)
	return path, err
}

// countPackets returns the packets of a capture.
func countPackets(path string) (n int, err error) {
	f, err := source.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var fr source.Frame
	for {
		if err := f.Next(&fr); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return n, err
		}
		n++
	}
}
