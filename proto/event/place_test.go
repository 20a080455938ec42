package event

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlaces(t *testing.T) {
	tests := []struct {
		client, server    Place
		direction, origin string
		local             Side
	}{
		{PlaceUnknown, PlaceUnknown, "", "", NoSide},
		{PlaceLocal, PlaceRemote, "outbound", "local", Client},
		{PlaceHost, PlaceRemote, "outbound", "local", Client},
		{PlaceRemote, PlaceLocal, "inbound", "other", Server},
		{PlaceRemote, PlaceHost, "inbound", "other", Server},
		{PlaceRemote, PlaceMulticast, "inbound", "", NoSide},
		{PlaceLocal, PlaceLocal, "internal", "local", Client},
		{PlaceLocal, PlaceHost, "internal", "local", Client},
		{PlaceHost, PlaceLocal, "internal", "other", Server},
		{PlaceHost, PlaceBroadcast, "internal", "local", Client},
		{PlaceLocal, PlaceMulticast, "internal", "local", Client},
		{PlaceRemote, PlaceRemote, "transit", "", NoSide},
		{9, PlaceLocal, "", "other", Server}, // of a later version
	}
	for _, tt := range tests {
		f := testFlow(t, func(_ *Counters, d *Description) { d.Client, d.Server = tt.client, tt.server })
		if f.ClientPlace() != tt.client || f.ServerPlace() != tt.server {
			t.Errorf("places = %d, %d, want %d, %d", f.ClientPlace(), f.ServerPlace(), tt.client, tt.server)
		}
		if f.Direction() != tt.direction || f.Origin() != tt.origin || f.Local() != tt.local {
			t.Errorf("%q to %q: direction %q, origin %q, local end %d, want %q, %q, %d", tt.client, tt.server,
				f.Direction(), f.Origin(), f.Local(), tt.direction, tt.origin, tt.local)
		}
	}
}

func TestRole(t *testing.T) {
	tests := []struct {
		in, out uint16
		want    string
	}{{0, 0, "lan"}, {1, 1, "wan"}, {2, 2, ""}, {1, 0, "lan"}, {0, 1, "lan"}, {2, 1, "wan"}, {1, 2, "wan"}}
	for _, tt := range tests {
		f := testFlow(t, func(c *Counters, _ *Description) { c.In, c.Out = tt.in, tt.out })
		if got := f.Role(func(i uint16) string { return []string{"lan", "wan", ""}[i] }); got != tt.want {
			t.Errorf("Role() of interfaces %d and %d = %q, want %q", tt.in, tt.out, got, tt.want)
		}
	}
	if got := testFlow(t, nil).Role(nil); got != "" {
		t.Errorf("Role(nil) = %q, want none", got)
	}
}

func TestPlacesJSON(t *testing.T) {
	f := testFlow(t, func(c *Counters, d *Description) {
		c.Out, d.Client, d.Server, d.ServerMAC = 1, PlaceRemote, PlaceLocal, [6]byte{2, 0, 0, 0, 0, 0xb}
	})
	got := decode(t, AppendJSON(nil, f, &Names{Role: func(i uint16) string { return []string{"wan", "lan"}[i] }}))
	for k, want := range map[string]any{
		"interface_role": "lan", "client_place": "remote", "server_place": "local", "direction": "inbound", "origin": "other",
		"local_ip": "203.0.113.7", "local_port": 443.0, "local_mac": "02:00:00:00:00:0b",
		"other_ip": "192.168.1.10", "other_port": 51000.0, "other_mac": "02:00:00:00:00:0a",
	} {
		if d := cmp.Diff(want, got[k]); d != "" {
			t.Errorf("%s (-want +got):\n%s", k, d)
		}
	}
}
