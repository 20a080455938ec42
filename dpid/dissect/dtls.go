package dissect

import "encoding/binary"

func init() {
	register(Spec{
		Name: "dtls", ID: 17, Category: "network", Over: UDP,
		Ports:   []uint16{443, 4433, 5684, 5349, 2221, 10000},
		Scratch: dtlsStateSize, Detect: detectDTLS,
	})
}

// Records of DTLS, RFC 6347 section 4.1, RFC 9147 section 4, RFC 9146 section 3.
const (
	dtlsHeader    = 13
	dtlsMsgHeader = 12
	recordCID     = 25
	recordACK     = 26
)

// What a flow's scratch holds: the messages that are gathered from fragments.
const (
	dtlsHelloRoom  = 4 << 10
	dtlsAnswerRoom = 2 << 10
	dtlsCertRoom   = 6 << 10 // the first certificate is enough

	dsFlags  = 0
	dsAlert  = 1
	dsHello  = 2  // length and number of the ClientHello: u24, u16
	dsAnswer = 7  // the same of the ServerHello
	dsCert   = 12 // and of the Certificate

	dsHelloData  = 64
	dsAnswerData = dsHelloData + dtlsHelloRoom + dtlsHelloRoom/8
	dsCertData   = dsAnswerData + dtlsAnswerRoom + dtlsAnswerRoom/8

	dtlsStateSize = dsCertData + dtlsCertRoom + dtlsCertRoom/8
)

// Flags at dsFlags.
const (
	dsSealed   = 1 << iota // the answering side has begun to encrypt
	dsAlerted              // an alert in clear came, its description is at dsAlert
	dsAnswered             // a ServerHello came
	dsTurned               // it came from the side that the worker calls client
	dsHailed               // a ClientHello came
	dsBegun                // records came
)

// dtlsState is the scratch of a flow.
type dtlsState []byte

func (s dtlsState) flag(f byte) bool { return s[dsFlags]&f != 0 }
func (s dtlsState) set(f byte)       { s[dsFlags] |= f }

func (s dtlsState) gatherAt(at int) gather {
	switch at {
	case dsHello:
		return newGather(s[dsHelloData:], dtlsHelloRoom)
	case dsAnswer:
		return newGather(s[dsAnswerData:], dtlsAnswerRoom)
	}
	return newGather(s[dsCertData:], dtlsCertRoom)
}

func (s dtlsState) sizeAt(at int) int {
	return int(s[at])<<16 | int(s[at+1])<<8 | int(s[at+2])
}

// detectDTLS wants datagrams of whole records. One record header is a type, a
// version of two bytes, an epoch that is small and a length that ends with the
// datagram: more than 40 bits. Only a hello may be cut, since it says its length
// twice more. STUN may come first on the same flow (RFC 7983): it is waited out.
func detectDTLS(in *Input, out *Result) Verdict {
	if len(in.Scratch) < dtlsStateSize {
		return No
	}
	s := dtlsState(in.Scratch[:dtlsStateSize])
	if !s.flag(dsBegun) {
		if !dtlsDatagram(in.Packet) {
			if stunFraming(in.Packet) {
				return More
			}
			return No
		}
		s.set(dsBegun)
	}
	s.records(in.Packet, in.FromServer)
	return s.report(in, out)
}

// stunFraming reports whether b has the header of STUN and a length that fits.
func stunFraming(b []byte) bool {
	return len(b) >= 20 && b[0] < 4 && int(binary.BigEndian.Uint16(b[2:])) == len(b)-20
}

// dtlsDatagram reports whether b is records of DTLS and nothing else. DTLS 1.3
// writes short headers (RFC 9147 section 4) behind them.
func dtlsDatagram(b []byte) bool {
	if len(b) < dtlsHeader+1 {
		return false
	}
	for first := true; len(b) > 0; first = false {
		if !first && b[0]&0xe0 == 0x20 {
			return true
		}
		if len(b) < dtlsHeader || b[0] < recordCipherSpec || b[0] > recordACK || !dtlsVersion(b) {
			return false
		}
		// Renegotiation moves the epoch on, sequence numbers begin with zero.
		if binary.BigEndian.Uint16(b[3:]) > 16 || b[5] != 0 || b[6] != 0 {
			return false
		}
		if b[0] == recordCID {
			return len(b) > dtlsHeader+8 // its length stands behind an id of unknown length
		}
		size := int(binary.BigEndian.Uint16(b[11:]))
		if size == 0 || size > len(b)-dtlsHeader {
			return first && dtlsCutHello(b, size)
		}
		b = b[dtlsHeader+size:]
	}
	return true
}

// dtlsVersion looks at the version in a record header. 0x0100 is what OpenSSL before
// 0.9.8f and AnyConnect to this day write.
func dtlsVersion(b []byte) bool {
	return b[1] == 0xfe && b[2] >= 0xfc && b[2] != 0xfe || b[1] == 1 && b[2] == 0
}

// dtlsCutHello reports whether b is the start of a record with one ClientHello or
// ServerHello whose end was not captured.
func dtlsCutHello(b []byte, size int) bool {
	if b[0] != recordHandshake || len(b) < dtlsHeader+dtlsMsgHeader+2 || binary.BigEndian.Uint16(b[3:]) != 0 {
		return false
	}
	m := b[dtlsHeader:]
	total, off, n := uint24(m[1:]), uint24(m[6:]), uint24(m[9:])
	return (m[0] == msgClientHello || m[0] == msgServerHello) && n+dtlsMsgHeader == size && off == 0 && n <= total &&
		(m[12] == 0xfe || m[12] == 1)
}

