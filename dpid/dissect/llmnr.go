package dissect

func init() {
	register(Spec{
		Name: "llmnr", ID: 6, Category: "dns", Over: UDP | TCP, Ports: []uint16{5355},
		Detect: detectLLMNR, Follow: followLLMNR,
	})
}

var llmnrKeys = messageKeys{
	query: "llmnr.query", typ: "llmnr.type", class: "llmnr.class", opcode: "llmnr.opcode",
	rcode: "llmnr.rcode", answers: "llmnr.answers", cname: "llmnr.cname", targets: "llmnr.targets",
	alpn: "llmnr.alpn", ech: "llmnr.ech", truncated: "llmnr.truncated", edns: "llmnr.edns_size",
	subnet: "llmnr.client_subnet",
}

// detectLLMNR looks for a message of RFC 4795 section 2.1.1. It is one of RFC 1035
// on port 5355, which here is part of the definition, with exactly one question,
// opcode 0, and no answers in a query: with class and counts more than 64 bits.
func detectLLMNR(in *Input, out *Result) Verdict {
	if !llmnrPort(in) {
		return No
	}
	m := in.Packet
	if in.IPProto == 6 {
		v, cm, cWhole := dnsFrame(in.Client, true)
		if v == No || v == Yes && !llmnrMessage(cm) {
			return No
		}
		if m = cm; len(in.Client) == 0 {
			v, m, cWhole = dnsFrame(in.Server, true)
			if v == No || v == Yes && !llmnrMessage(m) {
				return No
			}
		}
		if !cWhole {
			return More
		}
	}
	if !llmnrMessage(m) {
		return No
	}
	dnsTell(m, dnsReadHeader(m), &llmnrKeys, out)
	return Yes
}

// followLLMNR takes the addresses out of later answers.
func followLLMNR(in *Input, out *Result) Verdict {
	m := in.Packet
	if in.IPProto == 6 {
		m = m[min(2, len(m)):]
	}
	if llmnrMessage(m) {
		if h := dnsReadHeader(m); h.response() {
			dnsTellResponse(m, h, &llmnrKeys, out)
		}
	}
	return More
}

// llmnrPort reports whether the flow is on the port of LLMNR and not on that of
// another protocol with the same messages.
func llmnrPort(in *Input) bool {
	return (in.ClientPort == 5355 || in.ServerPort == 5355) && in.ClientPort != 53 && in.ServerPort != 53 && !mdnsPort(in)
}

// llmnrMessage reports whether m is a well-formed message.
func llmnrMessage(m []byte) bool {
	if len(m) < dnsHeaderLen+5 {
		return false
	}
	h := dnsReadHeader(m)
	if h.qd != 1 || h.opcode() != dnsOpQuery || !h.response() && (h.an != 0 || h.ns != 0 || h.flags&dnsRcode != 0) {
		return false
	}
	q, next := dnsReadQuestion(m, dnsHeaderLen)
	if next < 0 || q.typ == 0 || !dnsClass(q.class&^0x8000) {
		return false
	}
	end := dnsWalk(m, h)
	return end == dnsCut || end == len(m)
}
