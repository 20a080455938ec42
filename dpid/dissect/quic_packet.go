package dissect

import "encoding/binary"

// Kinds of long header packets, in the numbers of version 1 (RFC 9000 section
// 17.2). Version 2 gives them others (RFC 9369 section 3.2).
const (
	quicInitial = iota
	quicZeroRTT
	quicHandshake
	quicRetry
	quicNegotiation
)

// maxCID is the longest connection id that a known version has.
const maxCID = 20

// quicPacket is one packet with a long header, as views of its datagram.
type quicPacket struct {
	version uint32
	kind    int
	dcid    []byte
	scid    []byte
	header  int    // where the packet number stands
	all     []byte // the packet from its first byte to its last, as far as captured
	whole   bool   // its length fits into the datagram
}

// parseLong reads the packet that b begins with. rest is what follows it in the
// datagram. It returns false for what no known version of QUIC would write.
func parseLong(b []byte) (p quicPacket, rest []byte, ok bool) {
	if len(b) < 7 || b[0]&0x80 == 0 {
		return p, nil, false
	}
	p.version = binary.BigEndian.Uint32(b[1:])
	var tail []byte
	if p.dcid, tail, ok = cutVector(b[5:], 1); !ok {
		return p, nil, false
	}
	if p.scid, tail, ok = cutVector(tail, 1); !ok || len(p.dcid) > maxCID || len(p.scid) > maxCID {
		return p, nil, false
	}
	if p.version == 0 {
		p.kind, p.all, p.whole = quicNegotiation, b, true
		return p, nil, negotiable(tail)
	}
	if !knownQUIC(p.version) || b[0]&0x40 == 0 {
		return p, nil, false
	}
	p.kind = int(b[0] >> 4 & 3)
	if isQUICv2(p.version) {
		p.kind = (p.kind + 3) & 3
	}
	if p.kind == quicRetry {
		p.all, p.whole = b, true
		return p, nil, len(tail) >= 16 // the integrity tag; drafts before 25 had a connection id
	}
	if p.kind == quicInitial {
		n, after, ok := quicVarint(tail)
		if !ok || n > uint64(len(after)) {
			return p, nil, false
		}
		tail = after[n:]
	}
	size, body, ok := quicVarint(tail)
	if !ok || size < 1+16 || size > 1<<16 {
		return p, nil, false
	}
	p.header = len(b) - len(body)
	p.whole = size <= uint64(len(body))
	n := min(int(size), len(body))
	p.all = b[: p.header+n : p.header+n]
	return p, body[n:], true
}

// knownQUIC reports whether v is a version whose long header is that of RFC 8999
// and whose packet kinds are known. Versions that are there to be refused (RFC 9000
// section 15) are known too.
func knownQUIC(v uint32) bool {
	switch v {
	case quicV1, quicV2, quicV2Draft, quicV2First, quicQ050, quicT050, quicT051:
		return true
	}
	draft := v & 0xff
	return v>>8 == 0xff0000 && draft >= 22 && draft <= 34 || v>>8 == 0xfaceb0 || reservedQUIC(v)
}

func reservedQUIC(v uint32) bool { return v&0x0f0f0f0f == 0x0a0a0a0a }

// negotiable reports whether b is the list of a Version Negotiation packet, RFC
// 9000 section 17.2.1: at least one version in it is known.
func negotiable(b []byte) bool {
	if len(b) == 0 || len(b)%4 != 0 || len(b) > 4*64 {
		return false
	}
	for ; len(b) > 0; b = b[4:] {
		v := binary.BigEndian.Uint32(b)
		if knownQUIC(v) && !reservedQUIC(v) || v>>16 == 'Q'<<8|'0' {
			return true
		}
	}
	return false
}

// quicVarint reads a variable-length integer, RFC 9000 section 16.
func quicVarint(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, nil, false
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, b[n:], true
}

// Frames that may stand in an Initial, RFC 9000 section 12.4; Google's crypto frame
// of Q050 and T05x has a number of its own.
const (
	framePadding    = 0x00
	framePing       = 0x01
	frameACK        = 0x02
	frameACKECN     = 0x03
	frameCrypto     = 0x06
	frameGooglePing = 0x07
	frameGoogleData = 0x08
)

// gatherFrames puts the CRYPTO frames of an opened packet into g. It stops at what
// it does not know.
func gatherFrames(g gather, version uint32, b []byte) {
	google := version == quicQ050 || version == quicT050 || version == quicT051
	for len(b) > 0 {
		if len(b) >= 8 && binary.LittleEndian.Uint64(b) == 0 {
			b = b[8:] // padding, of which there is much
			continue
		}
		kind := b[0]
		b = b[1:]
		switch {
		case kind == framePadding || kind == framePing || google && kind == frameGooglePing:
		case kind == frameCrypto || google && kind == frameGoogleData:
			off, rest, _ := quicVarint(b)
			size, rest, ok := quicVarint(rest)
			if !ok {
				return
			}
			n := int(min(size, uint64(len(rest))))
			g.put(off, rest[:n])
			b = rest[n:]
		case kind == frameACK || kind == frameACKECN:
			var ok bool
			if b, ok = skipACK(b, kind == frameACKECN); !ok {
				return
			}
		default:
			return
		}
	}
}

// skipACK skips the body of an ACK frame, RFC 9000 section 19.3.
func skipACK(b []byte, ecn bool) (rest []byte, ok bool) {
	skip := func(n uint64) {
		for ; ok && n > 0; n-- {
			_, b, ok = quicVarint(b)
		}
	}
	ok = true
	skip(2)
	var ranges uint64
	if ok {
		ranges, b, ok = quicVarint(b)
	}
	if ok = ok && ranges <= uint64(len(b)); ok {
		skip(1 + 2*ranges)
	}
	if ecn {
		skip(3)
	}
	return b, ok
}
