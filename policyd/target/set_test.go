package target

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/proto/config"
	"weir/proto/event"
)

func flow(t testing.TB, client, server string, edit func(*event.Counters, *event.Description)) event.Flow {
	t.Helper()
	a, b := netip.MustParseAddr(client), netip.MustParseAddr(server)
	c := event.Counters{ID: 1, Client: a.As16(), Server: b.As16(), ClientPort: 51000, ServerPort: 443, IPProto: 6, IPVersion: 6, Mark: 0x01020304}
	if a.Is4() {
		c.IPVersion = 4
	}
	d := event.Description{ClientMAC: [6]byte{2, 0, 0, 0, 0, 0xab}}
	if edit != nil {
		edit(&c, &d)
	}
	buf := make([]byte, event.DescriptionAt)
	c.Encode(buf)
	f, err := event.ParseFlow(d.Append(buf))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newSet(t testing.TB, c config.Set) *Set {
	t.Helper()
	if c.Name == "" {
		c.Name = "s"
	}
	if c.Family == "" {
		c.Family = "inet"
	}
	if c.Remove == "" {
		c.Remove = config.RemoveTimeout
	}
	s, err := NewSet(c, "weir")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKey(t *testing.T) {
	const v4, v6 = config.FamilyIPv4, config.FamilyIPv6
	f4 := flow(t, "192.0.2.1", "203.0.113.7", nil)
	f6 := flow(t, "2001:db8::1", "2001:db8::2", nil)
	bare := flow(t, "192.0.2.1", "203.0.113.7", func(_ *event.Counters, d *event.Description) { d.ClientMAC = [6]byte{} })
	tests := []struct {
		name    string
		address string
		key     string
		f       event.Flow
		iface   string
		want    string // "" = the flow has no element
		typ     string
		size    int
	}{
		{"IPv4", v4, "client_ip", f4, "", "192.0.2.1", "ipv4_addr", 4},
		{"IPv6", v6, "server_ip", f6, "", "2001:db8::2", "ipv6_addr", 16},
		{"IPv6 flow, IPv4 set", v4, "client_ip", f6, "", "", "ipv4_addr", 4},
		{"IPv4 flow, IPv6 set", v6, "client_ip", f4, "", "", "ipv6_addr", 16},
		{"five parts", v4, "client_ip client_port server_ip server_port ip_protocol", f4, "",
			"192.0.2.1 . 51000 . 203.0.113.7 . 443 . tcp", "ipv4_addr . inet_service . ipv4_addr . inet_service . inet_proto", 20},
		{"five parts of IPv6", v6, "client_ip client_port server_ip server_port ip_protocol", f6, "",
			"2001:db8::1 . 51000 . 2001:db8::2 . 443 . tcp", "ipv6_addr . inet_service . ipv6_addr . inet_service . inet_proto", 44},
		{"port alone", "", "server_port", f6, "", "443", "inet_service", 2},
		{"protocol alone", "", "ip_protocol", f4, "", "tcp", "inet_proto", 1},
		{"mark", "", "mark", f4, "", "0x01020304", "mark", 4},
		{"MAC", "", "mac", f4, "", "02:00:00:00:00:ab", "ether_addr", 6},
		{"MAC with a port", "", "mac server_port", f4, "", "02:00:00:00:00:ab . 443", "ether_addr . inet_service", 12},
		{"unknown MAC", "", "mac", bare, "", "", "ether_addr", 6},
		{"interface", "", "interface", f4, "lan0", `"lan0"`, "ifname", 16},
		{"interface with an address", v4, "interface client_ip", f4, "lan0", `"lan0" . 192.0.2.1`, "ifname . ipv4_addr", 20},
		{"unknown interface", "", "interface", f4, "", "", "ifname", 16},
		{"interface name too long", "", "interface", f4, "sixteen-letters-", "", "ifname", 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts := strings.Fields(tt.key)
			s := newSet(t, config.Set{Address: tt.address, Key: parts})
			key, ok := s.AppendKey(nil, parts, tt.f, tt.iface)
			if ok != (tt.want != "") {
				t.Fatalf("AppendKey = %x, %t, want %q", key, ok, tt.want)
			}
			if got := s.Format(string(key)); ok && got != tt.want {
				t.Errorf("Format(AppendKey) = %s, want %s", got, tt.want)
			}
			if ok && len(key) != tt.size || s.keySize() != tt.size {
				t.Errorf("AppendKey has %d bytes, keySize = %d, want %d", len(key), s.keySize(), tt.size)
			}
			if s.Type() != tt.typ {
				t.Errorf("Type = %s, want %s", s.Type(), tt.typ)
			}
		})
	}
}

func TestKeyOverride(t *testing.T) {
	s := newSet(t, config.Set{Address: config.FamilyIPv4, Key: []string{"client_ip", "client_port"}})
	key, ok := s.AppendKey(nil, []string{"server_ip", "server_port"}, flow(t, "192.0.2.1", "203.0.113.7", nil), "")
	if got := s.Format(string(key)); !ok || got != "203.0.113.7 . 443" {
		t.Errorf("AppendKey = %s, %t, want 203.0.113.7 . 443", got, ok)
	}
}

func TestNewSetErrors(t *testing.T) {
	tests := []struct {
		name string
		set  config.Set
		want string
	}{
		{"six parts", config.Set{Key: strings.Fields("mark mac client_port server_port ip_protocol interface")}, "key has 6 parts: nftables joins at most 5"},
		{"create in another table", config.Set{Table: "filter", Create: true, Key: []string{"mark"}}, "only table inet weir is ours"},
		{"create in another family", config.Set{Family: "ip", Create: true, Key: []string{"mark"}}, "only table inet weir is ours"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.set.Family == "" {
				tt.set.Family = "inet"
			}
			if _, err := NewSet(tt.set, "weir"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewSet = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDeclaration(t *testing.T) {
	s := newSet(t, config.Set{Name: "blocked", Table: "fw", Address: config.FamilyIPv4, Key: []string{"client_ip", "server_port"}, Timeout: time.Minute})
	const want = "nft 'add set inet fw blocked { type ipv4_addr . inet_service; flags timeout; size 65536; }'"
	if got := s.Declaration(); got != want {
		t.Errorf("Declaration = %s, want %s", got, want)
	}
}

func FuzzKey(f *testing.F) {
	f.Add([]byte(flow(f, "192.0.2.1", "203.0.113.7", nil)), "lan0", uint8(0))
	f.Add([]byte(flow(f, "2001:db8::1", "2001:db8::2", nil)), "", uint8(1))
	keys := [][]string{strings.Fields("client_ip client_port server_ip server_port ip_protocol"), {"mark", "mac"}, {"interface", "server_ip"}, {"ip_protocol"}}
	f.Fuzz(func(t *testing.T, b []byte, iface string, which uint8) {
		fl, err := event.ParseFlow(b)
		if err != nil {
			return
		}
		parts := keys[int(which)%len(keys)]
		c := config.Set{Name: "s", Family: "inet", Key: parts, Address: []string{config.FamilyIPv4, config.FamilyIPv6}[which/128]}
		s, err := NewSet(c, "weir")
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := s.AppendKey(nil, parts, fl, iface); ok && (len(key) != s.keySize() || s.Format(string(key)) == "") {
			t.Errorf("AppendKey = %x, want %d bytes", key, s.keySize())
		}
	})
}