// records takes what matters of a datagram.
func (s dtlsState) records(b []byte, fromServer bool) {
	for len(b) >= dtlsHeader && b[0] >= recordCipherSpec && b[0] <= recordACK && dtlsVersion(b) {
		size := int(binary.BigEndian.Uint16(b[11:]))
		body := b[dtlsHeader:min(dtlsHeader+size, len(b))]
		epoch := binary.BigEndian.Uint16(b[3:])
		answering := s.flag(dsAnswered) && fromServer != s.flag(dsTurned)
		switch {
		case epoch > 0 || b[0] == recordCipherSpec || b[0] == recordCID:
			if answering || !s.flag(dsHailed) {
				s.set(dsSealed)
			}
		case b[0] == recordHandshake:
			s.handshake(body, fromServer)
		case b[0] == recordAlert && size == 2 && len(body) == 2:
			s.set(dsAlerted)
			s[dsAlert] = body[1]
		}
		b = b[dtlsHeader+len(body):]
	}
	if len(b) > 0 && b[0]&0xe0 == 0x20 && s.flag(dsAnswered) { // a record of DTLS 1.3
		s.set(dsSealed)
	}
}

// handshake gathers the fragments in one record, RFC 6347 section 4.2.2.
func (s dtlsState) handshake(b []byte, fromServer bool) {
	for len(b) >= dtlsMsgHeader {
		n := uint24(b[9:])
		part := b[dtlsMsgHeader:min(dtlsMsgHeader+n, len(b))]
		at := 0
		switch b[0] {
		case msgClientHello:
			s.set(dsHailed)
			at = dsHello
		case msgServerHello:
			if !s.flag(dsAnswered) {
				s.set(dsAnswered)
				if !fromServer {
					s.set(dsTurned)
				}
			}
			at = dsAnswer
		case msgCertificate:
			if s.flag(dsAnswered) && fromServer != s.flag(dsTurned) || !s.flag(dsHailed) {
				at = dsCert
			}
		}
		if at != 0 {
			s.fragment(at, b[1:6], uint24(b[6:]), part)
		}
		b = b[dtlsMsgHeader+len(part):]
	}
}

// fragment adds a part to the message at; head is its length and number. A message
// that is whole stays; another one takes the place of one that is not: the client
// says hello again when it was given a cookie.
func (s dtlsState) fragment(at int, head []byte, off int, part []byte) {
	g := s.gatherAt(at)
	if string(s[at:at+5]) != string(head) {
		if size := s.sizeAt(at); size > 0 && len(g.prefix()) >= size {
			return
		}
		copy(s[at:], head)
		g.reset()
	}
	g.put(uint64(off), part)
}

// report tells what is known so far.
func (s dtlsState) report(in *Input, out *Result) Verdict {
	var client clientHello
	size := s.sizeAt(dsHello)
	if s.flag(dsHailed) {
		out.Rule("ClientHello", 100)
	}
	if msg := s.gatherAt(dsHello).prefix(); len(msg) > 0 {
		client = parseClientHello(msg, size, true)
		client.report('d', out)
	}
	if s.flag(dsHailed) && !s.flag(dsAnswered) && !client.whole && size <= dtlsHelloRoom {
		out.Unfinished()
	}
	done := false
	if msg := s.gatherAt(dsAnswer).prefix(); len(msg) > 0 {
		if !s.flag(dsHailed) {
			out.Rule("ServerHello", 100)
		}
		done = s.reportAnswer(msg, &client, out)
	}
	if !s.flag(dsHailed) && !s.flag(dsAnswered) {
		out.Rule("DTLS records", 90)
		done = s.flag(dsSealed)
	}
	if s.flag(dsAlerted) {
		var buf [32]byte
		out.StrList("tls.alert", append(buf[:0], alertName(s[dsAlert])...))
	}
	if done || in.ClientCount+in.ServerCount > dtlsPatience {
		return Yes
	}
	return YesMore
}

// dtlsPatience is how many datagrams of a known flow are waited for.
const dtlsPatience = 24

func (s dtlsState) reportAnswer(msg []byte, client *clientHello, out *Result) bool {
	h := parseServerHello(msg, s.sizeAt(dsAnswer))
	h.report('d', out)
	names := len(client.sni) == 0 && !s.flag(dsSealed) // only a certificate can
	switch {
	case !h.whole:
		if names {
			out.Unfinished()
		}
		return false
	case h.tls13():
		if !h.retry {
			out.Bool("tls.resumed", h.psk)
		}
		return !h.retry || s.flag(dsSealed)
	}
	if der, ok := firstCertificate(s.gatherAt(dsCert).prefix()); ok {
		out.Bool("tls.resumed", false)
		reportCertificate(der, len(client.sni) == 0, out)
		return true
	}
	if s.flag(dsSealed) && s.sizeAt(dsCert) == 0 {
		out.Bool("tls.resumed", true)
	}
	if names {
		out.Unfinished()
	}
	return s.flag(dsSealed)
}
