package verdict

import (
	"encoding/hex"
	"testing"

	"weir/proto/event"
	"weir/proto/mark"
	"weir/proto/pkt"
)

// TestGoldenLayout holds a record against its bytes: rings outlive the programs that
// wrote them.
func TestGoldenLayout(t *testing.T) {
	f := Fields{
		TS: 0x0102030405060708, HashLo: 0x1112131415161718, HashHi: 0x2122232425262728, Bits: 0x31323334,
		ID: 0x41424344, Queue: 0x5152, Generation: 0x6162, Kind: KindFlow, Verdict: mark.Reject,
	}
	b := make([]byte, Size)
	f.Encode(b)
	const want = "0807060504030201" + "1817161514131211" + "2827262524232221" + "0000000000000000" +
		"34333231" + "00000000" + "0000000000000000" + "44434241" + "5251" + "6261" + "0000" + "0000" + "00" + "81" + "02" + "00"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("record = %s, want %s", got, want)
	}
	r := Record(b)
	back := Fields{
		TS: r.TS(), HashLo: r.HashLo(), HashHi: r.HashHi(), Bits: r.Bits(),
		ID: r.ID(), Queue: r.Queue(), Generation: r.Generation(), Kind: r.Kind(), Verdict: r.Verdict(),
	}
	if back != f {
		t.Errorf("read back %+v, want %+v", back, f)
	}
}

// TestAnswers sees to it that an answer names the packet of its question.
func TestAnswers(t *testing.T) {
	p := pkt.Fields{TS: 7, HashLo: 1, HashHi: 2, Ordinal: 3 | 4<<32 | 5<<48, Flags: pkt.FlagNFQ, Kind: pkt.KindPacket}
	d := make([]byte, pkt.DescSize)
	p.Encode(d)
	want := Fields{TS: 7, HashLo: 1, HashHi: 2, ID: 3, Queue: 4, Generation: 5, Kind: KindGoOn}
	if got := GoOn(d); got != want {
		t.Errorf("GoOn(%+v) = %+v, want %+v", p, got, want)
	}
	q := event.Question{HashLo: 1, HashHi: 2, ID: 3, Queue: 4, Generation: 5, Thread: 6}
	want = Fields{TS: 8, HashLo: 1, HashHi: 2, Bits: 0x80000000, ID: 3, Queue: 4, Generation: 5, Kind: KindFlow, Verdict: mark.Drop}
	if got := Flow(&q, 8, mark.Drop, 0x80000000); got != want {
		t.Errorf("Flow(%+v) = %+v, want %+v", q, got, want)
	}
}
