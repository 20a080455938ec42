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
