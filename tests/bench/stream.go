package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"weir/capd/source"
	"weir/capd/steer"
	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// stream is packets of flows that exist already, by number from 0 on.
type stream struct {
	name   string
	flows  int
	frames []source.Frame
	want   float64 // how many times faster than a Go map
}

// finalPayload is the payload of a flow's first packet. No dissector knows it.
func finalPayload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xf5
	}
	return b
}

// finalFrame is a packet of flow i.
func finalFrame(i int, fromServer bool, payload []byte) source.Frame {
	b := frameOf(i, fromServer, 17, 0, 0, 0, payload)
	return source.Frame{WireLen: uint32(len(b)), Link: 1, Data: b}
}

// recorded has the order of flows, the directions and the lengths of a capture.
func recorded(name, file string, limit int, want float64) (*stream, error) {
	frames, err := loadFrames(file, limit)
	if err != nil {
		return nil, err
	}
	type client struct {
		flow    int
		reverse bool
	}
	s := &stream{name: name, want: want}
	seen := map[flowkey.Key]client{}
	payload := finalPayload(source.MaxFrame)
	var p steer.Packet
	for i := range frames {
		if p.Parse(&frames[i]) != steer.Delivered {
			continue
		}
		reverse := p.Fields.Flags&pkt.FlagReverse != 0
		c, ok := seen[p.Key]
		if !ok {
			c = client{len(seen), reverse}
			seen[p.Key] = c
		}
		const headers, longest = 14 + 20 + 8, 1500 - 28
		n := min(max(len(frames[i].Data)-headers, 0), longest)
		s.frames = append(s.frames, finalFrame(c.flow, reverse != c.reverse, payload[:n]))
	}
	s.flows = len(seen)
	if s.flows == 0 {
		return nil, fmt.Errorf("no flows in %s", file)
	}
	return s, nil
}

// drawn has n short packets of flows that next draws. Packets of a flow are one
// frame: what differs between them nobody looks at.
func drawn(name string, flows, n int, want float64, next func() int) *stream {
	s := &stream{name: name, flows: flows, want: want, frames: make([]source.Frame, n)}
	made := make([]source.Frame, flows)
	payload := finalPayload(18) // the shortest frame there is
	for i := range s.frames {
		f := next()
		if made[f].Data == nil {
			made[f] = finalFrame(f, false, payload)
		}
		s.frames[i] = made[f]
	}
	return s
}

func zipf(flows, n int, want float64) *stream {
	z := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(flows-1))
	return drawn(fmt.Sprintf("Zipf, %d flows", flows), flows, n, want, func() int { return int(z.Uint64()) })
}

func uniform(flows, n int, want float64) *stream {
	r := rand.New(rand.NewPCG(3, 4))
	return drawn(fmt.Sprintf("uniform, %d flows", flows), flows, n, want, func() int { return r.IntN(flows) })
}

// touch brings frames into the second-level cache, where a reader leaves them, and
// returns the CPU time that it took, which is nobody's.
func touch(frames []source.Frame) time.Duration {
	start := threadTime()
	for i := range frames {
		for k := 0; k < len(frames[i].Data); k += 64 {
			sink += uint64(frames[i].Data[k])
		}
	}
	return threadTime() - start
}
