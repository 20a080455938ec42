package dissect

import (
	"encoding/binary"
)

func init() {
	register(Spec{
		Name: "quic", ID: 3, Category: "web", Over: UDP, Ports: []uint16{443, 80, 853, 784, 8853},
		Scratch: quicStateSize, Detect: detectQUIC,
	})
}

// What a flow's scratch holds: the keys once they are known, and the handshake
// messages of both sides as far as they came.
const (
	quicClientRoom = 8 << 10 // a post-quantum ClientHello is 2 KB, tickets are a few hundred bytes
	quicServerRoom = 2 << 10 // ServerHello; what follows it is not in Initial packets

	qsFlags   = 0
	qsSalt    = 1 // which try of saltOf was right
	qsEarly   = 2 // 1: data that goes with a hello came, the hello did not
	qsVersion = 4
	qsDCID    = 8 // length and up to 20 bytes, as all connection ids here
	qsSCID    = qsDCID + 1 + maxCID
	qsCID     = qsSCID + 1 + maxCID // the one that the keys come from
	qsClient  = qsCID + 1 + maxCID  // keys
	qsServer  = qsClient + quicKeysSize
	qsHello   = (qsServer + quicKeysSize + 63) &^ 63
	qsAnswer  = qsHello + quicClientRoom + quicClientRoom/8

	quicStateSize = qsAnswer + quicServerRoom + quicServerRoom/8
)

// Flags at qsFlags.
const (
	qsKnown     = 1 << iota // it is QUIC
	qsKeys                  // the client's keys are there
	qsAnswering             // and the server's
	qsRetry                 // a Retry was seen
	qsGoogle                // it is, or may be, Google's before the IETF's
	qsCHLO                  // whose hello came
	qsREJ                   // only Google's server was heard
	qsTurned                // the worker took the server for the client
)

// quicState is the scratch of a flow.
type quicState []byte

func (s quicState) flag(f byte) bool  { return s[qsFlags]&f != 0 }
func (s quicState) drop(f byte)       { s[qsFlags] &^= f }
func (s quicState) set(f byte)        { s[qsFlags] |= f }
func (s quicState) version() uint32   { return binary.LittleEndian.Uint32(s[qsVersion:]) }
func (s quicState) hello() gather     { return newGather(s[qsHello:], quicClientRoom) }
func (s quicState) answer() gather    { return newGather(s[qsAnswer:], quicServerRoom) }
func (s quicState) cid(at int) []byte { return s[at+1 : at+1+min(int(s[at]), maxCID)] }
func (s quicState) putCID(at int, b []byte) {
	s[at] = byte(copy(s[at+1:at+1+maxCID], b))
}

func (s quicState) keys(at int) (k quicKeys) {
	copy(k.key[:], s[at:])
	copy(k.iv[:], s[at+16:])
	copy(k.hp[:], s[at+28:])
	return k
}

func (s quicState) putKeys(at int, k *quicKeys) {
	copy(s[at:], k.key[:])
	copy(s[at+16:], k.iv[:])
	copy(s[at+28:], k.hp[:])
}

// detectQUIC follows the handshake of RFC 9000 and 9001 through the datagrams of
// both sides. A long header of a known version whose lengths fit is 32 bits of
// version and more of structure; a packet that opens under the keys that only QUIC
// derives is proof. Short headers prove nothing and are not claimed.
func detectQUIC(in *Input, out *Result) Verdict {
	b := in.Packet
	if len(in.Scratch) < quicStateSize {
		return No
	}
	s := quicState(in.Scratch[:quicStateSize])
	long := len(b) > 0 && b[0]&0x80 != 0
	switch {
	case s.flag(qsGoogle) || !long && !s.flag(qsKnown) || googleLong(b):
		return s.google(in, out)
	case long:
		s.datagram(in, b, in.FromServer)
	}
	if !s.flag(qsKnown) {
		return s.reserved(in)
	}
	return s.report(in, !long, out)
}

