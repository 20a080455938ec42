package dissect

import "bytes"

const httpBytes = 8192 // heads with large cookies, and a TLS hello behind CONNECT

func init() {
	register(Spec{
		Name: "http", ID: 1, Category: "web", Over: TCP, Bytes: httpBytes,
		Ports:  []uint16{80, 8080, 8000, 8008, 8081, 8088, 8888, 3128, 5985, 631, 1080, 2869, 49152, 49153, 49154},
		Detect: detectHTTP, Again: againHTTP,
	})
}

// http2 is the version as RFC 9113 section 3.1 writes it: without a minor one.
var http2 = []byte("2")

// httpPatience is how many packets of a flow whose start was not seen are searched
// for the beginning of a head: the rest of a body may come first.
const httpPatience = 24

// detectHTTP recognises HTTP/1.x by its request line or status line (RFC 9112
// sections 3 and 4), which name the protocol in 64 bits, HTTP/2 in clear text by
// its preface (RFC 9113 section 3.4), which the first request follows, and HTTP/0.9 by a bare GET that is answered
// with HTML. The flow is classified at the request line; both heads add metadata.
//
// Only the first request and its final response are read. Host may change on a
// connection to a proxy; the first request names the flow.
func detectHTTP(in *Input, out *Result) Verdict {
	req, isReq := parseRequest(in.Client, in.ClientEnd || len(in.Client) >= httpBytes)
	resp, isResp := parseResponse(in.Server)
	if isReq == More && isResp == Yes && req.started() {
		isReq = Yes // a request line in progress, answered by HTTP
	}
	if isReq == More && req.cut {
		out.Unfinished()
	}
	switch {
	case isReq == Yes || isResp == Yes:
		return describeHTTP(in, &req, &resp, isReq, isResp, out)
	case in.Midstream:
		return midstreamHTTP(in, out)
	case isReq == More && isResp == No:
		return simpleHTTP(in, out)
	case isReq == No || isResp == No:
		return No
	}
	return More
}

// describeHTTP puts what the heads say into out. It answers Yes when both are
// whole, cannot become so, or will not be seen.
func describeHTTP(in *Input, req *httpRequest, resp *httpResponse, isReq, isResp Verdict, out *Result) Verdict {
	if isReq == Yes {
		if resp.status == 101 && hasWordFold(header(resp.headers, "UPGRADE"), "H2C") {
			req.version = http2 // follows, RFC 7540 section 3.2
		}
		req.describe(out)
	}
	if isResp == Yes {
		resp.describe(out, isReq != Yes)
	}
	reqDone := isReq == No || req.done || in.ClientEnd || len(in.Client) >= httpBytes
	if isReq == Yes && !reqDone {
		out.Unfinished()
	}
	respDone := isResp == No || resp.done || in.ServerEnd || len(in.Server) >= httpBytes
	if len(in.Client) == 0 && in.ServerCount > 3 {
		reqDone = true // a request comes before its response: this capture lacks it
	}
	switch {
	case string(req.method) == "PRI" && req.done && isResp != Yes:
		return tellHTTP2(in.Client, in.ClientEnd || len(in.Client) >= httpBytes, out)
	case string(req.method) == "CONNECT" && req.done && resp.done:
		if resp.status/100 != 2 {
			return Yes
		}
		return upgraded(req.rest, resp.rest, out)
	case reqDone && respDone:
		return Yes
	}
	return YesMore
}

// midstreamHTTP looks for a head at the start of the newest packet of a flow whose
// start was missed.
func midstreamHTTP(in *Input, out *Result) Verdict {
	if in.FromServer {
		if resp, is := parseResponse(in.Packet); is == Yes {
			resp.describe(out, true)
			return Yes
		}
	} else if req, is := parseRequest(in.Packet, false); is == Yes {
		req.describe(out)
		return Yes
	}
	if int(in.ClientCount)+int(in.ServerCount) >= httpPatience {
		return No
	}
	return More
}

// simpleHTTP recognises HTTP/0.9 (RFC 1945 section 5.1): "GET /path" alone, and
// HTML comes back. Anything else that is not answered by HTTP is not HTTP.
func simpleHTTP(in *Input, out *Result) Verdict {
	line, rest, ok := cutLine(in.Client)
	target, found := bytes.CutPrefix(line, []byte("GET /"))
	if !ok || !found || len(rest) != 0 || bytes.IndexByte(target, ' ') >= 0 {
		return No
	}
	html := bytes.TrimLeft(in.Server, "\r\n\t ")
	for _, tag := range [...]string{"<HTML", "<!DOCTYPE HTML", "<HEAD", "<BODY"} {
		switch {
		case hasFold(html, tag):
			out.Rule("simple request answered by HTML", 90)
			out.Str("http.version", []byte("0.9"))
			out.Str("http.method", line[:3])
			out.Str("http.url", line[4:])
			return Yes
		case mayFold(html, tag):
			return More
		}
	}
	return No
}
