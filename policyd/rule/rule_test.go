package rule

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/proto/config"
	"weir/proto/event"
)

func flow(t testing.TB, edit func(*event.Counters, *event.Description)) *Flow {
	t.Helper()
	c := event.Counters{
		ID: 7, Rev: 1, First: 1e18, Last: 1e18 + 2.5e9,
		Client: netip.MustParseAddr("192.168.1.10").As16(), Server: netip.MustParseAddr("203.0.113.7").As16(),
		ClientPort: 51000, ServerPort: 443, IPProto: 6, IPVersion: 4, VLAN: 12, Mark: 0xff00_0001,
		ClientPackets: 10, ServerPackets: 12, ClientBytes: 1500, ServerBytes: 14000,
	}
	d := event.Description{
		Client: event.PlaceRemote, Server: event.PlaceLocal, // as a visitor from another of our networks sees it
		ClientMAC: [6]byte{2, 0, 0, 0, 0, 0xab}, Confidence: 90, Source: event.SourceDPI,
		Protocol: "tls", Application: "netflix", Category: "streaming",
		Host: []byte("www.Netflix.com"), Evidence: []byte("tls ClientHello"),
	}
	list := make([]byte, 0, event.MaxAttrs)
	list = event.AppendAttr(list, event.AttrString, "quic.version", []byte("v1"))
	list = event.AppendAttr(list, event.AttrString, "tls.sni", []byte("www.netflix.com"))
	list = event.AppendAttr(list, event.AttrString|event.AttrList, "tls.alpn", []byte("h2"))
	list = event.AppendAttr(list, event.AttrString|event.AttrList, "tls.alpn_offered", []byte("http/1.1"))
	list = event.AppendAttr(list, event.AttrString, "tls.ja4", []byte("t13d1516h2_8daaf6152771_b186095e22b6"))
	list = event.AppendAttr(list, event.AttrHex, "tls.ja3", []byte{0xca, 0xfe})
	list = event.AppendAttr(list, event.AttrUint, "http.status", binary.LittleEndian.AppendUint64(nil, 404))
	list = event.AppendAttr(list, event.AttrString, "tls.client_version", []byte("TLSv1.3"))
	d.Attrs = list
	if edit != nil {
		edit(&c, &d)
	}
	b := make([]byte, event.DescriptionAt)
	c.Encode(b)
	f, err := event.ParseFlow(d.Append(b))
	if err != nil {
		t.Fatal(err)
	}
	return &Flow{Flow: f, Interface: "lan0", Role: "lan", Now: time.Date(2024, 3, 6, 12, 0, 0, 0, time.UTC)} // a Wednesday
}

func policy(rules ...config.Rule) *config.Config {
	c := config.Default()
	c.Groups = []config.Group{
		{Name: "lan", Networks: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fd00::/8")}},
		{Name: "servers", Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}},
	}
	for i, r := range rules {
		r.Enabled, r.Pos = true, config.Pos{File: "weir.toml", Line: 10 * (i + 1)}
		if r.Name == "" {
			r.Name = fmt.Sprint("r", i)
		}
		c.Rules = append(c.Rules, r)
	}
	return c
}