// datagram takes the packets of one datagram, of which there may be several.
func (s quicState) datagram(in *Input, b []byte, fromServer bool) {
	for first := true; len(b) > 0; first = false {
		p, rest, ok := parseLong(b)
		if !ok || !p.whole && !first {
			return // padding, a short header, or no QUIC at all
		}
		if reservedQUIC(p.version) {
			return
		}
		s.packet(in, &p, fromServer)
		b = rest
	}
}

func (s quicState) packet(in *Input, p *quicPacket, fromServer bool) {
	if !s.flag(qsKnown) {
		s.set(qsKnown)
		s.learn(p, fromServer)
	}
	switch p.kind {
	case quicRetry:
		s.set(qsRetry)
	case quicZeroRTT:
		s[qsEarly] = 1
	case quicInitial:
		s.initial(in, p, fromServer)
	}
}

// learn keeps version and connection ids, as the client named them.
func (s quicState) learn(p *quicPacket, fromServer bool) {
	binary.LittleEndian.PutUint32(s[qsVersion:], p.version)
	if fromServer {
		s.putCID(qsSCID, p.dcid)
		s.putCID(qsDCID, nil)
		return
	}
	s.putCID(qsDCID, p.dcid)
	s.putCID(qsSCID, p.scid)
}

// initial opens the packet and gathers what is in it.
func (s quicState) initial(in *Input, p *quicPacket, fromServer bool) {
	var room [2048]byte // more than a datagram holds on the networks there are
	if s.flag(qsKeys) {
		order := [...]int{qsClient, qsServer}
		if fromServer != s.flag(qsTurned) {
			order = [...]int{qsServer, qsClient}
		}
		for _, side := range order {
			if side == qsServer && !s.flag(qsAnswering) {
				s.deriveServer()
			}
			k := s.keys(side)
			if plain, ok := k.open(room[:], p); ok {
				s.gather(side, plain)
				return
			}
		}
		if string(p.dcid) == string(s.cid(qsCID)) || p.version != s.version() && s.upgrade(room[:], p) {
			return
		}
	}
	// The client's first packet, or its first after a Retry, which begins anew.
	for try := 0; ; try++ {
		salt := saltOf(p.version, try)
		if salt == nil {
			return
		}
		var k quicKeys
		k.derive(salt, p.version, p.dcid, infoClient)
		plain, ok := k.open(room[:], p)
		if !ok {
			continue
		}
		s.hello().reset()
		s.answer().reset()
		if !s.flag(qsRetry) {
			s.learn(p, false)
		}
		s.putCID(qsCID, p.dcid)
		s.putKeys(qsClient, &k)
		s[qsSalt] = byte(try)
		s.set(qsKeys)
		s.drop(qsAnswering)
		if fromServer {
			s.set(qsTurned)
		}
		s.gather(qsClient, plain)
		s.catchUp(in, fromServer)
		return
	}
}

// upgrade follows peers that agreed on another version without a round trip (RFC
// 9368): its keys come from the same connection id.
func (s quicState) upgrade(room []byte, p *quicPacket) bool {
	salt := saltOf(p.version, 0)
	if salt == nil {
		return false
	}
	var server, client quicKeys
	server.derive(salt, p.version, s.cid(qsCID), infoServer)
	plain, ok := server.open(room, p)
	if !ok {
		return false
	}
	client.derive(salt, p.version, s.cid(qsCID), infoClient)
	s.putKeys(qsServer, &server)
	s.putKeys(qsClient, &client)
	s.set(qsAnswering)
	s[qsSalt] = 0
	binary.LittleEndian.PutUint32(s[qsVersion:], p.version)
	s.gather(qsServer, plain)
	return true
}

// deriveServer makes the keys of the other side, now that it answers.
func (s quicState) deriveServer() {
	var k quicKeys
	k.derive(saltOf(s.version(), int(s[qsSalt])), s.version(), s.cid(qsCID), infoServer)
	s.putKeys(qsServer, &k)
	s.set(qsAnswering)
}

// catchUp looks again at the first datagram of the other side when it came before
// the keys.
func (s quicState) catchUp(in *Input, fromServer bool) {
	other := in.Server
	if fromServer {
		other = in.Client
	}
	if len(other) > 0 && other[0]&0x80 != 0 {
		s.datagram(in, other, !fromServer)
	}
}

