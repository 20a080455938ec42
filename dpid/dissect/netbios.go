package dissect

import (
	"bytes"
	"encoding/binary"
)

func init() {
	register(Spec{
		Name: "netbios", ID: 20, Category: "network", Over: TCP | UDP, Ports: []uint16{137, 138, 139}, Bytes: 512,
		Carries: []string{"smb"},
		Detect:  detectNetBIOS, Follow: followNetBIOS,
	})
}

// detectNetBIOS looks for the three services of NetBIOS over TCP/IP, RFC 1002:
// names (section 4.2) and datagrams (4.4) over UDP, sessions (4.3) over TCP. All
// carry names in the half-ASCII of RFC 1001 section 14.1, 32 letters from A to P:
// 128 bits of evidence. A session message belongs to what it carries: SMB.
func detectNetBIOS(in *Input, out *Result) Verdict {
	if in.IPProto == 6 {
		return nbSession(in, out)
	}
	m := in.Packet
	if in.ClientPort == 53 || in.ServerPort == 53 { // a name server answers it as DNS
		return No
	}
	if nbNames(m, out) || nbDatagram(m, out) {
		return Yes
	}
	return No
}

// followNetBIOS takes names and addresses out of the answer to a name query.
func followNetBIOS(in *Input, out *Result) Verdict {
	m := in.Packet
	if in.IPProto == 6 || len(m) < dnsHeaderLen {
		return No
	}
	if !nbNames(m, out) || dnsReadHeader(m).response() {
		return No
	}
	return More
}

const (
	nbNameLen  = 34 // length byte, 32 letters, end: a name without a scope
	nbTypeNB   = 0x20
	nbTypeStat = 0x21
)

// nbName is a decoded name: 15 bytes of text and the suffix that tells its use.
type nbName struct {
	text   [15]byte
	n      int
	suffix byte
}

// nbDecode decodes the first label of a name from b, which begins with its length.
func nbDecode(b []byte, name *nbName) bool {
	if len(b) < nbNameLen-1 || b[0] != 32 {
		return false
	}
	b = b[1:33:33]
	name.n = 0
	for i := range 16 {
		hi, lo := b[2*i]-'A', b[2*i+1]-'A'
		if hi > 15 || lo > 15 {
			return false
		}
		if i == 15 {
			name.suffix = hi<<4 | lo
			break
		}
		c := hi<<4 | lo
		if name.text[i] = c; c != ' ' && c != 0 {
			name.n = i + 1
		}
	}
	return true
}

// printable returns the name as text. Bytes of an OEM code page are no UTF-8 and
// become '?'.
func (n *nbName) printable() []byte {
	for i, c := range n.text[:n.n] {
		if c < ' ' || c >= 0x7f {
			n.text[i] = '?'
		}
	}
	return n.text[:n.n]
}

// nbIsQuestion reports whether q asks for a NetBIOS name: DNS does not claim it.
func nbIsQuestion(m []byte, q dnsQuestion) bool {
	var name nbName
	return (q.typ == nbTypeNB || q.typ == nbTypeStat) && q.class == 1 && nbDecode(m[q.name:], &name)
}

// nbNames looks for a message of the name service: that of RFC 1035 with
// operations and types of its own.
func nbNames(m []byte, out *Result) bool {
	if len(m) < dnsHeaderLen+nbNameLen+4 {
		return false
	}
	h := dnsReadHeader(m)
	switch h.opcode() {
	case 0, 5, 6, 7, 8, 9, 15: // query, registration, release, WACK, refresh, multi-homed
	default:
		return false
	}
	if h.qd > 1 || h.an > 1 || h.ns > 1 || h.ar > 1 || h.qd+h.an+h.ns == 0 || h.flags&0x60 != 0 {
		return false
	}
	var name nbName
	if !nbDecode(m[dnsHeaderLen:], &name) {
		return false
	}
	end := dnsSkipName(m, dnsHeaderLen)
	if end < 0 || end+4 > len(m) {
		return false
	}
	typ, class := binary.BigEndian.Uint16(m[end:]), binary.BigEndian.Uint16(m[end+2:])
	if typ != nbTypeNB && typ != nbTypeStat && typ != 1 && typ != 2 && typ != 10 || class != 1 {
		return false
	}
	out.Str("netbios.service", []byte("name"))
	out.Str("netbios.name", name.printable())
	out.SetName(name.printable())
	out.Uint("netbios.suffix", uint64(name.suffix))
	out.Uint("netbios.opcode", uint64(h.opcode()))
	if !h.response() {
		out.Rule("name query", 100)
		nbRegistered(m, h, out)
		return true
	}
	out.Rule("name response", 100)
	out.Uint("netbios.rcode", uint64(h.flags&dnsRcode))
	r, next := dnsReadRecord(m, dnsAnswersOr(m, h))
	if next < 0 {
		return true
	}
	if typ == nbTypeStat {
		nbStatus(m[r.data:r.end], out)
	} else {
		nbAddrs(m[r.data:r.end], out)
	}
	return true
}

