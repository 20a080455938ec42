package dissect

import "bytes"

func init() {
	register(Spec{
		Name: "ssdp", ID: 10, Category: "network", Over: UDP, Ports: []uint16{1900}, Bytes: 1500,
		Detect: detectSSDP,
	})
}

// detectSSDP looks for a message of the UPnP Device Architecture 2.0, section 1:
// HTTP in a datagram. Search and announcement have methods of their own, whole
// start lines of 19 bytes and more; an answer must name what it is about, by ST
// and USN.
func detectSSDP(in *Input, out *Result) Verdict {
	m := in.Packet
	line, rest, ok := cutLine(m)
	if !ok {
		return No
	}
	method, answer := "", false
	switch {
	case isFold(line, "M-SEARCH * HTTP/1.1"), isFold(line, "M-SEARCH * HTTP/1.0"):
		method = "M-SEARCH"
	case isFold(line, "NOTIFY * HTTP/1.1"), isFold(line, "NOTIFY * HTTP/1.0"):
		method = "NOTIFY"
	case hasFold(line, "HTTP/1.1 200") || hasFold(line, "HTTP/1.0 200"):
		answer = true
	default:
		return No
	}
	if !ssdpHeaders(rest, answer, out) {
		return No
	}
	if answer {
		out.Rule("search response", 95)
		return Yes
	}
	out.Rule("start line", 100)
	out.Str("ssdp.method", append(make([]byte, 0, 16), method...))
	return Yes
}

// ssdpHeaders reports the headers; for an answer it is false when ST or USN is not
// among them.
func ssdpHeaders(b []byte, answer bool, out *Result) bool {
	st, usn := false, false
	for range 64 {
		line, rest, whole := cutLine(b)
		if !whole { // cut, or without the end that it should have
			line, rest = b, nil
		}
		b = rest
		if len(line) == 0 {
			break
		}
		n := bytes.IndexByte(line, ':')
		if n < 0 {
			continue
		}
		name, value := trim(line[:n]), trim(line[n+1:])
		if !isText(value) {
			continue
		}
		switch {
		case isFold(name, "HOST"):
			// The group and port asked: all that says whose service it is.
			out.SetHost(value)
		case isFold(name, "ST"), isFold(name, "NT"):
			st = true
			out.Str("ssdp.target", value)
		case isFold(name, "USN"):
			usn = true
			out.Str("ssdp.usn", value)
		case isFold(name, "NTS"):
			out.Str("ssdp.nts", value)
		case isFold(name, "SERVER"):
			out.Str("ssdp.server", value)
		case isFold(name, "USER-AGENT"):
			out.Str("ssdp.user_agent", value)
		case isFold(name, "LOCATION"):
			out.Str("ssdp.location", value)
		case isFold(name, "X-USER-AGENT") && !answer:
			out.Str("ssdp.user_agent", value)
		}
	}
	return !answer || st && usn
}
