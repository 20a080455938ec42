package dissect

import "encoding/binary"

func init() {
	register(Spec{
		Name: "dns", ID: 4, Category: "dns", Over: TCP | UDP, Ports: []uint16{53}, Bytes: dnsBytes,
		Detect: detectDNS, Follow: followDNS, Again: againDNS,
	})
}

// dnsBytes is how much of a connection is looked at: more than most answers.
const dnsBytes = 4096

var dnsKeys = messageKeys{
	query: "dns.query", typ: "dns.type", class: "dns.class", opcode: "dns.opcode",
	rcode: "dns.rcode", answers: "dns.answers", cname: "dns.cname", targets: "dns.targets",
	alpn: "dns.alpn", ech: "dns.ech", truncated: "dns.truncated", edns: "dns.edns_size",
	subnet: "dns.client_subnet",
}

// detectDNS looks for a message of RFC 1035 section 4, over TCP behind its length
// (section 4.2.2). One message is enough: the counts and the flags that a query or
// response must have, the class and a whole question are more than 64 bits.
//
// Messages have no magic number, so on other ports than 53 every record must be
// there and end with the message, the name must be text and the type known. On
// port 53 odd operations, binary names of tunnels and cut messages count as well.
// Ports 5353, 5355 and 137 are those of protocols with the same format.
func detectDNS(in *Input, out *Result) Verdict {
	home := in.ClientPort == 53 || in.ServerPort == 53
	if !home && dnsOtherPort(in) {
		return No
	}
	if in.IPProto != 6 {
		m := in.Packet
		if dnsStart(m, true, home) != Yes {
			return No
		}
		dnsTell(m, dnsReadHeader(m), &dnsKeys, out)
		return Yes
	}
	c, cm, cWhole := dnsFrame(in.Client, home)
	s, sm, sWhole := dnsFrame(in.Server, home)
	if home && c >= More && !cWhole && len(in.Client) > 0 && s != Yes {
		out.Unfinished()
	}
	if c != Yes && s != Yes {
		return min(c, s)
	}
	if c == Yes {
		dnsTell(cm, dnsReadHeader(cm), &dnsKeys, out)
	}
	if s == Yes {
		if h := dnsReadHeader(sm); c == Yes && h.response() {
			dnsTellResponse(sm, h, &dnsKeys, out)
		} else if c != Yes {
			dnsTell(sm, h, &dnsKeys, out)
		}
	}
	if sWhole || s == No || in.ServerEnd || len(in.Server) >= dnsBytes || c == Yes && !cWhole && in.ClientEnd {
		return Yes
	}
	return YesMore
}

// followDNS takes the addresses out of later messages: a resolver asks many names
// on one flow. What the flow record shows is the first of each direction.
func followDNS(in *Input, out *Result) Verdict {
	m := in.Packet
	if in.IPProto == 6 { // only messages that begin a segment: nothing is kept here
		if len(m) < 2 {
			return More
		}
		n := int(binary.BigEndian.Uint16(m))
		m = m[2:min(2+n, len(m))]
	}
	if dnsStart(m, false, true) != Yes {
		return More
	}
	h := dnsReadHeader(m)
	switch {
	case !h.response():
	case in.FromServer && in.ServerCount <= 1 || !in.FromServer && in.ClientCount <= 1:
		dnsTellResponse(m, h, &dnsKeys, out)
	default:
		dnsResolve(m, h, out)
	}
	return More
}

// againDNS is followDNS where each question counts: the name that was asked for last is
// that of the flow.
func againDNS(in *Input, out *Result) Verdict {
	if m := in.Packet; in.IPProto != 6 && !in.FromServer && dnsStart(m, true, true) == Yes {
		if h := dnsReadHeader(m); !h.response() {
			dnsTell(m, h, &dnsKeys, out)
			out.Renames()
			return More
		}
	}
	return followDNS(in, out)
}

// dnsOtherPort reports whether the ports give a DNS message to another protocol.
// A recursive query to a single host's port 5353 is for a resolver on that port:
// multicast DNS never sets RD (RFC 6762 section 18.6).
func dnsOtherPort(in *Input) bool {
	if mdnsPort(in) {
		return !dnsAsksResolver(in)
	}
	return llmnrPort(in) || in.ClientPort == 137 || in.ServerPort == 137
}

// dnsAsksResolver reports whether the first message of a flow with port 5353 asks
// or answers for recursion and no side is a multicast group.
func dnsAsksResolver(in *Input) bool {
	m := in.Client
	if len(m) == 0 {
		m = in.Server
	}
	return in.IPProto == 17 && len(m) >= 4 && m[2]&(dnsRD>>8) != 0 && !multicast(&in.ClientAddr) && !multicast(&in.ServerAddr)
}

