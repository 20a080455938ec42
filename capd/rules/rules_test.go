package rules

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestPrint(t *testing.T) {
	for _, mode := range []Mode{Forward, Input, Output, Bridge, Manual} {
		cfg := Config{
			Instance: "default", Mode: mode, First: 0, Count: 4, MarkMask: 0xff000000, Packets: 200,
			Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.9/32"), netip.MustParsePrefix("2001:db8::1/128")},
		}
		var b bytes.Buffer
		if err := Print(&b, cfg); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", string(mode)+".golden")
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	good := Config{Instance: "default", Mode: Forward, Count: 1, MarkMask: 0xff000000}
	tests := []struct {
		name string
		edit func(*Config)
		want string // "" = fine
	}{
		{"fine", func(*Config) {}, ""},
		{"the last queue", func(c *Config) { c.First = 65535 }, ""},
		{"mask", func(c *Config) { c.MarkMask = 0x10 }, "mark mask 0x00000010"},
		{"mode", func(c *Config) { c.Mode = "both" }, `mode "both"`},
		{"no queue", func(c *Config) { c.Count = 0 }, "0 queues from 0 on"},
		{"past the last queue", func(c *Config) { c.First, c.Count = 65535, 2 }, "2 queues from 65535 on"},
		{"instance", func(c *Config) { c.Instance = "a b" }, `name "a b"`},
		{"table", func(c *Config) { c.Table = "9x" }, `table "9x"`},
		{"network", func(c *Config) { c.Exempt = []netip.Prefix{{}} }, "exempt"},
	}
	for _, tt := range tests {
		cfg := good
		tt.edit(&cfg)
		_, err := Plan(cfg)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: Plan: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestElements(t *testing.T) {
	tests := []struct{ networks, want string }{
		{"10.0.0.0/8", "10.0.0.0 -11.0.0.0"},
		{"10.0.0.0/8 10.1.0.0/16 10.0.0.0/8", "10.0.0.0 -11.0.0.0"},
		{"10.0.0.0/15 10.2.0.0/15 10.4.0.0/32 10.4.0.2/32", "10.0.0.0 -10.4.0.1 10.4.0.2 -10.4.0.3"},
		{"0.0.0.0/0", "0.0.0.0"},
		{"255.255.255.255/32 255.255.255.254/32", "255.255.255.254"},
		{"::ffff:192.0.2.0/120 2001:db8::/32", "192.0.2.0 -192.0.3.0 2001:db8:: -2001:db9::"},
	}
	for _, tt := range tests {
		var list []netip.Prefix
		for _, s := range strings.Fields(tt.networks) {
			list = append(list, netip.MustParsePrefix(s))
		}
		v4, v6 := split(list)
		var got []string
		for _, e := range append(v4.elements(), v6.elements()...) {
			a, _ := netip.AddrFromSlice(e.Key)
			s := a.String()
			if e.IntervalEnd {
				s = "-" + s
			}
			got = append(got, s)
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("elements of %s = %s, want %s", tt.networks, g, tt.want)
		}
	}
}
