package daemon

import (
	"slices"
	"testing"
)

// TestFlagsAnywhere: flags may stand before, between and after words.
func TestFlagsAnywhere(t *testing.T) {
	t.Parallel()
	p := Program{Name: "d", Args: "[FILE...]", Commands: []string{"plan"}}
	tests := []struct {
		name    string
		args    []string
		command string
		rest    []string
	}{
		{"flags last", []string{"plan", "a", "b", "-config", "c"}, "plan", []string{"a", "b"}},
		{"flags between", []string{"plan", "a", "-config", "c", "b"}, "plan", []string{"a", "b"}},
		{"flags first", []string{"-config", "c", "plan", "a"}, "plan", []string{"a"}},
		{"no command", []string{"a", "-config", "c"}, "", []string{"a"}},
		{"standard input", []string{"-", "-config", "c"}, "", []string{"-"}},
		{"a command is the first word only", []string{"a", "plan", "-config=c"}, "", []string{"a", "plan"}},
		{"words with dashes", []string{"-config", "c", "plan", "--", "-check", "a"}, "plan", []string{"-check", "a"}},
	}
	for _, tt := range tests {
		f, err := p.parse(tt.args)
		if err != nil || f.command != tt.command || !slices.Equal(f.rest, tt.rest) || f.config != "c" || f.check {
			t.Errorf("%s: parse(%q) = %+v, %v, want command %q, words %q", tt.name, tt.args, f, err, tt.command, tt.rest)
		}
	}
}
