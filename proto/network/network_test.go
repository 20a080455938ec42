package network

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var example = View{
	Hosts:      []Station{{netip.MustParseAddr("192.168.1.1"), MAC{2, 0, 0, 0, 0, 1}}, {netip.MustParseAddr("::1"), MAC{}}},
	MACs:       []MAC{{2, 0, 0, 0, 0, 1}},
	Local:      []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("2001:db8:1::/64")},
	Other:      []netip.Prefix{netip.MustParsePrefix("192.168.178.0/24")},
	Neighbours: []Station{{netip.MustParseAddr("2001:db8:1::a"), MAC{2, 0, 0, 0, 0xab, 0xcd}}},
}

const exampleText = `weir-network 1
host 192.168.1.1 02:00:00:00:00:01
host ::1
mac 02:00:00:00:00:01
local 192.168.1.0/24
local 2001:db8:1::/64
other 192.168.178.0/24
neighbour 2001:db8:1::a 02:00:00:00:ab:cd
end
`

var equal = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
var same = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestSaveLoad(t *testing.T) {
	text := example.Append(nil)
	if d := cmp.Diff(exampleText, string(text)); d != "" {
		t.Errorf("Append (-want +got):\n%s", d)
	}
	path := filepath.Join(t.TempDir(), "network")
	if err := Save(path, text); err != nil {
		t.Fatal(err)
	}
	v, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&example, v, equal, same); d != "" {
		t.Errorf("Load (-want +got):\n%s", d)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"empty", "", "begin"},
		{"other version", "weir-network 2\nend\n", "begin"},
		{"cut", strings.TrimSuffix(exampleText, "end\n"), "cut off"},
		{"cut in a line", "weir-network 1\nhost 1.2.3.4 end\n", "cut off"},
		{"unknown", "weir-network 1\nroute 10.0.0.0/8\nend\n", `line 2: "route"`},
		{"address", "weir-network 1\nhost 1.2.3\nend\n", "line 2"},
		{"mapped address", "weir-network 1\nhost ::ffff:1.2.3.4\nend\n", "line 2"},
		{"zone", "weir-network 1\nneighbour fe80::1%eth0 02:00:00:00:00:01\nend\n", "line 2"},
		{"MAC", "weir-network 1\nmac 02:00:00:00:00:0g\nend\n", "line 2"},
		{"short MAC", "weir-network 1\nmac 02:00\nend\n", "line 2"},
		{"bits beyond", "weir-network 1\nlocal 10.0.0.1/8\nend\n", "line 2"},
		{"lines", header + "\n" + strings.Repeat("host 10.0.0.1\n", MaxEntries+1) + "end\n", "more than"},
		{"size", header + "\n" + strings.Repeat(" ", MaxSize), "at most"},
	}
	for _, tt := range tests {
		if _, err := Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(exampleText))
	f.Add([]byte("weir-network 1\nend\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(v.Append(nil))
		if err != nil {
			t.Fatalf("Parse(Append(%+v)) = %v", v, err)
		}
		if d := cmp.Diff(v.Append(nil), again.Append(nil)); d != "" {
			t.Errorf("Parse(Append(v)) (-want +got):\n%s", d)
		}
	})
}
