package dissect

import "testing"

func TestTargetHost(t *testing.T) {
	tests := []struct {
		method, target string
		host           string
		absolute       bool
	}{
		{"GET", "/", "", false},
		{"GET", "/a://b", "", false},
		{"GET", "*", "", false},
		{"GET", "http://example.com", "example.com", true},
		{"GET", "http://example.com:81/x?y", "example.com", true},
		{"GET", "https://u:p@example.com?x", "example.com", true},
		{"GET", "http://[2001:db8::1]:81/", "2001:db8::1", true},
		{"CONNECT", "example.com:443", "example.com", true},
		{"CONNECT", "example.com", "example.com", true},
		{"CONNECT", "[::1", "", true},
		{"CONNECT", "", "", true},
	}
	for _, tt := range tests {
		host, absolute := targetHost([]byte(tt.method), []byte(tt.target))
		if string(host) != tt.host || absolute != tt.absolute {
			t.Errorf("targetHost(%q, %q) = %q, %v, want %q, %v", tt.method, tt.target, host, absolute, tt.host, tt.absolute)
		}
	}
}

func TestParseResponse(t *testing.T) {
	tests := []struct {
		in     string
		want   Verdict
		status int
		done   bool
	}{
		{"", More, 0, false},
		{"HTTP/1.1 20", More, 0, false},
		{"HTTP/1.1 200", Yes, 200, false},
		{"HTTP/1.1 200 OK\r\n\r\n", Yes, 200, true},
		{"HTTP/1.0 999\n\n", Yes, 999, true},
		{"HTTP/1.1 100 Continue\r\n\r\n", Yes, 100, false},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Yes, 200, true},
		{"HTTP/1.1 101 Go\r\n\r\n", Yes, 101, true},
		{"HTTP/1.1 2000", No, 0, false},
		{"HTTP/1.1 2x0", No, 0, false},
		{"HTTP/2.0 200", No, 0, false},
		{"RTSP/1.0 200", No, 0, false},
	}
	for _, tt := range tests {
		r, v := parseResponse([]byte(tt.in))
		if v != tt.want || r.status != tt.status || r.done != tt.done {
			t.Errorf("parseResponse(%q) = %d, %v, %v, want %d, %v, %v", tt.in, r.status, r.done, v, tt.status, tt.done, tt.want)
		}
	}
}

// TestAgainHTTP: what the newest packet of a connection brings.
func TestAgainHTTP(t *testing.T) {
	const one, two = "GET / HTTP/1.1\r\nHost: one.example\r\n\r\n", "GET http://two.example/ HTTP/1.1\r\nHost: three.example\r\n\r\n"
	chunked := "POST / HTTP/1.1\r\nHost: one.example\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		before, packet string
		v              Verdict
		host           string
		unfinished     bool
	}{
		{"", one, More, "one.example", false},
		{one, one, More, "one.example", false},
		{one, two, More, "two.example", false},
		{one, two + one, More, "two.example", false},
		{one, one + two, More, "two.example", false},
		{one, two[:40], More, "", true},
		{one, two[:1], More, "", true},
		{one + two[:40], two[40:], More, "two.example", false},
		{one, one + two[:9], More, "one.example", true},
		{one, "\x16\x03\x01", Yes, "", false},
		{one, "CONNECT two.example:443 HTTP/1.1\r\n\r\n", Yes, "", false},
		{one, "GET / HTTP/1.1\r\nHost: two.example\r\nUpgrade: websocket\r\n\r\n", Yes, "", false},
		{"POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 3\r\n\r\nGE", "T" + two, More, "two.example", false},
		{"POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 300\r\n\r\n", two, More, "", false},
		{"POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 3x\r\n\r\n", two, Yes, "", false},
		{chunked, "A;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n" + two, More, "two.example", false},
		{chunked, "3\r\nGET", More, "", false},
		{chunked, "ffffffff\r\n" + two, More, "", false},
		{chunked, "nonsense\r\n", Yes, "", false},
	} {
		in, out := newInput(), new(Result)
		in.Client = append(in.Client, tt.before+tt.packet...)
		in.Packet = in.Client[len(tt.before):]
		v := againHTTP(in, out)
		if v != tt.v || string(out.Host()) != tt.host || out.IsRenamed() != (tt.host != "") || v == More && out.IsUnfinished() != tt.unfinished {
			t.Errorf("%q behind %q: verdict %d, host %q, unfinished %v, want %d, %q, %v", tt.packet, tt.before,
				v, out.Host(), out.IsUnfinished(), tt.v, tt.host, tt.unfinished)
		}
	}
}
