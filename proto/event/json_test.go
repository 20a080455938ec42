package event

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testNames = &Names{
	Interface: func(i uint16) string { return []string{"lan0", "wan0"}[i&1] },
	Tunnel:    func(l uint8) string { return []string{"", "pppoe"}[l&1] },
}

var testNumbers = &Numbers{
	Interface: func(s string) uint16 { return map[string]uint16{"lan0": 0, "wan0": 1}[s] },
	Tunnel:    func(s string) uint8 { return map[string]uint8{"": 0, "pppoe": 1}[s] },
}

func testFlow(t testing.TB, edit func(*Counters, *Description)) Flow {
	t.Helper()
	c := Counters{
		ID: 0x0100_0003_0000_0042, Rev: 7, Worker: 1, Flags: FlagFinal,
		First: 1_700_000_000_000_000_001, Last: 1_700_000_002_500_000_000,
		Client: netip.MustParseAddr("192.168.1.10").As16(), Server: netip.MustParseAddr("203.0.113.7").As16(),
		ClientPort: 51000, ServerPort: 443, IPProto: 6, IPVersion: 4, VLAN: 12,
		ClientPackets: 10, ServerPackets: 12, ClientBytes: 1500, ServerBytes: 14000,
	}
	d := Description{
		ClientMAC: [6]byte{2, 0, 0, 0, 0, 0xa}, Confidence: 100, End: EndFIN, Source: SourceDPI,
		Protocol: "tls", Application: "example", Category: "web",
		Host: []byte("www.example.com"), Evidence: []byte("tls ClientHello; catalogue example.com"),
	}
	list := make([]byte, 0, MaxAttrs)
	list = AppendAttr(list, AttrString, "tls.sni", []byte("www.example.com"))
	list = AppendAttr(list, AttrString|AttrList, "tls.alpn", []byte("h2"))
	list = AppendAttr(list, AttrUint, "http.status", binary.LittleEndian.AppendUint64(nil, 200))
	list = AppendAttr(list, AttrString|AttrList, "tls.alpn", []byte("http/1.1"))
	list = AppendAttr(list, AttrHex, "tls.random", []byte{0xde, 0xad})
	list = AppendAttr(list, AttrAddr, "stun.mapped", []byte{198, 51, 100, 1})
	list = AppendAttr(list, AttrBool, "tls.ech", []byte{1})
	d.Attrs = list
	if edit != nil {
		edit(&c, &d)
	}
	b := make([]byte, DescriptionAt)
	c.Encode(b)
	f, err := ParseFlow(d.Append(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAppendJSON(t *testing.T) {
	const want = `{"client_ip":"192.168.1.10","client_port":51000,"server_ip":"203.0.113.7","server_port":443,` +
		`"ip_protocol":6,"vlan":12,"interface":"lan0",` +
		`"first_seen":"2023-11-14T22:13:20.000000001Z","last_seen":"2023-11-14T22:13:22.500000000Z",` +
		`"client_packets":10,"server_packets":12,"client_bytes":1500,"server_bytes":14000,` +
		`"client_mac":"02:00:00:00:00:0a",` +
		`"protocol":"tls","application":"example","category":"web","hostname":"www.example.com",` +
		`"confidence":100,"source":"dpi","evidence":"tls ClientHello; catalogue example.com","end_reason":"fin",` +
		`"tls":{"sni":"www.example.com","alpn":["h2","http/1.1"],"random":"dead","ech":true},` +
		`"http":{"status":200},"stun":{"mapped":"198.51.100.1"},` +
		`"flow_id":"0100000300000042","worker":1}`
	if d := cmp.Diff(want, string(AppendJSON(nil, testFlow(t, nil), testNames))); d != "" {
		t.Errorf("AppendJSON (-want +got):\n%s", d)
	}
}

func TestAppendJSONHostile(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Counters, *Description)
		key  string
		want any
	}{
		{"quotes and controls", func(_ *Counters, d *Description) { d.Host = []byte("a\"b\\c\n\x00\x7f") }, "hostname", "a\"b\\c\n\x00\x7f"},
		{"not UTF-8", func(_ *Counters, d *Description) { d.Host = []byte("a\xff\xc3") }, "hostname", "a\ufffd\ufffd"},
		{"real replacement character", func(_ *Counters, d *Description) { d.Host = []byte("\ufffd") }, "hostname", "\ufffd"},
		{"key without a point", func(_ *Counters, d *Description) {
			d.Attrs = AppendAttr(make([]byte, 0, 99), AttrString, "x", []byte("y"))
		}, "flow", map[string]any{"x": "y"}},
		{"key of the flow itself", func(_ *Counters, d *Description) {
			d.Attrs = AppendAttr(make([]byte, 0, 99), AttrString, "worker.x", []byte("y"))
		}, "flow", map[string]any{"worker.x": "y"}},
		{"same key twice, no list", func(_ *Counters, d *Description) {
			l := AppendAttr(make([]byte, 0, 99), AttrString, "t.x", []byte("1"))
			d.Attrs = AppendAttr(l, AttrString, "t.x", []byte("2"))
		}, "t", map[string]any{"x": "1"}},
		{"address of a wrong length", func(_ *Counters, d *Description) {
			d.Attrs = AppendAttr(make([]byte, 0, 99), AttrAddr, "t.x", []byte{1, 2, 3})
		}, "t", map[string]any{"x": "010203"}},
		{"unknown numbers", func(_ *Counters, d *Description) { d.End, d.Source = 200, 200 }, "end_reason", "unknown"},
		{"time beyond a signed 64-bit", func(c *Counters, _ *Description) { c.Last = 1<<64 - 1 }, "last_seen", "2554-07-21T23:34:33.709551615Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := AppendJSON(nil, testFlow(t, tt.edit), &Names{})
			var got map[string]any
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("AppendJSON = %s: %v", b, err)
			}
			if d := cmp.Diff(tt.want, got[tt.key]); d != "" {
				t.Errorf("%s (-want +got):\n%s", tt.key, d)
			}
		})
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for name, edit := range map[string]func(*Counters, *Description){
		"IPv4": nil,
		"IPv6": func(c *Counters, _ *Description) {
			c.IPVersion, c.Client, c.Server = 6, netip.MustParseAddr("2001:db8::1").As16(), netip.MustParseAddr("::ffff:1.2.3.4").As16()
		},
		"pair of interfaces": func(c *Counters, d *Description) { c.Out, c.Flags, d.Link = 1, c.Flags|FlagIfPair, 1 },
		"bare": func(c *Counters, d *Description) {
			*d = Description{}
			c.Flags |= FlagMidstream | FlagReinspected
			c.Mark = 0xff00_0000
		},
		"places": func(_ *Counters, d *Description) {
			d.Client, d.Server, d.ServerMAC = PlaceMulticast, PlaceHost, [6]byte{2, 0, 0, 0, 0, 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := AppendJSON(nil, testFlow(t, edit), testNames)
			f, err := ParseJSON(want, testNumbers)
			if err != nil {
				t.Fatal(err)
			}
			got := AppendJSON(nil, f, testNames)
			if d := cmp.Diff(decode(t, want), decode(t, got)); d != "" {
				t.Errorf("AppendJSON(ParseJSON(x)) (-x +got):\n%s", d)
			}
		})
	}
}

