package dissect

import "bytes"

func init() {
	register(Spec{
		Name: "mdns", ID: 5, Category: "dns", Over: UDP, Ports: []uint16{5353}, Bytes: 1500,
		Detect: detectMDNS, Follow: followMDNS,
	})
}

var mdnsKeys = messageKeys{query: "mdns.query", typ: "mdns.type", class: "mdns.class", opcode: "mdns.opcode"}

// detectMDNS looks for a message of RFC 6762. It is one of RFC 1035 but for its
// port, which here is part of the definition: section 5.2, and 6.7 for queries from
// another port. The flags are all zero but QR, AA and TC, opcode and code too
// (section 18), any number of questions and records is allowed, and all of them must
// be well formed: with the counts that is more than 48 bits.
func detectMDNS(in *Input, out *Result) Verdict {
	m := in.Packet
	if !mdnsPort(in) || dnsAsksResolver(in) || !mdnsMessage(m) {
		return No
	}
	h := dnsReadHeader(m)
	dnsTellQuestion(m, h, &mdnsKeys, out)
	if h.response() {
		out.Rule("response", 95)
	} else {
		out.Rule("query", 95)
	}
	mdnsTell(m, h, true, out)
	return Yes
}

// followMDNS takes what hosts announce later on the flow.
func followMDNS(in *Input, out *Result) Verdict {
	if m := in.Packet; mdnsMessage(m) {
		mdnsTell(m, dnsReadHeader(m), in.ClientCount+in.ServerCount <= 4, out)
	}
	return More
}

// mdnsPort reports whether the flow is on the port of multicast DNS. Who asks a
// server on port 53 from port 5353 does not mean that.
func mdnsPort(in *Input) bool {
	return (in.ClientPort == 5353 || in.ServerPort == 5353) && in.ClientPort != 53 && in.ServerPort != 53
}

// mdnsMessage reports whether m is a well-formed message with anything in it. A
// sleep proxy is registered by an update (opcode 5) on the same port.
func mdnsMessage(m []byte) bool {
	if len(m) < dnsHeaderLen {
		return false
	}
	h := dnsReadHeader(m)
	if op := h.opcode(); op != dnsOpQuery && op != dnsOpUpdate || h.flags&(dnsZ|dnsRcode) != 0 {
		return false
	}
	if h.qd+h.an+h.ns+h.ar == 0 || !h.response() && h.qd == 0 && h.an == 0 || h.qd+h.an+h.ns+h.ar > 1024 {
		return false
	}
	end := dnsWalk(m, h)
	if end == dnsCut { // a capture keeps less than was sent: one entry must be whole
		if h.qd > 0 {
			_, end = dnsReadQuestion(m, dnsHeaderLen)
		} else {
			_, end = dnsReadRecord(m, dnsHeaderLen)
		}
	}
	if end < 0 {
		return false
	}
	if h.qd > 0 {
		q, _ := dnsReadQuestion(m, dnsHeaderLen)
		return dnsClass(q.class&^0x8000) && q.typ != 0 // the top bit asks for a unicast answer
	}
	return true
}

// mdnsTell reports the host behind the records: its name, addresses, services and
// model. full is false when only its addresses are wanted.
func mdnsTell(m []byte, h dnsHeader, full bool, out *Result) {
	var buf [dnsMaxName]byte
	off, owner, host := dnsAnswers(m, h), -1, false
	for range min(h.an+h.ns+h.ar, dnsMaxLook) {
		var r dnsRecord
		if off < 0 {
			return
		}
		if r, off = dnsReadRecord(m, off); off < 0 || !h.response() && r.typ != dnsPTR {
			continue // the records of a query are what its sender knows or would like to have
		}
		switch r.typ {
		case dnsA, dnsAAAA:
			if owner < 0 {
				owner = r.name
			}
			if name, ok := dnsText(&buf, m, r.name); ok && dnsSameName(m, r.name, owner) {
				resolvedAddr(m[r.data:r.end], name, r.ttl, out)
				if full && !host {
					out.Str("mdns.host", name)
					host = true
				}
			}
			if n := r.end - r.data; full && (n == 4 || n == 16) {
				out.AddrList("mdns.addresses", m[r.data:r.end])
			}
		case dnsPTR:
			if name, ok := dnsText(&buf, m[:r.end], r.data); ok && full && h.response() {
				out.StrList("mdns.answers", name)
			}
		case dnsSRV:
			if name, ok := dnsText(&buf, m[:r.end], min(r.data+6, r.end)); ok && full && !host {
				out.Str("mdns.host", name)
				host = true
			}
		case dnsTXT:
			if full {
				mdnsTellModel(m[r.data:r.end], out)
			}
		}
	}
}

// mdnsModelKeys are what makers call the model of a device in its TXT record:
// device-info and RAOP, Google Cast, HomeKit, printers.
var mdnsModelKeys = [...]string{"model=", "am=", "md=", "ty=", "rpmd="}

// mdnsTellModel looks for the model in the strings of a TXT record (RFC 6763
// section 6.1).
func mdnsTellModel(b []byte, out *Result) {
	for len(b) > 0 && int(b[0]) < len(b) {
		s := b[1 : 1+b[0]]
		b = b[1+b[0]:]
		for _, k := range mdnsModelKeys {
			if v, ok := bytes.CutPrefix(s, []byte(k)); ok && isText(v) {
				out.Str("mdns.model", v)
				return
			}
		}
	}
}
