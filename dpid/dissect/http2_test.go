package dissect

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// TestHuffman: every byte, alone and among others, as another implementation codes it.
func TestHuffman(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c), 'a', byte(255-c))
		one := string([]byte{byte(c), 'w', byte(c)})
		if got := huffmanDecode(make([]byte, 0, 16), hpack.AppendHuffmanString(nil, one)); string(got) != one {
			t.Errorf("huffmanDecode(code of %q) = %q", one, got)
		}
	}
	if got := huffmanDecode(make([]byte, 0, 1024), hpack.AppendHuffmanString(nil, string(all))); !bytes.Equal(got, all) {
		t.Errorf("all bytes: got %q", got)
	}
	if got := huffmanDecode(make([]byte, 0, 3), hpack.AppendHuffmanString(nil, "example")); string(got) != "exa" {
		t.Errorf("without room: %q, want exa", got)
	}
}

// http2Request is preface, settings and a first request, whose header block is cut into
// parts frames.
func http2Request(parts int, fields ...string) string {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	frame := func(kind, flags byte, body string) string {
		return string([]byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), kind, flags, 0, 0, 0, 1}) + body
	}
	b := http2Preface + frame(frameSettings, 0, "\x00\x03\x00\x00\x00\x64") + frame(frameWindow, 0, "\x00\x00\xff\xff")
	rest, kind, extra := block.String(), byte(frameHeaders), "\x03\x80\x00\x00\x00\x0f"
	flags := byte(flagPadded | flagPriority)
	for ; parts > 0; parts-- {
		n := len(rest) / parts
		body := extra + rest[:n]
		if kind == frameHeaders {
			body += "\x00\x00\x00"
		}
		if parts == 1 {
			flags |= flagEndHeaders
		}
		b += frame(kind, flags, body)
		rest, kind, extra, flags = rest[n:], frameContinuation, "", 0
	}
	return b
}

// TestHTTP2 reads first requests.
func TestHTTP2(t *testing.T) {
	long := strings.Repeat("x", 600)
	for _, tt := range []struct {
		name   string
		fields []string
		want   map[string]string
	}{
		{"usual", []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "h2.example.com:8080", "user-agent", "curl/8"},
			map[string]string{"host": "h2.example.com", "http.method": "GET", "http.url": "/", "http.user_agent": "curl/8", "http.version": "2"}},
		{"gRPC", []string{":method", "POST", ":scheme", "http", ":path", "/pkg.Service/Call", ":authority", "grpc.example.com", "te", "trailers"},
			map[string]string{"host": "grpc.example.com", "http.method": "POST", "http.url": "/pkg.Service/Call"}},
		{"host only", []string{":method", "PUT", ":path", "/a", "host", "old.example.com"},
			map[string]string{"host": "old.example.com", "http.method": "PUT", "http.url": "/a"}},
		{"host first", []string{"host", "old.example.com", ":authority", "new.example.com"}, map[string]string{"host": "new.example.com"}},
		{"long value before", []string{"cookie", long, ":authority", "late.example.com"}, map[string]string{"host": "late.example.com"}},
	} {
		for parts := 1; parts <= 3; parts++ {
			b := http2Request(parts, tt.fields...)
			in, out := newInput(), new(Result)
			in.Client, in.ClientCount, in.IPProto = append(in.Client, b...), 1, 6
			if v := detectHTTP(in, out); v != Yes {
				t.Errorf("%s in %d frames: verdict %d, want Yes", tt.name, parts, v)
			}
			found := findings(out)
			for k, want := range tt.want {
				if found[k] != want {
					t.Errorf("%s in %d frames: %s = %q, want %q", tt.name, parts, k, found[k], want)
				}
			}
		}
	}
}

// TestHTTP2Flight: a request is unfinished from its first byte to its last; between the
// frames before it nothing is.
func TestHTTP2Flight(t *testing.T) {
	b := http2Request(2, ":method", "GET", ":authority", "h2.example.com")
	quiet := map[int]bool{len(http2Preface): true, len(http2Preface) + 15: true, len(http2Preface) + 28: true, len(b): true}
	in, out := newInput(), new(Result)
	for n := 1; n <= len(b); n++ {
		in.Client, in.ClientCount, in.IPProto = append(in.Client[:0], b[:n]...), 1, 6
		out.Reset()
		if v := detectHTTP(in, out); out.IsUnfinished() == quiet[n] || (v == Yes) != (n == len(b)) {
			t.Fatalf("%d of %d bytes: verdict %d, unfinished %v", n, len(b), v, out.IsUnfinished())
		}
	}
}
