package rules

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestStrictReversePath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   []string
	}{
		{"none", map[string]string{"all": "0", "default": "1", "lo": "1", "a": "0", "b": "2"}, nil},
		{"one", map[string]string{"all": "0", "a": "0", "b": "1"}, []string{"b"}},
		{"all", map[string]string{"all": "1", "a": "0", "b": "2", "c": "1"}, []string{"a", "c"}},
		{"all loose", map[string]string{"all": "2", "a": "1"}, nil},
		{"no IPv4", nil, nil},
	} {
		dir := filepath.Join(t.TempDir(), "conf")
		for name, v := range tt.values {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name, "rp_filter"), []byte(v+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := strictReversePath(dir); !slices.Equal(got, tt.want) {
			t.Errorf("%s: strictReversePath(%v) = %q, want %q", tt.name, tt.values, got, tt.want)
		}
	}
}
