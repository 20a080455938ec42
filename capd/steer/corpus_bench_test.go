package steer

import (
	"bytes"
	"testing"

	"weir/capd/source"
)

// corpusFrames loads the Ethernet frames of all captures, one behind the other
// in memory, until there are n bytes.
func corpusFrames(b *testing.B, n int) (list []source.Frame) {
	b.Helper()
	var all [][]byte
	total := 0
	for _, path := range captures(b, "ndpi/pcap/*") {
		f, err := source.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		var fr source.Frame
		for f.Next(&fr) == nil && total < n {
			if fr.Link == linkEthernet {
				all = append(all, bytes.Clone(fr.Data))
				list = append(list, fr)
				total += len(fr.Data)
			}
		}
		_ = f.Close()
	}
	mem := bytes.Join(all, nil)
	for i := range list {
		k := len(all[i])
		list[i].Data, mem = mem[:k:k], mem[k:]
	}
	return list
}

// BenchmarkParseCorpus is BenchmarkParse on real frames, more than the caches hold.
func BenchmarkParseCorpus(b *testing.B) { benchParse(b, corpusFrames(b, 64<<20)) }
