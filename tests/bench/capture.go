package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/flowkey"
	"weir/tests/traffic"
)

// benchCapture holds parsing and hashing against gopacket, and the reader of classic
// pcap against pcapgo. The capture is mix A where there is one, else a synthetic one.
func benchCapture(b *bench) error {
	file, about, err := b.sampleCapture()
	if err != nil {
		return err
	}
	limit := 300_000
	if b.quick {
		limit = 2000
	}
	frames, err := loadFrames(file, limit)
	if err != nil {
		return err
	}
	ours, theirs := parsers(frames)
	err = b.compare(row{what: "parse + hash", unit: "ns/packet", reference: "gopacket, no hash", want: 3}, ours, theirs)
	if err != nil {
		return err
	}
	b.last().note = about
	return b.compare(row{what: "pcap reader", unit: "ns/packet", reference: "pcapgo", want: 4},
		func() (float64, error) { return timeReader(file, readOurs) },
		func() (float64, error) { return timeReader(file, readTheirs) })
}

// sampleCapture returns a capture of mixed traffic and what it is.
func (b *bench) sampleCapture() (file, about string, err error) {
	file, err = b.mix(mixes[0])
	var m missing
	if !errors.As(err, &m) {
		if b.corpus == "" {
			return file, "synthetic packets", err
		}
		return file, "packets of mix A", err
	}
	why := string(m)
	file, err = b.synthetic()
	return file, "synthetic packets: " + why, err
}

// synthetic returns a made capture, which stands in for a mix where a short run has
// no labelled captures.
func (b *bench) synthetic() (string, error) {
	flows := 20_000
	if b.quick {
		flows = 50
	}
	file := filepath.Join(b.cache, fmt.Sprintf("synthetic-%d.pcap", flows))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	_, err := traffic.Write(file, traffic.Options{Seed: 1, Flows: flows, Packets: 10})
	return file, err
}

// loadFrames copies the first frames of a capture, one behind the other in memory.
func loadFrames(file string, limit int) (list []source.Frame, err error) {
	f, err := source.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var mem []byte
	var fr source.Frame
	for len(list) < limit {
		if err := f.Next(&fr); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		mem = append(mem, fr.Data...)
		list = append(list, fr)
	}
	for i := range list { // mem has moved while it grew
		n := len(list[i].Data)
		list[i].Data, mem = mem[:n:n], mem[n:]
	}
	return list, nil
}

// sink keeps results from being left out.
var sink uint64

var _ = &sink // nobody reads it

// parsers returns one pass over the frames with our parser and hash, and one with
// gopacket's fastest way, which decodes and does not hash.
func parsers(frames []source.Frame) (ours, theirs func() (float64, error)) {
	var raw [flowkey.SeedSize]byte
	for i := range raw {
		raw[i] = byte(i*37 + 11)
	}
	seed := flowkey.ParseSeed(&raw)
	var p steer.Packet
	var ether layers.Ethernet
	var tag layers.Dot1Q
	var v4 layers.IPv4
	var v6 layers.IPv6
	var tcp layers.TCP
	var udp layers.UDP
	var rest gopacket.Payload
	g := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ether, &tag, &v4, &v6, &tcp, &udp, &rest)
	g.IgnoreUnsupported = true
	var decoded []gopacket.LayerType
	each := func(f func(*source.Frame)) func() (float64, error) {
		return func() (float64, error) {
			took := time.Duration(0)
			for at := 0; at < len(frames); at += 1000 {
				piece := frames[at:min(at+1000, len(frames))]
				for i := range piece { // into the caches, where a reader leaves them
					for k := 0; k < len(piece[i].Data); k += 64 {
						sink += uint64(piece[i].Data[k])
					}
				}
				start := threadTime()
				for i := range piece {
					f(&piece[i])
				}
				took += threadTime() - start
			}
			return float64(took) / float64(len(frames)), nil
		}
	}
	ours = each(func(f *source.Frame) {
		if p.Parse(f) == steer.Delivered {
			lo, _ := p.Key.Hash(&seed)
			sink += lo
		}
	})
	theirs = each(func(f *source.Frame) {
		_ = g.DecodeLayers(f.Data, &decoded) // real frames have all sorts of errors
		sink += uint64(len(decoded))
	})
	return ours, theirs
}

func timeReader(file string, read func(string) (int, error)) (float64, error) {
	start := time.Now()
	n, err := read(file)
	if n == 0 {
		return 0, errors.Join(err, fmt.Errorf("no packets in %s", file))
	}
	return float64(time.Since(start)) / float64(n), err
}

func readOurs(file string) (n int, err error) { return countPackets(file) }

// readTheirs reads as pcapgo's documentation shows, through a buffer of the size
// that suits it.
func readTheirs(file string) (n int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	r, err := pcapgo.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return 0, err
	}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		sink += uint64(len(data))
		n++
	}
}
