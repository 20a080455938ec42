package steer

import "testing"

func TestReads(t *testing.T) {
	for _, tt := range []struct {
		link uint32
		want bool
	}{
		{linkNull, true}, {linkEthernet, true}, {linkPPP, true}, {linkRaw12, true}, {linkRaw, true}, {linkLoop, true},
		{linkSLL, true}, {linkPPI, true}, {linkIPv4, true}, {linkIPv6, true}, {linkSLL2, true},
		{2, false}, {147, false}, {1 << 20, false},
	} {
		if got := Reads(tt.link); got != tt.want {
			t.Errorf("Reads(%d) = %t, want %t", tt.link, got, tt.want)
		}
	}
}
