package dissect

import "bytes"

// againHTTP reads the requests that follow the first on a connection, as far as a
// direction is put together: Host may be another in each of them. Of several in one
// segment the first whose host is another than before names the flow. Yes means that no
// more requests will be told apart.
func againHTTP(in *Input, out *Result) Verdict {
	if in.ClientEnd || len(in.Client) >= MaxBytes {
		return Yes
	}
	seen := len(in.Client) // bytes that are not new
	if in.FromServer {
		answerAgain(in, out)
	} else {
		seen -= len(in.Packet)
	}
	var before, name []byte // host of the last request that is not new; of a new one
	for b := in.Client; len(b) > 0; {
		r, v := parseRequest(b, false)
		if v == No || v == Yes && r.done && r.leaves() {
			return Yes
		}
		if v == More || !r.done {
			out.Unfinished()
			break
		}
		host := r.host()
		switch at := len(in.Client) - len(r.rest); {
		case at <= seen:
			before = host
		case name == nil || bytes.Equal(name, before):
			name = host
		}
		if b, v = r.afterBody(); v == No {
			return Yes
		}
	}
	if len(name) > 0 {
		out.SetHost(name)
		out.Renames()
	}
	return More
}

// answerAgain tells of the first response, when the newest packet has a part of its head.
func answerAgain(in *Input, out *Result) {
	r, v := parseResponse(in.Server)
	if v == Yes && !in.ServerEnd && (!r.done || len(r.rest) < len(in.Packet)) {
		r.describe(out, false)
	}
}

// host returns the name of the server that a request is for.
func (r *httpRequest) host() []byte {
	if host, absolute := targetHost(r.method, r.target); absolute {
		return host
	}
	return withoutPort(header(r.headers, "HOST"))
}

// leaves reports whether what follows a request is no HTTP/1.
func (r *httpRequest) leaves() bool {
	switch string(r.method) {
	case "CONNECT", "PRI":
		return true
	}
	return len(header(r.headers, "UPGRADE")) > 0
}

// afterBody returns what follows the request's body, nothing while that is to come. No
// means that its end cannot be told (RFC 9112 section 6.3).
func (r *httpRequest) afterBody() ([]byte, Verdict) {
	if coding := header(r.headers, "TRANSFER-ENCODING"); len(coding) > 0 {
		if !isFold(coding, "CHUNKED") {
			return nil, No
		}
		return afterChunks(r.rest)
	}
	length := header(r.headers, "CONTENT-LENGTH")
	if len(length) == 0 {
		return r.rest, Yes
	}
	n, digits := number(length, 10)
	if digits != len(length) {
		return nil, No
	}
	return r.rest[min(n, uint64(len(r.rest))):], Yes
}

// afterChunks returns what follows a chunked body and its trailers, RFC 9112 section 7.1.
func afterChunks(b []byte) ([]byte, Verdict) {
	for {
		line, rest, whole := cutLine(b)
		if !whole {
			return nil, Yes
		}
		n, digits := uint64(0), 0
		for ; digits < min(len(line), 8); digits++ {
			d, ok := unhex(line[digits])
			if !ok {
				break
			}
			n = n<<4 | uint64(d)
		}
		switch {
		case digits == 0:
			return nil, No
		case n == 0:
			_, rest, _ = cutHead(rest)
			return rest, Yes
		case n+2 >= uint64(len(rest)):
			return nil, Yes
		}
		b = rest[n+2:] // with the line's end behind the chunk
	}
}
