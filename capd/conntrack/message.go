package conntrack

import (
	"encoding/binary"
	"iter"

	"weir/proto/flowkey"
)

// What the kernel sends about a connection: a netlink message whose body is 4 bytes
// (family, version, resource) and nested attributes. Headers are in host byte order,
// values in network byte order; see linux/netfilter/nfnetlink_conntrack.h. These numbers
// are part of the format, do not change.
const (
	msgHeader = 16 // struct nlmsghdr: length u32, type u16, flags u16, sequence u32, port u32
	genHeader = 4  // struct nfgenmsg: family u8, version u8, resource u16

	msgError  = 2
	msgDone   = 3
	msgNew    = 1 << 8 // NFNL_SUBSYS_CTNETLINK<<8 | IPCTNL_MSG_CT_*
	msgGet    = 1<<8 | 1
	msgDelete = 1<<8 | 2

	flagRequest     = 0x1
	flagInterrupted = 0x10 // the table was resized during a dump
	flagDump        = 0x300
	flagCreate      = 0x400

	attrTypeMask = 1<<14 - 1 // above are NLA_F_NESTED and NLA_F_NET_BYTEORDER

	attrOrig, attrReply         = 1, 2
	attrStatus, attrProtoInfo   = 3, 4
	attrMark                    = 8
	attrOrigCount, attrReplyCnt = 9, 10
	attrID, attrZone            = 12, 18

	tupleIP, tupleProto                = 1, 2
	ipV4Src, ipV4Dst, ipV6Src, ipV6Dst = 1, 2, 3, 4
	protoNum, protoSrc, protoDst       = 1, 2, 3
	countPackets, countBytes           = 1, 2
	infoTCP, infoTCPState              = 1, 1

	statusSeenReply = 1 << 1

	tcpTimeWait, tcpClose = 7, 8 // enum tcp_conntrack
)

// tuple is one direction of a connection.
type tuple struct {
	src, dst     [16]byte // IPv4 as ::ffff:a.b.c.d
	sport, dport uint16   // 0 unless the protocol has ports
	proto        uint8
	version      uint8 // 4 or 6
}

// counter is what one direction has sent: packets, and bytes from the IP header on.
type counter struct{ packets, bytes uint64 }

// entry is a connection as a message tells of it.
type entry struct {
	orig, reply  tuple
	count        [2]counter // of orig, of reply
	counted      bool
	id, mark     uint32
	status       uint32
	zone         uint16
	tcpState     uint8
	raw, rawZone []byte // the attributes of orig and zone, to ask for the connection by
}

// attributes are those of b, with the bytes of each as a whole and its value. They end
// where the rest is not whole.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			n := int(binary.NativeEndian.Uint16(b))
			if n < 4 || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[:n:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// parse reads the body of a message. It reports false when that is not about a
// connection between two addresses.
func (e *entry) parse(body []byte) bool {
	*e = entry{}
	if len(body) < genHeader {
		return false
	}
	for typ, a := range attributes(body[genHeader:]) {
		v := a[4:]
		switch typ {
		case attrOrig:
			e.orig.parse(v)
			e.raw = a
		case attrReply:
			e.reply.parse(v)
		case attrStatus:
			e.status = be32(v)
		case attrProtoInfo:
			e.tcpState = tcpState(v)
		case attrMark:
			e.mark = be32(v)
		case attrOrigCount:
			e.counted = e.count[0].parse(v)
		case attrReplyCnt:
			e.counted = e.count[1].parse(v) && e.counted
		case attrID:
			e.id = be32(v)
		case attrZone:
			e.zone, e.rawZone = be16(v), a
		}
	}
	return e.orig.version != 0 && e.orig.version == e.reply.version
}

func (t *tuple) parse(b []byte) {
	var ends int
	for typ, a := range attributes(b) {
		switch typ {
		case tupleIP:
			ends = t.addresses(a[4:])
		case tupleProto:
			t.protocol(a[4:])
		}
	}
	if ends != 2 {
		t.version = 0
	}
}

// addresses returns how many there are.
func (t *tuple) addresses(b []byte) (n int) {
	for typ, a := range attributes(b) {
		v := a[4:]
		end := &t.src
		if typ == ipV4Dst || typ == ipV6Dst {
			end = &t.dst
		}
		switch {
		case (typ == ipV4Src || typ == ipV4Dst) && len(v) == 4:
			*end, t.version = flowkey.V4([4]byte(v)), 4
		case (typ == ipV6Src || typ == ipV6Dst) && len(v) == 16:
			*end, t.version = [16]byte(v), 6
		default:
			continue
		}
		n++
	}
	return n
}

func (t *tuple) protocol(b []byte) {
	for typ, a := range attributes(b) {
		v := a[4:]
		switch {
		case typ == protoNum && len(v) == 1:
			t.proto = v[0]
		case typ == protoSrc:
			t.sport = be16(v)
		case typ == protoDst:
			t.dport = be16(v)
		}
	}
}

// parse reports whether both numbers are there.
func (c *counter) parse(b []byte) bool {
	n := 0
	for typ, a := range attributes(b) {
		v := a[4:]
		switch {
		case len(v) != 8:
		case typ == countPackets:
			c.packets = binary.BigEndian.Uint64(v)
			n++
		case typ == countBytes:
			c.bytes = binary.BigEndian.Uint64(v)
			n++
		}
	}
	return n == 2
}

func tcpState(b []byte) uint8 {
	for typ, info := range attributes(b) {
		if typ != infoTCP {
			continue
		}
		for typ, a := range attributes(info[4:]) {
			if typ == infoTCPState && len(a) == 5 {
				return a[4]
			}
		}
	}
	return 0
}

// be16 and be32 read a value of their length; another one is 0.
func be16(b []byte) uint16 {
	if len(b) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func be32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// request lays out a message: a dump of all connections, or with attributes the question
// for one.
func request(dst []byte, family uint8, sequence uint32, attrs ...[]byte) []byte {
	flags := uint16(flagRequest)
	if len(attrs) == 0 {
		flags |= flagDump
	}
	start := len(dst)
	dst = append(dst, make([]byte, msgHeader)...)
	dst = append(dst, family, 0, 0, 0)
	for _, a := range attrs {
		dst = append(dst, a...)
		dst = append(dst, make([]byte, (4-len(a)&3)&3)...)
	}
	h := dst[start:]
	binary.NativeEndian.PutUint32(h[0:], uint32(len(h)))
	binary.NativeEndian.PutUint16(h[4:], msgGet)
	binary.NativeEndian.PutUint16(h[6:], flags)
	binary.NativeEndian.PutUint32(h[8:], sequence)
	return dst
}

// messages are those of b: type, flags and body. They end where the rest is not whole.
func messages(b []byte) iter.Seq2[header, []byte] {
	return func(yield func(header, []byte) bool) {
		for len(b) >= msgHeader {
			n := int(binary.NativeEndian.Uint32(b))
			if n < msgHeader || n > len(b) {
				return
			}
			h := header{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:])}
			if !yield(h, b[msgHeader:n:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

type header struct {
	typ, flags uint16
	sequence   uint32
}
