package dissect

import (
	"bytes"
	"testing"
)

// dirty returns the first byte of a block that is not zero, -1 when there is none.
func dirty(block []byte) int {
	return bytes.IndexFunc(block, func(r rune) bool { return r != 0 })
}

// TestClean: after Clean a scratch block is as the next flow must find it, wherever
// the flow before ended.
func TestClean(t *testing.T) {
	in, out, more := newInput(), new(Result), new(Result)
	for _, s := range loadSamples(t) {
		for n := 1; n <= len(s.packets); n++ {
			cut := s
			cut.packets = s.packets[:n]
			var trial Trial
			trial.Init(s.over, s.ipProto, s.cport, s.sport)
			cut.play(&trial, in, out, more, nil)
			if at := dirty(in.Scratch); at >= 0 && !trial.Wrote() {
				t.Errorf("%s: byte %d of the scratch block is not zero after %d packets, and Wrote() = false", s.file, at, n)
			}
			trial.Clean(in.Scratch)
			if at := dirty(in.Scratch); at >= 0 {
				t.Errorf("%s: byte %d of the scratch block is not zero after %d packets and Clean", s.file, at, n)
			}
		}
	}
}