// multicast reports whether a is a group: 224.0.0.0/4 or ff00::/8.
func multicast(a *[16]byte) bool {
	return a[0] == 0xff || a[0] == 0 && a[10] == 0xff && a[11] == 0xff && a[12]>>4 == 14
}

// dnsFrame looks at the first message of one direction of a connection and at how
// much of it there is.
func dnsFrame(b []byte, home bool) (v Verdict, m []byte, whole bool) {
	if len(b) < 2 {
		return More, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < dnsHeaderLen+5 && !(home && n == dnsHeaderLen) {
		return No, nil, false
	}
	whole = len(b) >= 2+n
	m = b[2:min(2+n, len(b))]
	return dnsStart(m, whole, home), m, whole
}

// dnsStart says whether m begins a DNS message. whole tells that no byte of it is
// still to come; home that it is on the port of DNS.
func dnsStart(m []byte, whole, home bool) Verdict {
	if len(m) < dnsHeaderLen {
		if whole {
			return No
		}
		return More
	}
	h := dnsReadHeader(m)
	if !dnsHeaderSane(h, home) {
		return No
	}
	if !whole && !home {
		// Elsewhere the end must fit, and a message that is longer than what is
		// looked at never gets there: take it by what there is.
		if len(m) < dnsBytes-2 {
			if dnsQuestionSane(m, h, home) == No {
				return No
			}
			return More
		}
	}
	v := dnsQuestionSane(m, h, home)
	if v == More && whole {
		return No
	}
	if v == Yes && !home {
		switch end := dnsWalk(m, h); {
		case end == dnsBad, whole && end != len(m):
			return No
		}
	}
	return v
}

// dnsHeaderSane checks flags and counts against each other.
func dnsHeaderSane(h dnsHeader, home bool) bool {
	op, rcode := h.opcode(), h.flags&dnsRcode
	if !home {
		if h.qd != 1 || h.flags&dnsZ != 0 || op != dnsOpQuery && op != dnsOpNotify && op != dnsOpUpdate {
			return false
		}
	}
	if h.response() {
		return h.qd <= 8 && op <= dnsOpDSO && op != 3 && (h.qd > 0 || rcode != 0 || h.an > 0 || op == dnsOpIQuery)
	}
	if rcode != 0 || h.flags&dnsAA != 0 && op == dnsOpQuery && !home {
		return false
	}
	switch op {
	case dnsOpQuery: // an authority is the SOA of IXFR; additional are OPT, TSIG, SIG(0)
		return h.qd >= 1 && h.qd <= 8 && h.an == 0 && h.ns <= 1 && h.ar <= 4
	case dnsOpIQuery: // RFC 1035 section 6.4: an answer without a question
		return h.qd == 0 && h.an >= 1 && h.an <= 4 && h.ns == 0 && h.ar <= 4
	case dnsOpStatus:
		return h.qd <= 1 && h.an == 0 && h.ns == 0 && h.ar <= 4
	case dnsOpNotify:
		return h.qd == 1 && h.an <= 1 && h.ar <= 4
	case dnsOpUpdate:
		return h.qd == 1
	case dnsOpDSO:
		return h.qd == 0 && h.an == 0 && h.ns == 0 && h.ar == 0
	}
	return false
}

// dnsQuestionSane checks the question, where there is one.
func dnsQuestionSane(m []byte, h dnsHeader, home bool) Verdict {
	if h.qd == 0 {
		if h.an > 0 {
			switch r, next := dnsReadRecord(m, dnsHeaderLen); {
			case next == dnsCut:
				return More
			case next == dnsBad, !dnsRecordSane(m, r):
				return No
			}
		}
		return Yes
	}
	q, next := dnsReadQuestion(m, dnsHeaderLen)
	if next < 0 {
		if next == dnsCut {
			return More
		}
		return No
	}
	var buf [dnsMaxName]byte
	name, ok := dnsText(&buf, m, q.name)
	if !ok || q.typ == 0 || !dnsClass(q.class) || !home && nbIsQuestion(m, q) {
		return No
	}
	if home {
		// Nobody answers several questions, some ask them: then all must be well formed.
		if h.qd > 1 && dnsWalk(m, h) == dnsBad {
			return No
		}
		return Yes
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return No
		}
	}
	if dnsTypeName(q.typ) == "" || len(name) == 0 && q.typ != dnsNS {
		return No
	}
	return Yes
}
