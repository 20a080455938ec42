package pkt

import (
	"encoding/hex"
	"testing"
)

// TestGoldenLayout holds descriptor and prefix against their bytes: rings outlive
// the programs that wrote them.
func TestGoldenLayout(t *testing.T) {
	f := Fields{
		TS: 0x0102030405060708, HashLo: 0x1112131415161718, HashHi: 0x2122232425262728, WireLen: 0x31323334,
		CapLen: 0x41424344, Seq: 0x51525354, Ack: 0x61626364, Ordinal: 0x7172737475767778, L4Len: 0x8182,
		Flags: 0x9192, TCPFlags: 0xa1, Kind: KindPacket, IPProto: 0xb1, Link: LinkVXLAN,
	}
	d := make([]byte, DescSize)
	f.Encode(d)
	const want = "0807060504030201" + "1817161514131211" + "2827262524232221" + "0000000000000000" +
		"34333231" + "44434241" + "54535251" + "64636261" + "7877767574737271" + "8281" + "9291" + "a1" + "01" + "b1" + "05"
	if got := hex.EncodeToString(d); got != want {
		t.Errorf("descriptor = %s, want %s", got, want)
	}
	v := Descriptor(d)
	back := Fields{
		TS: v.TS(), HashLo: v.HashLo(), HashHi: v.HashHi(), WireLen: v.WireLen(), CapLen: v.CapLen(), Seq: v.Seq(), Ack: v.Ack(),
		Ordinal: v.Ordinal(), L4Len: v.L4Len(), Flags: v.Flags(), TCPFlags: v.TCPFlags(), Kind: v.Kind(), IPProto: v.IPProto(), Link: v.Link(),
	}
	if back != f {
		t.Errorf("read back %+v, want %+v", back, f)
	}
	if v.NFQID() != 0x75767778 || v.Queue() != 0x7374 || v.Generation() != 0x7172 {
		t.Errorf("NFQUEUE fields %#x, %#x, %#x lie elsewhere", v.NFQID(), v.Queue(), v.Generation())
	}
	p := PrefixFields{In: 0x0102, Out: 0x1112, Mark: 0x21222324, VLAN: 0x3132, L3: 0x4142, L4: 0x5152, Data: 0x6162}
	b := make([]byte, PrefixSize)
	p.Encode(b)
	if got := hex.EncodeToString(b); got != "0201"+"1211"+"24232221"+"3231"+"4241"+"5251"+"6261" {
		t.Errorf("prefix = %s", got)
	}
}

func TestLinkNames(t *testing.T) {
	for l := LinkPPPoE; l <= LinkGeneve; l++ {
		if LinkName(l) == "" || LinkName(l) == "unknown" {
			t.Errorf("LinkName(%d) = %q", l, LinkName(l))
		}
	}
	if LinkName(LinkPlain) != "" || LinkName(200) != "unknown" {
		t.Error("names of no tunnel and of a later version's are wrong")
	}
}