func compiled(t testing.TB, rules ...config.Rule) *Set {
	t.Helper()
	s, problems := Compile(policy(rules...))
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

func TestMatch(t *testing.T) {
	tests := []struct {
		match string
		want  bool
	}{
		{`true`, true},
		{`protocol == "tls"`, true},
		{`protocol == "quic"`, false},
		{`application == "netflix" and category == "streaming"`, true},
		{`protocol in ["quic", "tls"]`, true},
		{`not (protocol in ["quic", "dns"])`, true},
		{`suffix(host, "netflix.com")`, true},
		{`suffix(host, "*.NETFLIX.com.")`, true},
		{`suffix(host, "flix.com")`, false},
		{`suffix(host, "www.netflix.com")`, true},
		{`suffix(sni, "com")`, true},
		{`host matches "^www\\."`, true},
		{`sni endsWith ".com" && sni startsWith "www"`, true},
		{`lower(host) == "www.netflix.com"`, true},
		{`"h2" in alpn`, true},
		{`"h3" in alpn`, false},
		{`len(alpn) == 2`, true},
		{`any(alpn, # == "http/1.1")`, true},
		{`ja4 startsWith "t13"`, true},
		{`attr("tls.ja3") == "cafe"`, true},
		{`attr("http.status") == "404"`, true},
		{`attr("no.such") == ""`, true},
		{`"http/1.1" in attrs("tls.alpn_offered")`, true},
		{`tls_version == "TLSv1.3"`, true},
		{`client_ip == "192.168.1.10"`, true},
		{`client_ip == "::ffff:192.168.1.10"`, true},
		{`"192.168.1.10" == client_ip`, true},
		{`client_ip != "192.168.1.10"`, false},
		{`client_ip != "192.168.1.11"`, true},
		{`client_ip in ["10.0.0.0/8", "192.168.1.0/24"]`, true},
		{`not (client_ip in ["10.0.0.0/8"])`, true},
		{`cidr(client_ip, "192.168.0.0/16")`, true},
		{`cidr(server_ip, "192.168.0.0/16")`, false},
		{`cidr(client_ip, "::/0")`, false},
		{`in_group(client_ip, "lan") && !in_group(server_ip, "lan")`, true},
		{`in_group(server_ip, "servers")`, true},
		{`private(client_ip) and not private(server_ip)`, true},
		{`client_port == 51000 and server_port == 443`, true},
		{`server_port in 400..500`, true},
		{`ip_protocol == 6 and ip_version == 4 and vlan == 12`, true},
		{`interface == "lan0"`, true},
		{`interface_role == "lan"`, true},
		{`client_place == "remote" and server_place == "local" and other_type == "remote"`, true},
		{`direction == "inbound" and origin == "other"`, true},
		{`local_ip == "203.0.113.7" and local_port == 443 and local_mac == ""`, true},
		{`other_ip in ["192.168.0.0/16"] and other_port > 50000 and other_mac == "02-00-00-00-00-ab"`, true},
		{`client_mac == "02:00:00:00:00:AB"`, true},
		{`client_mac in ["02-00-00-00-00-ab"]`, true},
		{`server_mac == ""`, true},
		{`mark == 0xff000001`, true},
		{`bitand(int(mark), 1) == 1`, true},
		{`bytes == 15500 and packets == 22`, true},
		{`client_bytes < server_bytes and client_packets < server_packets`, true},
		{`bytes > 5e9`, false},
		{`duration == 2.5`, true},
		{`confidence >= 90 and source == "dpi" and not guessed`, true},
		{`evidence contains "ClientHello"`, true},
		{`end_reason == "" and not midstream`, true},
		{`let h = host; h != ""`, true},
		{`protocol == "dns" ? false : true`, true},
	}
	f := flow(t, nil)
	for _, tt := range tests {
		t.Run(tt.match, func(t *testing.T) {
			s := compiled(t, config.Rule{Match: tt.match})
			hits, _ := s.Match(f)
			if got := len(hits) == 1; got != tt.want {
				t.Errorf("Match(%s) = %t, want %t", tt.match, got, tt.want)
			}
		})
	}
}

func TestMatchOrder(t *testing.T) {
	tests := []struct {
		name     string
		rules    []config.Rule
		hits     []int
		tags     []string
		outcomes []Outcome
	}{
		{
			"all that match",
			[]config.Rule{{Match: "true", Tag: []string{"a"}}, {Match: "false"}, {Match: "true", Tag: []string{"a", "b"}}},
			[]int{0, 2}, []string{"a", "b"}, []Outcome{Matched, NoMatch, Matched},
		},
		{
			"stop",
			[]config.Rule{{Match: `protocol == "tls"`, Stop: true}, {Match: `vlan == 12`}},
			[]int{0}, nil, []Outcome{Matched, NotReached},
		},
		{
			"stop of a rule that does not match",
			[]config.Rule{{Match: `protocol == "dns"`, Stop: true}, {Match: `vlan == 12`}},
			[]int{1}, nil, []Outcome{NoMatch, Matched},
		},
		{
			"exempt",
			[]config.Rule{{Match: "true", Exempt: `client_ip == "192.168.1.10"`, Stop: true}, {Match: "true"}},
			[]int{1}, nil, []Outcome{Exempt, Matched},
		},
		{
			"tags of earlier rules",
			[]config.Rule{{Match: `"x" in tags`}, {Match: "true", Tag: []string{"x"}}, {Match: `"x" in tags`}},
			[]int{1, 2}, []string{"x"}, []Outcome{NoMatch, Matched, Matched},
		},
		{
			"schedule",
			[]config.Rule{{Match: "true", Schedule: "noon"}, {Match: "true", Schedule: "night"}},
			[]int{0}, nil, []Outcome{Matched, OffHours},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := policy(tt.rules...)
			c.Schedules = []config.Schedule{
				{Name: "noon", From: 11 * time.Hour, To: 13 * time.Hour, Zone: "UTC"},
				{Name: "night", From: 22 * time.Hour, To: 6 * time.Hour, Zone: "UTC"},
			}
			s, problems := Compile(c)
			if s == nil {
				t.Fatal(problems)
			}
			for range 2 { // state of one flow must not reach the next
				f := flow(t, nil)
				hits, tags := s.Match(f)
				if !slices.Equal(hits, tt.hits) || !slices.Equal(tags, tt.tags) {
					t.Errorf("Match = %v, %v, want %v, %v", hits, tags, tt.hits, tt.tags)
				}
				if d := cmp.Diff(tt.outcomes, s.Trace(f)); d != "" {
					t.Errorf("Trace (-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestFailedEvaluation(t *testing.T) {
	s := compiled(t, config.Rule{Match: `alpn[7] == "x"`}, config.Rule{Match: "true", Exempt: `alpn[7] == "x"`})
	hits, _ := s.Match(flow(t, nil))
	if len(hits) != 0 {
		t.Errorf("Match = %v, want none", hits)
	}
	if s.Rules[0].Errors != 1 || s.Rules[1].Errors != 1 {
		t.Errorf("Errors = %d, %d, want 1, 1", s.Rules[0].Errors, s.Rules[1].Errors)
	}
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name  string
		rules []config.Rule
		want  []string
	}{
		{"unknown field", []config.Rule{{Match: `protcol == "tls"`}},
			[]string{`weir.toml:10: rule r0: match: unknown field "protcol": did you mean "protocol"? @1:1`}},
		{"every unknown field", []config.Rule{{Match: "hots == 1 and\n  xyzzy > 2"}},
			[]string{`weir.toml:10: rule r0: match: unknown field "hots": did you mean "host"? @1:1`,
				`weir.toml:10: rule r0: match: unknown field "xyzzy": the fields are listed in docs/formats/rules.md @2:3`}},
		{"unknown function", []config.Rule{{Match: `sufix(host, "x.com")`}},
			[]string{`weir.toml:10: rule r0: match: unknown field "sufix": did you mean "suffix"? @1:1`}},
		{"no clock", []config.Rule{{Match: `now().Hour() > 3`}},
			[]string{`weir.toml:10: rule r0: match: unknown field "now": the fields are listed in docs/formats/rules.md @1:1`}},
		{"inner function", []config.Rule{{Match: `_in_networks(client_ip, "x")`}},
			[]string{`weir.toml:10: rule r0: match: unknown field "_in_networks": the fields are listed in docs/formats/rules.md @1:1`}},
		{"wrong type", []config.Rule{{Match: `protocol == 6`}},
			[]string{`weir.toml:10: rule r0: match: invalid operation: == (mismatched types string and int) @1:10`}},
		{"list compared with a text", []config.Rule{{Match: `alpn == "h2"`}},
			[]string{`weir.toml:10: rule r0: match: invalid operation: == (mismatched types list and string): a list is searched like this: "h2" in alpn @1:6`}},
		{"not a condition", []config.Rule{{Match: `server_port`}},
			[]string{`weir.toml:10: rule r0: match: is a number, not true or false: compare it with something @1:1`}},
		{"value of any type", []config.Rule{{Match: `$env["protocol"]`}},
			[]string{`weir.toml:10: rule r0: match: unknown field "$env": the fields are listed in docs/formats/rules.md @1:1`}},
		{"syntax", []config.Rule{{Match: `protocol == `}},
			[]string{`weir.toml:10: rule r0: match: unexpected token EOF @1:12`}},
		{"empty", []config.Rule{{Match: ` `}},
			[]string{`weir.toml:10: rule r0: match: is empty: write true to match every flow`}},
		{"bad network", []config.Rule{{Match: `cidr(client_ip, "10.0.0.0/33")`}},
			[]string{`weir.toml:10: rule r0: match: "10.0.0.0/33" is not an address or network such as "192.168.0.0/16" @1:17`}},
		{"bits beyond the prefix", []config.Rule{{Match: `client_ip in ["10.0.0.1/8"]`}},
			[]string{`weir.toml:10: rule r0: match: "10.0.0.1/8" has bits set beyond /8: write "10.0.0.0/8" @1:15`}},
		{"network of a name", []config.Rule{{Match: `cidr(host, "10.0.0.0/8")`}},
			[]string{`weir.toml:10: rule r0: match: this is not an address: use client_ip, server_ip, local_ip or other_ip @1:6`}},
		{"unknown group", []config.Rule{{Match: `in_group(client_ip, "lann")`}},
			[]string{`weir.toml:10: rule r0: match: there is no group "lann": did you mean "lan"? @1:21`}},
		{"group from a field", []config.Rule{{Match: `in_group(client_ip, host)`}},
			[]string{`weir.toml:10: rule r0: match: the second argument of in_group must be a text: write it in quotes @1:21`}},
		{"bad regular expression", []config.Rule{{Match: `host matches "("`}},
			[]string{"weir.toml:10: rule r0: match: error parsing regexp: missing closing ): `(` @1:6"}},
		{"in exempt", []config.Rule{{Match: `true`, Exempt: `clientip == "x"`}},
			[]string{`weir.toml:10: rule r0: exempt: unknown field "clientip": did you mean "client_ip"? @1:1`}},
		{"never true", []config.Rule{{Match: `1 == 2`}},
			[]string{`weir.toml:10: warning: rule r0: match: is never true: no flow will match: set enabled = false to switch the rule off @1:1`}},
		{"after a rule that takes all", []config.Rule{{Match: `true`, Stop: true}, {Match: `vlan == 1`}},
			[]string{`weir.toml:20: warning: rule r1: match: is never reached: rule r0 at weir.toml:10 stops all that match: put the special rule before the general one @1:1`}},
		{"special after general", []config.Rule{{Match: `client_ip in ["10.0.0.0/8"]`, Stop: true}, {Match: `vlan == 1 && client_ip in ["10.0.0.0/8"]`}},
			[]string{`weir.toml:20: warning: rule r1: match: is never reached: rule r0 at weir.toml:10 stops all that match: put the special rule before the general one @1:1`}},
		{"another network", []config.Rule{{Match: `client_ip in ["10.0.0.0/8"]`, Stop: true}, {Match: `client_ip in ["10.0.0.0/9"]`}}, nil},
		{"exempt leaves some", []config.Rule{{Match: `true`, Exempt: `vlan == 1`, Stop: true}, {Match: `vlan == 1`}}, nil},
		{"without stop", []config.Rule{{Match: `true`}, {Match: `vlan == 1`}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, problems := Compile(policy(tt.rules...))
			var got []string
			mistake := false
			for _, p := range problems {
				text := p.Error()
				if p.At != (Place{}) {
					text += " @" + p.At.String()
				}
				got = append(got, text)
				mistake = mistake || !p.Warning
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Compile (-want +got):\n%s", d)
			}
			if (s == nil) != mistake {
				t.Errorf("Compile: set %v with problems %v", s != nil, got)
			}
		})
	}
}

func TestDisabledRule(t *testing.T) {
	c := policy(config.Rule{Match: "nonsense ("}, config.Rule{Match: "true"})
	c.Rules[0].Enabled = false
	s, problems := Compile(c)
	if len(problems) != 0 || len(s.Rules) != 1 {
		t.Errorf("Compile = %v, %v, want one rule and no problem", s, problems)
	}
}

func TestNeedsCounters(t *testing.T) {
	for match, want := range map[string]bool{`protocol == "tls"`: false, `bytes > 1000`: true, `vlan == 1 and duration > 3.0`: true} {
		if got := compiled(t, config.Rule{Match: match}).NeedsCounters(); got != want {
			t.Errorf("NeedsCounters(%s) = %t, want %t", match, got, want)
		}
	}
}

func TestSchedule(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2024, 3, day, hour, minute, 0, 0, time.UTC) }
	work := config.Schedule{Days: []time.Weekday{time.Monday, time.Tuesday}, From: 8 * time.Hour, To: 17 * time.Hour, Zone: "UTC"}
	night := config.Schedule{Days: []time.Weekday{time.Friday}, From: 22 * time.Hour, To: 6 * time.Hour, Zone: "UTC"}
	tests := []struct {
		name string
		s    config.Schedule
		at   time.Time
		want bool
	}{
		{"within", work, at(4, 8, 0), true}, // 4 March 2024 was a Monday
		{"end is exclusive", work, at(4, 17, 0), false},
		{"before", work, at(4, 7, 59), false},
		{"other day", work, at(6, 12, 0), false},
		{"over midnight, evening", night, at(8, 23, 0), true},
		{"over midnight, morning after", night, at(9, 5, 59), true},
		{"over midnight, morning of the day", night, at(8, 5, 0), false},
		{"over midnight, evening after", night, at(9, 23, 0), false},
		{"whole day", config.Schedule{To: 24 * time.Hour, Zone: "UTC"}, at(6, 23, 59), true},
	}
	for _, tt := range tests {
		if got := newSchedule(&tt.s).active(tt.at); got != tt.want {
			t.Errorf("%s: active(%v) = %t, want %t", tt.name, tt.at, got, tt.want)
		}
	}
}

func TestLocate(t *testing.T) {
	tests := []struct {
		name, text string
		line       int
		at         Place
		want       string
	}{
		{"basic", "[[rule]]\nname = \"a\"\nmatch = \"vlan == x\"\n", 1, Place{1, 9}, "3:18"},
		{"escapes before it", "[[rule]]\nmatch = \"host == \\\"a\\u00e4\\\" && x\"\n", 1, Place{1, 17}, "2:33"},
		{"literal", "[[rule]]\n  match='a == b'", 1, Place{1, 6}, "2:15"},
		{"multi-line", "[[rule]]\nmatch = '''\na\n  and b\n'''\n", 1, Place{2, 7}, "4:7"},
		{"multi-line basic, continued", "[[rule]]\nmatch = \"\"\"a \\\n   and b\"\"\"\n", 1, Place{1, 7}, "3:8"},
		{"second rule", "[[rule]]\nmatch = 'a'\n[[rule]]\nmatch = 'bb'\n", 3, Place{1, 2}, "4:11"},
		{"key within a string before", "[[rule]]\nname = '''\nmatch = 'no'\n'''\nmatch = 'yes'\n", 1, Place{1, 1}, "5:10"},
		{"end of the expression", "[[rule]]\nmatch = 'a =='\n", 1, Place{1, 5}, "2:14"},
		{"not in this table", "[[rule]]\nname = 'a'\n[[rule]]\nmatch = 'x'\n", 1, Place{1, 1}, ""},
		{"beyond the expression", "[[rule]]\nmatch = 'a'\n", 1, Place{1, 9}, ""},
		{"no string", "[[rule]]\nmatch = 7\n", 1, Place{1, 1}, ""},
		{"unfinished", "[[rule]]\nmatch = \"a\\", 1, Place{1, 3}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Locate([]byte(tt.text), tt.line, "match", tt.at)
			if s := got.String(); ok != (tt.want != "") || ok && s != tt.want {
				t.Errorf("Locate(%v) = %s, %t, want %s", tt.at, s, ok, tt.want)
			}
		})
	}
}

func TestMatchAllocs(t *testing.T) {
	s := compiled(t,
		config.Rule{Match: `protocol == "tls" and suffix(host, "netflix.com")`},
		config.Rule{Match: `in_group(client_ip, "lan") and server_port == 443 and client_mac != ""`},
		config.Rule{Match: `host matches "^www" or ja4 == ""`, Tag: []string{"known"}},
		config.Rule{Match: `interface == "lan0" and confidence > 50`},
		config.Rule{Match: `direction == "inbound" and cidr(local_ip, "203.0.113.0/24") and other_mac != "" and interface_role == "lan"`})
	f := flow(t, nil)
	if n := testing.AllocsPerRun(100, func() { s.Match(f) }); n != 0 {
		t.Errorf("Match: %v allocations, want 0", n)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{`protocol == "tls"`, `client_ip in ["10.0.0.0/8"]`, `let x = host; x matches "a|b"`,
		`suffix(host, "a.com") and any(alpn, # == "h2")`, `cidr(client_ip, "::/0") ? bytes > 5 : !guessed`, `attr("a.b")[1:2] == "x"`} {
		f.Add(s)
	}
	fl := flow(f, nil)
	f.Fuzz(func(t *testing.T, match string) {
		c := policy(config.Rule{Match: match, Exempt: match})
		s, problems := Compile(c)
		for _, p := range problems {
			if p.Error() == "" || strings.Contains(p.Error(), "BUG") {
				t.Errorf("Compile(%q): %v", match, p)
			}
		}
		if s != nil {
			s.Match(fl)
		}
	})
}

func FuzzMatch(f *testing.F) {
	s := compiled(f,
		config.Rule{Match: `host matches "^[a-z.]+$" or suffix(sni, "x.com") or "h2" in alpn`, Tag: []string{"a"}},
		config.Rule{Match: `in_group(client_ip, "lan") or server_ip == "::1" or client_mac == "02:00:00:00:00:01"`},
		config.Rule{Match: `bytes + packets > 3 or duration > 1.5 or mark == 3 or attr("tls.ja3") == "" or len(attrs("x.y")) > 0`},
		config.Rule{Match: `local_ip == "10.0.0.1" or private(other_ip) or local_mac == "02:00:00:00:00:01" or direction == other_type`},
		config.Rule{Match: `interface == end_reason or source == evidence or "a" in tags`})
	f.Add([]byte(flow(f, nil).Flow))
	f.Add([]byte(flow(f, func(c *event.Counters, d *event.Description) {
		c.ClientBytes, c.ServerBytes, c.First, c.Last = 1<<64-1, 1, 0, 1<<64-1
		d.Host = []byte{0xff, 0}
	}).Flow))
	f.Fuzz(func(t *testing.T, b []byte) {
		fl, err := event.ParseFlow(b)
		if err != nil {
			return
		}
		x := &Flow{Flow: fl, Interface: "eth0"}
		hits, _ := s.Match(x)
		got := slices.Clone(hits)
		for i, o := range s.Trace(x) {
			if o == Failed || slices.Contains(got, i) != (o == Matched) {
				t.Errorf("rule %d: Match = %v, Trace = %s", i, got, o)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			var rules []config.Rule
			for i := range n {
				rules = append(rules, config.Rule{Match: fmt.Sprintf(`protocol == "tls" and suffix(host, "site%d.com") and in_group(client_ip, "lan")`, i)})
			}
			s, f := compiled(b, rules...), flow(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				s.Match(f)
			}
		})
	}
}
