package dissect

import "bytes"

// httpRequest is the head of a request. Its slices alias the input.
type httpRequest struct {
	method, target, version []byte
	headers                 []byte // what has been seen of the header lines
	rest                    []byte // what follows the head
	done                    bool   // the head is whole
	cut                     bool   // there is a part of its first line, which may be one
}

// httpResponse is the head of a response.
type httpResponse struct {
	version []byte
	status  int
	headers []byte
	rest    []byte
	done    bool
}

// Methods of RFC 9110, PATCH, WebDAV (RFC 4918, 3253, 3648, 3744, 5323) and UPnP
// eventing. Any other token is a method too, but only these make a request line
// believable before its version has been seen.
var httpMethods = [...]string{
	"GET", "POST", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH",
	"REPORT", "CHECKOUT", "CHECKIN", "UNCHECKOUT", "MKACTIVITY", "MERGE", "VERSION-CONTROL",
	"MKWORKSPACE", "UPDATE", "LABEL", "BASELINE-CONTROL", "ORDERPATCH", "ACL", "MKCALENDAR",
	"SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "BITS_POST", "CCM_POST", "RPC_IN_DATA", "RPC_OUT_DATA",
	"RDG_IN_DATA", "RDG_OUT_DATA",
}

// maxMethod is the longest method looked for.
const maxMethod = 20

// parseRequest reads a request line and the header lines seen so far. Yes needs
// the whole line up to "HTTP/1.x"; where nothing will be added (last), a known
// method with a path is enough. More means that b may still become one.
func parseRequest(b []byte, last bool) (r httpRequest, v Verdict) {
	some := len(b) > 0
	for range 2 { // RFC 9112 section 2.2: empty lines before the request are ignored
		b = bytes.TrimPrefix(b, []byte("\r\n"))
	}
	if len(b) == 1 && b[0] == '\r' {
		r.cut = true
		return r, More
	}
	n := 0
	for n < len(b) && n <= maxMethod && (b[n] >= 'A' && b[n] <= 'Z' || b[n] == '-' || b[n] == '_') {
		n++
	}
	switch {
	case n == len(b) && n <= maxMethod:
		r.cut = some
		return r, More
	case n < 3 || b[n] != ' ':
		return r, No
	}
	r.method = b[:n:n]
	line, rest, whole := cutLine(b)
	if !whole {
		r.target = bytes.TrimSuffix(b[n+1:], []byte{'\r'})
		switch {
		case !isText(r.target):
			return r, No
		case !last:
			r.cut = true
			return r, More
		case r.started() && len(r.target) > 4:
			return r, Yes
		}
		return r, No
	}
	at := bytes.LastIndexByte(line, ' ')
	if at <= n || !isText(line) {
		if at == n && isText(line) && len(rest) == 0 && !last {
			return r, More // no version: maybe HTTP/0.9, the answer will tell
		}
		return r, No
	}
	r.target = trim(line[n:at])
	version := line[at+1:]
	switch {
	case len(version) == 8 && string(version[:7]) == "HTTP/1." && len(r.target) > 0:
	case string(version) == "HTTP/2.0" && string(line) == "PRI * HTTP/2.0":
		version = version[:6] // the version is "2", RFC 9113 section 3.1
	default:
		return r, No
	}
	r.version = version[5:]
	r.headers, r.rest, r.done = cutHead(rest)
	return r, Yes
}

// started reports whether an unfinished request line is believable: 32 bits and
// more of a known method and of the form of its target.
func (r *httpRequest) started() bool {
	if len(r.target) == 0 {
		return false
	}
	for _, m := range httpMethods {
		if string(r.method) == m {
			return m == "CONNECT" || r.target[0] == '/' || hasFold(r.target, "HTTP://")
		}
	}
	return false
}

// parseResponse reads a status line and the header lines seen so far. Interim
// responses (RFC 9110 section 15.2) are passed over as long as the final one is
// there; 101 is final, another protocol follows it.
func parseResponse(b []byte) (r httpResponse, v Verdict) {
	for {
		next, v := parseStatus(b)
		if v != Yes {
			if r.status != 0 {
				r.done = false
				return r, Yes
			}
			return r, v
		}
		r = next
		if !r.done || r.status/100 != 1 || r.status == 101 {
			return r, Yes
		}
		b = r.rest
	}
}

