package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"weir/capd/source"
)

// benchNewFlows measures everything that dpid does for a new flow, from the ring to
// the event: look-up, insertion, inspection, catalogue, events, and its end. The
// reference is the SHA-256 of 64 bytes, a piece of work that no machine does badly.
func benchNewFlows(b *bench) error {
	flows := 60_000
	if b.quick {
		flows = 300
	}
	for _, p := range []struct {
		what, sample string
		proto        uint8
		want         float64
	}{
		{"new TLS flow, everything", "tls/yes-curl.txt", 6, 6},
		{"new QUIC flow, everything", "quic/yes-rfc9001.txt", 17, 40},
	} {
		talk, err := conversation(filepath.Join(b.root, "dpid", "dissect", "testdata", p.sample))
		if err != nil {
			return err
		}
		frames := newFlows(flows, p.proto, talk)
		block := make([]byte, 64)
		var classified uint64
		err = b.compare(row{what: p.what, unit: "ns", reference: "SHA-256 of 64 B", want: p.want, atMost: true},
			func() (float64, error) {
				run, err := runInMemory(frames, b.catalog())
				classified = run.count["classified"]
				return float64(run.cpu) / float64(flows), err
			},
			perCall(100_000, func() {
				sum := sha256.Sum256(block)
				sink += uint64(sum[0])
			}))
		if err != nil {
			return err
		}
		b.last().note = fmt.Sprintf("%d packets, %d of %d flows classified, FLOW_NEW or FLOW_CLASS to FLOW_END", len(frames), classified, flows)
	}
	return nil
}

// said is one packet of a conversation.
type said struct {
	server bool
	data   []byte
}

// conversation returns the packets of a dissector's sample.
func conversation(file string) (list []said, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, l := range strings.Split(string(b), "\n") {
		who, text, _ := strings.Cut(l, " ")
		if who != "C" && who != "S" {
			continue
		}
		data, err := sampleBytes(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, said{who == "S", data})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no packets", file)
	}
	return list, nil
}

// sampleBytes reads hexadecimal words, "00*600" being a byte repeated.
func sampleBytes(text string) (out []byte, err error) {
	for _, w := range strings.Fields(text) {
		w, times, _ := strings.Cut(w, "*")
		b, err := hex.DecodeString(w)
		if err != nil {
			return nil, err
		}
		n := 1
		if times != "" {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out, nil
}

// newFlows makes n conversations, one after the other, over TCP with a handshake and
// a reset at the end.
func newFlows(n int, proto uint8, talk []said) frameList {
	const rst = 4
	var list frameList
	at := uint64(mixBase) * 1000
	add := func(frame []byte) {
		at += 1000
		list = append(list, source.Frame{TS: at, WireLen: uint32(len(frame)), Link: 1, Data: frame})
	}
	for i := range n {
		for _, frame := range newFlow(i, proto, talk) {
			add(frame)
		}
		if proto == 6 {
			next := uint32(501)
			for _, p := range talk {
				if p.server {
					next += uint32(len(p.data))
				}
			}
			add(frameOf(i, true, 6, rst, next, 0, nil))
		}
	}
	return list
}

// newFlow makes conversation i, over TCP with a handshake and without an end.
func newFlow(i int, proto uint8, talk []said) (frames [][]byte) {
	const syn, psh, ack = 2, 8, 16
	next := [2]uint32{101, 501} // sequence numbers of client and server
	if proto == 6 {
		frames = append(frames, frameOf(i, false, 6, syn, 100, 0, nil), frameOf(i, true, 6, syn|ack, 500, 101, nil))
	}
	for _, p := range talk {
		me, peer := 0, 1
		if p.server {
			me, peer = 1, 0
		}
		frames = append(frames, frameOf(i, p.server, proto, ack|psh, next[me], next[peer], p.data))
		next[me] += uint32(len(p.data))
	}
	return frames
}

// frameOf makes a frame of flow i. Checksums are left out: nobody looks at them.
func frameOf(i int, fromServer bool, proto, flags uint8, seq, ack uint32, data []byte) []byte {
	client, server := []byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, []byte{198, 51, 100, byte(i % 250)}
	sport, dport := uint16(20000+i%40000), uint16(443)
	if fromServer {
		client, server, sport, dport = server, client, dport, sport
	}
	var l4 []byte
	l4 = binary.BigEndian.AppendUint16(l4, sport)
	l4 = binary.BigEndian.AppendUint16(l4, dport)
	if proto == 6 {
		l4 = binary.BigEndian.AppendUint32(l4, seq)
		l4 = binary.BigEndian.AppendUint32(l4, ack)
		l4 = append(l4, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	} else {
		l4 = binary.BigEndian.AppendUint16(l4, uint16(8+len(data)))
		l4 = append(l4, 0, 0)
	}
	l4 = append(l4, data...)
	b := bytes.Repeat([]byte{2}, 12)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(l4)))
	b = append(b, 0, 0, 0, 0, 64, proto, 0, 0)
	b = append(append(b, client...), server...)
	return append(b, l4...)
}
