package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnApplication: an application that the user writes down is what flows are
// told to be, and what rules can ask for; a mistake in one is told with its place.
func TestOwnApplication(t *testing.T) {
	const demo = "../../scripts/demo.pcap"
	write := func(text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "mine.toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := write(`[catalog]
categories = ["evenings"]
[[application]]
name = "film-night"
category = "evenings"
domains = ["=www.netflix.com"]
[[application]]
name = "spotify"
networks = ["198.18.0.13"]
`)
	got := map[string]string{}
	for _, l := range Replay(t, "-policy", policy, demo) {
		var f struct {
			Protocol, Application, Category, Hostname string
		}
		if err := json.Unmarshal([]byte(l), &f); err != nil {
			t.Fatalf("flow line %q: %v", l, err)
		}
		if f.Protocol == "tls" {
			got[f.Hostname] = f.Application + " " + f.Category
		}
	}
	for host, want := range map[string]string{
		"www.netflix.com":           "film-night evenings", // an exact entry of the user's
		"ipv4-c001.1.nflxvideo.net": "netflix streaming",   // curated, left as it is
		"web.whatsapp.com":          "whatsapp messaging",  // its name comes before its network
	} {
		if got[host] != want {
			t.Errorf("flow to %s is %q, want %q", host, got[host], want)
		}
	}

	policy = write("[[application]]\nname = \"film-night\"\ncategory = \"evenings\"\ndomains = [\"a..b\"]\n")
	_, errs, err := Run(t, "weir", "replay", "-policy", policy, demo)
	for _, want := range []string{policy + `:1: application film-night: domain "a..b":`, policy + `:1: application film-night: unknown category "evenings"`} {
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("weir replay = %v, %q, want %s", err, errs, want)
		}
	}
}