// dnsAnswersOr is dnsAnswers with the end of m for a message that is cut.
func dnsAnswersOr(m []byte, h dnsHeader) int {
	if off := dnsAnswers(m, h); off >= 0 {
		return off
	}
	return len(m)
}

// nbRegistered reports the address that a registration claims.
func nbRegistered(m []byte, h dnsHeader, out *Result) {
	if h.qd != 1 || h.ar != 1 {
		return
	}
	if r, next := dnsReadRecord(m, dnsAnswersOr(m, h)); next >= 0 && r.typ == nbTypeNB {
		nbAddrs(m[r.data:r.end], out)
	}
}

// nbAddrs reports the addresses of an NB record: flags (2), address (4), and again.
func nbAddrs(b []byte, out *Result) {
	for ; len(b) >= 6; b = b[6:] {
		out.AddrList("netbios.addresses", b[2:6])
	}
}

// nbStatus reports the names of a node status response, section 4.2.18: their
// number, then 15 bytes, suffix, flags (2) each.
func nbStatus(b []byte, out *Result) {
	if len(b) == 0 {
		return
	}
	n := int(b[0])
	for b = b[1:]; n > 0 && len(b) >= 18; n, b = n-1, b[18:] {
		var name nbName
		copy(name.text[:], b[:15])
		name.n = len(bytes.TrimRight(b[:15], " \x00"))
		out.StrList("netbios.names", name.printable())
	}
}

// nbDatagram looks for a packet of the datagram service, section 4.4: type, flags,
// id (2), source address (4), source port (2), and for the types that carry data
// length (2), offset (2), source name, destination name.
func nbDatagram(m []byte, out *Result) bool {
	if len(m) < 10 || m[1]&0xf0 != 0 {
		return false
	}
	var src, dst nbName
	switch typ := m[0]; typ {
	case 0x10, 0x11, 0x12: // direct unique, direct group, broadcast
		if len(m) < 14+nbNameLen || !nbDecode(m[14:], &src) {
			return false
		}
		end := dnsSkipName(m[14:], 0)
		if end < 0 || !nbDecode(m[min(14+end, len(m)):], &dst) {
			return false
		}
	case 0x14, 0x15, 0x16: // query and its answers
		if !nbDecode(m[10:], &dst) {
			return false
		}
	default:
		return false
	}
	out.Rule("datagram", 100)
	out.Str("netbios.service", []byte("datagram"))
	out.SetName(src.printable())
	out.Str("netbios.name", src.printable())
	out.Addr("netbios.source", m[4:8])
	out.Str("netbios.destination", dst.printable())
	return true
}

// nbSession looks for the start of a session, section 4.3: type, flags, length (2).
// The request holds two names; its answers alone are 32 fixed bits on port 139.
func nbSession(in *Input, out *Result) Verdict {
	c := nbRequest(in.Client, out)
	if c == Yes {
		return nbCarry(in.Client, in.ClientEnd)
	}
	s := nbRequest(in.Server, out)
	if s == Yes { // who opened the connection was not seen
		return nbCarry(in.Server, in.ServerEnd)
	}
	switch {
	case len(in.Client) > 0:
		return c
	case s == More:
		return More
	}
	return nbResponse(in, out)
}

// nbCarry waits behind a session request for what the session carries.
func nbCarry(b []byte, end bool) Verdict {
	if end || len(b) >= 512 {
		return Yes
	}
	return YesMore
}

// nbRequest looks for a session request: called name, calling name.
func nbRequest(b []byte, out *Result) Verdict {
	const size = 4 + 2*nbNameLen
	head := [...]byte{0x81, 0, 0, 2 * nbNameLen, 32}
	if n := min(len(b), len(head)); !bytes.Equal(b[:n], head[:n]) {
		return No
	}
	if len(b) < size {
		return More
	}
	var called, calling nbName
	if !nbDecode(b[4:], &called) || !nbDecode(b[4+nbNameLen:], &calling) || b[4+nbNameLen-1] != 0 || b[size-1] != 0 {
		return No
	}
	out.Rule("session request", 100)
	out.Str("netbios.service", []byte("session"))
	out.Str("netbios.name", called.printable())
	out.Str("netbios.calling", calling.printable())
	return Yes
}

// nbResponse looks at a connection of which only the server was seen: positive
// response, or negative response with one of five reasons.
func nbResponse(in *Input, out *Result) Verdict {
	b := in.Server
	if len(b) == 0 {
		return More
	}
	if in.ServerPort != 139 && in.ClientPort != 139 || b[0] != 0x82 && b[0] != 0x83 {
		return No
	}
	n := 4
	if b[0] == 0x83 {
		n = 5
	}
	if len(b) < n {
		return More
	}
	if b[1] != 0 || b[2] != 0 || int(b[3]) != n-4 || n == 5 && (b[4] < 0x80 || b[4] > 0x83) && b[4] != 0x8f {
		return No
	}
	out.Rule("session response", 80)
	out.Str("netbios.service", []byte("session"))
	return Yes
}