func parseStatus(b []byte) (r httpResponse, v Verdict) {
	const form = "HTTP/1.1 200"
	if !mayPrefix(b, form[:7]) {
		return r, No
	}
	if len(b) < len(form) {
		return r, More
	}
	code, digits := number(b[9:12], 3)
	if digits != 3 || code < 100 || code > 999 || b[7] < '0' || b[7] > '9' || b[8] != ' ' {
		return r, No
	}
	if len(b) > 12 && b[12] != ' ' && b[12] != '\r' && b[12] != '\n' {
		return r, No
	}
	r.version, r.status = b[5:8:8], int(code)
	if _, rest, whole := cutLine(b); whole {
		r.headers, r.rest, r.done = cutHead(rest)
	}
	return r, Yes
}

// cutHead splits header lines from what follows the empty line that ends them.
func cutHead(b []byte) (headers, rest []byte, done bool) {
	for at := 0; ; {
		line, after, whole := cutLine(b[at:])
		if !whole {
			return b[:at:at], nil, false
		}
		if len(line) == 0 {
			return b[:at:at], after, true
		}
		at = len(b) - len(after)
	}
}

// nextHeader splits the first header line off b. A line that is no header gives an
// empty name.
func nextHeader(b []byte) (name, value, rest []byte, ok bool) {
	line, rest, ok := cutLine(b)
	if !ok {
		return nil, nil, nil, false
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return nil, nil, rest, true
	}
	return trim(line[:colon]), trim(line[colon+1:]), rest, true
}

// header returns the value of the first header of that name, in capitals.
func header(headers []byte, want string) []byte {
	for {
		name, value, rest, ok := nextHeader(headers)
		if !ok || isFold(name, want) {
			return value
		}
		headers = rest
	}
}

// describe puts the request into out.
func (r *httpRequest) describe(out *Result) {
	if string(r.method) == "PRI" {
		out.Rule("HTTP/2 preface", 100)
		out.Str("http.version", r.version)
		return
	}
	out.Rule("request line", 100)
	out.Str("http.version", r.version)
	out.Str("http.method", r.method)
	if host, absolute := targetHost(r.method, r.target); absolute {
		out.SetHost(host) // it overrules Host, RFC 9112 section 3.2.2
		out.Bool("http.proxy", true)
	}
	for b := r.headers; ; {
		name, value, rest, ok := nextHeader(b)
		if !ok {
			break
		}
		b = rest
		switch {
		case isFold(name, "HOST"):
			out.SetHost(withoutPort(value))
		case isFold(name, "USER-AGENT"):
			out.Str("http.user_agent", value)
		case isFold(name, "CONTENT-TYPE"):
			out.Str("http.request_content_type", value)
		case isFold(name, "UPGRADE"):
			out.Str("http.upgrade", value)
		case isFold(name, "AUTHORIZATION"):
			scheme, _ := cutWord(value) // never the credentials
			out.Str("http.auth", scheme)
		case isFold(name, "REFERER"):
			out.Str("http.referer", value[:min(len(value), 256)])
		}
	}
	out.Str("http.url", r.target)
}

// describe puts the response into out; alone tells that no request was seen.
func (r *httpResponse) describe(out *Result, alone bool) {
	if alone {
		out.Rule("status line", 100)
		out.Str("http.version", r.version)
	}
	out.Uint("http.status", uint64(r.status))
	for b := r.headers; ; {
		name, value, rest, ok := nextHeader(b)
		if !ok {
			return
		}
		b = rest
		switch {
		case isFold(name, "CONTENT-TYPE"):
			out.Str("http.content_type", value)
		case isFold(name, "SERVER"):
			out.Str("http.server", value)
		case alone && isFold(name, "UPGRADE") && r.status == 101:
			out.Str("http.upgrade", value)
		}
	}
}

// targetHost returns the host of a request target in authority or absolute form
// (RFC 9112 sections 3.2.2 and 3.2.3), and whether it is of these forms.
func targetHost(method, target []byte) (host []byte, absolute bool) {
	if string(method) == "CONNECT" {
		return withoutPort(target), true
	}
	at := bytes.Index(target[:min(len(target), 12)], []byte("://"))
	if at <= 0 || target[0] == '/' {
		return nil, false
	}
	host = target[at+3:]
	if end := bytes.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	if user := bytes.IndexByte(host, '@'); user >= 0 {
		host = host[user+1:]
	}
	return withoutPort(host), true
}

// withoutPort returns the host of "host:port", without the brackets of an IPv6
// address.
func withoutPort(b []byte) []byte {
	if len(b) > 0 && b[0] == '[' {
		if end := bytes.IndexByte(b, ']'); end > 0 {
			return b[1:end]
		}
		return nil
	}
	if at := bytes.IndexByte(b, ':'); at >= 0 && at == bytes.LastIndexByte(b, ':') {
		return b[:at]
	}
	return b
}
