package dissect

import (
	"bytes"
	"encoding/binary"
)

// Google's QUIC before the IETF's: until Q043 with a public header of its own, Q044
// to Q046 with a long header of an old draft, in both with a hello in clear
// (docs/quic of Chromium, "QUIC Wire Layout Specification" and "QUIC Crypto").

// googleHeader reports whether b begins with the public header of a client's first
// packets: version present, no reset, connection id of eight bytes.
//
//	u8 flags, u64 connection id, "Q0nn", packet number of 1, 2, 4 or 6 bytes
//
// The flags are 4 bits of evidence, the version 26.
func googleHeader(b []byte) bool {
	return len(b) >= 14 && b[0]&0x8b == 0x09 && googleVersion(b[9:13])
}

// googleLong reports whether b begins with the long header of Q044 to Q046, where
// one byte holds both lengths of connection ids.
func googleLong(b []byte) bool {
	return len(b) >= 18 && b[0]&0xc0 != 0 && googleVersion(b[1:5]) && b[3] == '4' && b[4] >= '4' && b[4] <= '6' &&
		(b[5] == 0x50 || b[5] == 0x05)
}

// googleReject reports whether b is a server's REJ in clear, the only packet of its
// side that tells: no version, the connection id, perhaps a nonce of 32 bytes, the
// packet number, a hash, the header of the stream frame and then the tag, a number
// of entries and sixteen zero bits.
func googleReject(b []byte) bool {
	const before = 1 + 8 + 32 + 6 + 12 + 1 + 12
	if len(b) < 40 || b[0]&0x8b != 0x08 {
		return false
	}
	i := bytes.Index(b[:min(len(b), before)], []byte("REJ\x00"))
	return i > 0 && len(b) >= i+8 && b[i+5] == 0 && b[i+6] == 0 && b[i+7] == 0
}

func googleVersion(b []byte) bool {
	return b[0] == 'Q' && b[1] == '0' && b[2] >= '0' && b[2] <= '4' && b[3] >= '0' && b[3] <= '9'
}

// google judges a packet of those versions. The tag of the hello, or a second packet
// of the same connection, is what the version lacks in evidence.
func (s quicState) google(in *Input, out *Result) Verdict {
	b := in.Packet
	var cid, rest []byte
	var version uint32
	switch {
	case googleLong(b):
		version, cid, rest = binary.BigEndian.Uint32(b[1:]), b[6:14], b[14:]
	case googleHeader(b):
		version, cid = binary.BigEndian.Uint32(b[9:]), b[1:9]
		rest = b[min(len(b), 13+[...]int{1, 2, 4, 6}[b[0]>>4&3]):]
	case s.version() == 0 && googleReject(b):
		s.set(qsGoogle | qsKnown | qsREJ)
		return s.googleReport(in, out)
	case s.flag(qsGoogle): // the other side, or a later packet
		return s.googleReport(in, out)
	default:
		return No
	}
	s.set(qsGoogle)
	again := s.version() == version && bytes.Equal(s.cid(qsDCID), cid)
	binary.LittleEndian.PutUint32(s[qsVersion:], version)
	s.putCID(qsDCID, cid)
	if again {
		s.set(qsKnown)
	}
	// Hash, private flags and the header of the stream frame stand before the hello.
	const before = 40
	if i := bytes.Index(rest[:min(len(rest), before)], []byte("CHLO")); i >= 0 {
		s.set(qsKnown | qsCHLO)
		s.hello().put(0, rest[i:])
	}
	return s.googleReport(in, out)
}

func (s quicState) googleReport(in *Input, out *Result) Verdict {
	late := in.ClientCount+in.ServerCount > quicPatience/2
	if !s.flag(qsKnown) {
		if late {
			return No
		}
		return More
	}
	var buf [16]byte
	if s.flag(qsREJ) && s.version() == 0 {
		out.Rule("gQUIC REJ", 95)
		return Yes
	}
	out.Str("quic.version", quicVersionName(buf[:0], s.version()))
	out.Hex("quic.dcid", s.cid(qsDCID))
	out.Rule("gQUIC version", 90)
	if s.flag(qsCHLO) {
		out.Rule("gQUIC CHLO", 100)
		if reportCHLO(s.hello().prefix(), out) {
			return Yes
		}
	}
	if late {
		return Yes
	}
	return YesMore
}

// reportCHLO reads the client's hello of QUIC Crypto: "CHLO", u16 number of entries,
// u16 zero, for each entry its tag and where its value ends, then the values; all
// little-endian. It reports whether the name was found.
func reportCHLO(b []byte, out *Result) bool {
	if len(b) < 8 || string(b[:4]) != "CHLO" {
		return false
	}
	n := int(binary.LittleEndian.Uint16(b[4:]))
	if n > 128 || len(b) < 8+8*n {
		return false
	}
	entries, values := b[8:8+8*n], b[8+8*n:]
	found, start := false, uint32(0)
	for ; len(entries) > 0; entries = entries[8:] {
		end := binary.LittleEndian.Uint32(entries[4:])
		if end < start || end > uint32(len(values)) {
			return found
		}
		v := values[start:end]
		switch string(entries[:4]) {
		case "SNI\x00":
			out.SetHost(v)
			out.Str("tls.sni", v)
			found = true
		case "UAID":
			out.Str("quic.user_agent", v[:min(len(v), 255)])
		}
		start = end
	}
	return found
}

// wholeCHLO reports whether b holds a hello of QUIC Crypto up to its last value. What
// is no such hello has no more to come.
func wholeCHLO(b []byte) bool {
	const head = 8
	if len(b) < head {
		return false
	}
	n := int(binary.LittleEndian.Uint16(b[4:]))
	if string(b[:4]) != "CHLO" || n == 0 || n > 128 {
		return true
	}
	values := b[min(head+8*n, len(b)):]
	return len(b) >= head+8*n && uint64(binary.LittleEndian.Uint32(b[head+8*n-4:])) <= uint64(len(values))
}
