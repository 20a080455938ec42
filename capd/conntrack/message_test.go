package conntrack

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"weir/proto/flowkey"
)

// attr lays out an attribute, nested if it is of several.
func attr(typ uint16, values ...[]byte) (b []byte) {
	b = make([]byte, 4)
	for _, v := range values {
		b = append(b, v...)
	}
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	return append(b, make([]byte, (4-len(b)&3)&3)...)
}

func num16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func num32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func num64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// direction is an attribute with a tuple.
func direction(typ uint16, src, dst string, proto uint8) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	first := uint16(ipV4Src)
	if s.Addr().Is6() {
		first = ipV6Src
	}
	return attr(typ,
		attr(tupleIP, attr(first, s.Addr().AsSlice()), attr(first+1, d.Addr().AsSlice())),
		attr(tupleProto, attr(protoNum, []byte{proto}), attr(protoSrc, num16(s.Port())), attr(protoDst, num16(d.Port()))))
}

// connected is a connection for tests; zero values are those of one that began.
type connected struct {
	client, server string // as its beginner has them
	far            string // client as the server sees it; "": the same
	origin         string // server as it is; "": the same
	proto          uint8  // 0 = TCP
	id, mark       uint32
	replied        bool
	state          uint8
	packets        [2]uint64 // 0, 0: not counted
	bytes          [2]uint64
}

func (c connected) body() []byte {
	if c.proto == 0 {
		c.proto = protoTCP
	}
	if c.far == "" {
		c.far = c.client
	}
	if c.origin == "" {
		c.origin = c.server
	}
	b := []byte{familyINET, 0, 0, 0}
	b = append(b, direction(attrOrig, c.client, c.server, c.proto)...)
	b = append(b, direction(attrReply, c.origin, c.far, c.proto)...)
	if c.replied {
		b = append(b, attr(attrStatus, num32(statusSeenReply|1))...)
	}
	b = append(b, attr(attrMark, num32(c.mark))...)
	b = append(b, attr(attrID, num32(c.id))...)
	if c.state != 0 {
		b = append(b, attr(attrProtoInfo, attr(infoTCP, attr(infoTCPState, []byte{c.state})))...)
	}
	if c.packets != [2]uint64{} {
		for i, typ := range []uint16{attrOrigCount, attrReplyCnt} {
			b = append(b, attr(typ, attr(countPackets, num64(c.packets[i])), attr(countBytes, num64(c.bytes[i])))...)
		}
	}
	return b
}

func TestParse(t *testing.T) {
	c := connected{
		client: "192.0.2.2:4000", server: "198.51.100.2:443", far: "203.0.113.1:5000", id: 0x01020304, mark: 5,
		replied: true, state: tcpTimeWait, packets: [2]uint64{10, 20}, bytes: [2]uint64{1000, 20000},
	}
	body := append(c.body(), attr(attrZone, num16(7))...)
	var e entry
	if !e.parse(body) {
		t.Fatal("not read")
	}
	want := entry{
		orig:  tuple{flowkey.V4([4]byte{192, 0, 2, 2}), flowkey.V4([4]byte{198, 51, 100, 2}), 4000, 443, 6, 4},
		reply: tuple{flowkey.V4([4]byte{198, 51, 100, 2}), flowkey.V4([4]byte{203, 0, 113, 1}), 443, 5000, 6, 4},
		count: [2]counter{{10, 1000}, {20, 20000}}, counted: true, id: 0x01020304, mark: 5, status: 3, zone: 7, tcpState: tcpTimeWait,
	}
	got := e
	got.raw, got.rawZone = nil, nil
	if got.orig != want.orig || got.reply != want.reply || got.count != want.count || !got.counted ||
		got.id != want.id || got.mark != want.mark || got.status != want.status || got.zone != want.zone || got.tcpState != want.tcpState {
		t.Errorf("parse = %+v, want %+v", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { e.parse(body) }); n != 0 {
		t.Errorf("%v allocations a message, want 0", n)
	}
	for n := range body {
		e.parse(body[:n]) // never panics; what is cut is not there
	}
	if e.parse([]byte{familyINET, 0, 0, 0}) {
		t.Error("a connection without addresses was read")
	}
}

// FuzzParse: whatever comes, nothing is read beyond its end.
func FuzzParse(f *testing.F) {
	f.Add(connected{client: "192.0.2.2:4000", server: "198.51.100.2:443", packets: [2]uint64{1, 2}, state: 8}.body())
	f.Add(connected{client: "[2001:db8::2]:4000", server: "[2001:db8::1]:53", proto: protoUDP}.body())
	f.Add(request(nil, familyINET, 1, attr(1), attr(18, num16(3))))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e entry
		ok := e.parse(b)
		for _, body := range messages(b) {
			ok = e.parse(body) || ok
		}
		if ok && (len(e.raw) > len(b) || e.orig.version != 4 && e.orig.version != 6 && e.orig.version != 0) {
			t.Errorf("parse gave %+v", e)
		}
	})
}