func decode(t *testing.T, b []byte) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return m
}

func TestParseJSONErrors(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"not JSON", "client_ip", "flow record: invalid character"},
		{"no addresses", "{}", "two addresses of one family"},
		{"two families", `{"client_ip":"10.0.0.1","server_ip":"::1"}`, "two addresses of one family"},
		{"port too large", `{"client_port":65536}`, "cannot unmarshal number 65536"},
		{"flow id", `{"client_ip":"10.0.0.1","server_ip":"10.0.0.2","flow_id":"xyz"}`, `flow_id "xyz" is not a hexadecimal number`},
		{"MAC", `{"client_ip":"10.0.0.1","server_ip":"10.0.0.2","client_mac":"01:02"}`, `"01:02" is not an Ethernet address`},
		{"long name", `{"client_ip":"10.0.0.1","server_ip":"10.0.0.2","hostname":"` + strings.Repeat("a", 256) + `"}`, "is longer than 255 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseJSON([]byte(tt.line), testNumbers); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseJSON(%s) = %v, want %q", tt.line, err, tt.want)
			}
		})
	}
}

func TestAppendJSONAllocs(t *testing.T) {
	f, buf := testFlow(t, nil), make([]byte, 0, 8192)
	if n := testing.AllocsPerRun(100, func() { buf = AppendJSON(buf[:0], f, testNames) }); n != 0 {
		t.Errorf("AppendJSON: %v allocations, want 0", n)
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte(testFlow(f, nil)))
	f.Add([]byte(testFlow(f, func(_ *Counters, d *Description) { d.Host = []byte("\xff\xfe\"") })))
	f.Fuzz(func(t *testing.T, b []byte) {
		fl, err := ParseFlow(b)
		if err != nil {
			return
		}
		line := AppendJSON(nil, fl, testNames)
		if !json.Valid(line) {
			t.Fatalf("AppendJSON(%x) = %s", b, line)
		}
		if again, err := ParseJSON(line, testNumbers); err == nil && !json.Valid(AppendJSON(nil, again, testNames)) {
			t.Fatalf("ParseJSON(%s) = %x", line, again)
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	f.Add(AppendJSON(nil, testFlow(f, nil), testNames))
	f.Add([]byte(`{"client_ip":"::1","server_ip":"::2","x":{"y":[1,-2.5,[3],null,{"z":1}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fl, err := ParseJSON(b, testNumbers)
		if err != nil {
			return
		}
		if line := AppendJSON(nil, fl, testNames); !json.Valid(line) {
			t.Fatalf("ParseJSON(%q): not JSON: %s", b, line)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	f, buf := testFlow(b, nil), make([]byte, 0, 8192)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], f, testNames)
	}
}
