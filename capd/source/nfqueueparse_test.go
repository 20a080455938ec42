package source

import (
	"bytes"
	"encoding/binary"
	"testing"

	"weir/proto/pkt"
)

// packetMessage makes a message as the kernel does.
func packetMessage(family uint8, attrs ...[]byte) []byte {
	b := make([]byte, msgHeader, 256)
	b = append(b, family, 0, 0, 7)
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], msgPacket)
	return b
}

func attr(typ uint16, v ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(attrHeader+len(v)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(b, v...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

var (
	packetAttr = attr(attrPacket, 0, 0, 0, 9, 0x08, 0x00, 2)
	l2         = []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00}
	full       = packetMessage(2, packetAttr, attr(attrMark, 0, 0, 0, 5), attr(attrTimestamp, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4),
		attr(attrIn, 0, 0, 0, 2), attr(attrOut, 0, 0, 0, 3), attr(attrHWAddr, 0, 6, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0),
		attr(attrConntrack|1<<15, append(attr(attrCTMark, 0, 0, 0, 6), attr(attrCTID, 0, 0, 0, 8)...)...), attr(attrCTInfo, 0, 0, 0, 1),
		attr(attrCapLen, 0, 0, 4, 0), attr(attrSKBInfo, 0, 0, 0, 3), attr(99, 1), attr(attrPayload, 0x45, 1, 2))
	bridged = packetMessage(familyBridge, packetAttr, attr(attrIn, 0, 0, 0, 2), attr(attrOut, 0, 0, 0, 2), attr(attrPhysIn, 0, 0, 0, 4), attr(attrPhysOut, 0, 0, 0, 5),
		attr(attrVLAN|1<<15, append(attr(attrVLANProto, 0x81, 0), attr(attrVLANTCI, 0, 42)...)...), attr(attrL2, l2...), attr(attrPayload, 0x45, 1, 2))
)

func TestQueuedParse(t *testing.T) {
	var p queued
	var f Frame
	if !p.parse(full) {
		t.Fatal("a message of all attributes does not parse")
	}
	p.fill(&f, full)
	if !bytes.Equal(f.Data, []byte{0x45, 1, 2}) || f.WireLen != 1024 || f.ID != 9 || f.Mark != 5 || f.TS != 3000004000 || f.Link != linktypeRaw ||
		f.Flags != pkt.FlagNFQ|pkt.FlagTruncated|pkt.FlagGSO {
		t.Errorf("frame is %+v", f)
	}
	want := QueueMeta{Family: 2, Hook: 2, Protocol: 0x800, HWAddr: [8]byte{2, 0, 0, 0, 0, 1}, HWLen: 6, NoChecksum: true, HasConntrack: true, CTInfo: 1, CTID: 8, CTMark: 6}
	if p.meta != want {
		t.Errorf("meta is %+v, want %+v", p.meta, want)
	}
	if in, out := p.interfaces(); in != 2 || out != 3 {
		t.Errorf("interfaces() = %d, %d, want 2, 3", in, out)
	}
}

// TestQueuedBridge wants the link header of a bridged packet back, with its tag.
func TestQueuedBridge(t *testing.T) {
	var p queued
	var f Frame
	msg := bytes.Clone(bridged)
	if !p.parse(msg) {
		t.Fatal("a bridged packet does not parse")
	}
	p.fill(&f, msg)
	want := append(append(bytes.Clone(l2[:12]), 0x81, 0, 0, 42, 0x08, 0x00), 0x45, 1, 2)
	if !bytes.Equal(f.Data, want) || f.Link != linktypeEthernet || f.WireLen != uint32(len(want)) || f.Flags != pkt.FlagNFQ {
		t.Errorf("frame is %+v, want data %x", f, want)
	}
	if in, out := p.interfaces(); in != 4 || out != 5 {
		t.Errorf("interfaces() = %d, %d, want the ports 4, 5", in, out)
	}
}

func TestQueuedLocal(t *testing.T) {
	var p queued
	var f Frame
	msg := packetMessage(2, packetAttr, attr(attrOut, 0, 0, 0, 3))
	if !p.parse(msg) {
		t.Fatal("a packet without payload does not parse")
	}
	p.fill(&f, msg)
	if f.Flags != pkt.FlagNFQ|pkt.FlagOutgoing || len(f.Data) != 0 {
		t.Errorf("frame is %+v, want an empty one that goes out", f)
	}
	if in, out := p.interfaces(); in != 3 || out != 3 {
		t.Errorf("interfaces() = %d, %d, want 3, 3", in, out)
	}
}

func TestQueuedMalformed(t *testing.T) {
	short := func(typ uint16) []byte { return attr(typ, 0, 0, 0) }
	for name, msg := range map[string][]byte{
		"no attributes":    packetMessage(2),
		"no number":        packetMessage(2, attr(attrMark, 0, 0, 0, 1)),
		"short number":     packetMessage(2, short(attrPacket)),
		"short mark":       packetMessage(2, packetAttr, short(attrMark)),
		"short time":       packetMessage(2, packetAttr, short(attrTimestamp)),
		"short address":    packetMessage(2, packetAttr, short(attrHWAddr)),
		"length below 4":   packetMessage(2, packetAttr, []byte{3, 0, 3, 0}),
		"length past end":  packetMessage(2, packetAttr, []byte{0xff, 0xff, 0xff, 0xff}),
		"half a header":    packetMessage(2, packetAttr, []byte{1, 2}),
		"broken conntrack": packetMessage(2, packetAttr, attr(attrConntrack, 1, 0, 0, 0)),
		"cut off":          full[:msgHeader+2],
	} {
		var p queued
		if p.parse(msg) {
			t.Errorf("%s: parse() = true", name)
		}
	}
}

// FuzzQueue reads whole datagrams, as Next does.
func FuzzQueue(f *testing.F) {
	f.Add(full)
	f.Add(bridged)
	f.Add(append(bytes.Clone(full), bridged...))
	f.Add(packetMessage(familyBridge, attr(attrPayload, 1), packetAttr, attr(attrL2, l2...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p queued
		var fr Frame
		for rest := b; len(rest) > 0; {
			_, msg, next, ok := netlinkMessage(rest)
			if !ok {
				return
			}
			if len(next) >= len(rest) {
				t.Fatalf("a message of %d bytes left %d", len(rest), len(next))
			}
			rest = next
			if !p.parse(msg) {
				continue
			}
			p.fill(&fr, msg)
			if int(fr.WireLen) < len(fr.Data) || len(fr.Data) > len(msg) {
				t.Fatalf("%d bytes, %d of them captured, in a message of %d", fr.WireLen, len(fr.Data), len(msg))
			}
		}
	})
}