func (s quicState) gather(side int, plain []byte) {
	g := s.hello()
	if side == qsServer {
		g = s.answer()
	}
	gatherFrames(g, s.version(), plain)
}

// reserved judges a client that asks for a version that nobody speaks, to be
// refused: sixteen bits of version, so the size that RFC 9000 section 14.1 demands
// has to be there and the refusal to follow. It is QUIC when that comes.
func (s quicState) reserved(in *Input) Verdict {
	p, _, ok := parseLong(in.Packet)
	if ok && reservedQUIC(p.version) && len(p.dcid) >= 8 && len(in.Packet) >= 1200 {
		return More
	}
	return No
}

// report tells what is known so far. past means that packets of the time after the
// handshake have come.
func (s quicState) report(in *Input, past bool, out *Result) Verdict {
	var buf [16]byte
	if v := s.version(); v != 0 {
		out.Str("quic.version", quicVersionName(buf[:0], v))
	}
	out.Hex("quic.dcid", s.cid(qsDCID))
	out.Hex("quic.scid", s.cid(qsSCID))
	if s.flag(qsRetry) {
		out.Bool("quic.retry", true)
	}
	out.Rule("QUIC long header", 90)
	if s.flag(qsKeys) {
		out.Rule("QUIC Initial opened", 100)
	}
	done := false
	if msg := s.hello().prefix(); len(msg) > 0 {
		done = s.reportHello(msg, out)
	}
	answered := s.reportAnswer(out)
	if !done && !past && s.awaitsHello() {
		out.Unfinished()
	}
	if done && answered || past || in.ClientCount+in.ServerCount > quicPatience {
		return Yes
	}
	return YesMore
}

// awaitsHello reports whether the rest of a client's hello is to come: it is not whole,
// there is room for it, and no server has answered it.
func (s quicState) awaitsHello() bool {
	if !s.flag(qsKeys) {
		return s[qsEarly] == 1
	}
	if len(s.answer().prefix()) > 0 {
		return false
	}
	msg := s.hello().prefix()
	switch {
	case len(msg) == 0:
		return true
	case msg[0] == 'C':
		return !wholeCHLO(msg) && len(msg) < quicClientRoom
	}
	return msg[0] == msgClientHello && (len(msg) < 4 || uint24(msg[1:])+4 <= quicClientRoom)
}

// quicPatience is how many datagrams of a known flow are waited for.
const quicPatience = 16

// reportHello tells of the client's hello and whether it is complete.
func (s quicState) reportHello(msg []byte, out *Result) bool {
	if msg[0] == 'C' {
		return reportCHLO(msg, out)
	}
	if len(msg) < 4 || msg[0] != msgClientHello {
		return false
	}
	size := uint24(msg[1:])
	h := parseClientHello(msg[4:], size, false)
	h.report('q', out)
	reportQUICParams(h.params, out)
	return h.whole
}

// reportAnswer tells of the ServerHello and whether it is complete.
func (s quicState) reportAnswer(out *Result) bool {
	msg := s.answer().prefix()
	if len(msg) < 4 || msg[0] != msgServerHello {
		return false
	}
	size := uint24(msg[1:])
	h := parseServerHello(msg[4:], size)
	h.report('q', out)
	if h.whole {
		out.Bool("tls.resumed", h.psk)
	}
	return h.whole
}

// Transport parameters, RFC 9000 section 18; Chrome names itself in one of its own.
const paramUserAgent = 0x3129

// reportQUICParams looks for the user agent. Drafts before 27 wrote the list in
// another form, which ends the walk at once.
func reportQUICParams(b []byte, out *Result) {
	for len(b) > 0 {
		id, rest, ok := quicVarint(b)
		if !ok {
			return
		}
		size, rest, ok := quicVarint(rest)
		if !ok || size > uint64(len(rest)) {
			return
		}
		if id == paramUserAgent {
			out.Str("quic.user_agent", rest[:min(size, 255)])
		}
		b = rest[size:]
	}
}
