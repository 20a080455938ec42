package dissect

import (
	"strings"
	"testing"
)

func TestBencSkip(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want int
	}{
		{"4:spam", 6}, {"4:spamX", 6}, {"0:", 2}, {"i-42e", 5}, {"le", 2}, {"d3:foo3:bare", 12}, {"ll1:ai7eee9:", 10},
		{"", -1}, {"e", -1}, {"4:spa", -1}, {"4spam", -1}, {"ie", -1}, {"i42", -1}, {"l1:a", -1}, {"x", -1},
		{"99999:a", -1}, {"999999:a", -1}, {strings.Repeat("l", 17), -1}, {strings.Repeat("l", 16) + strings.Repeat("e", 16), 32},
		{"i1234567890123456789012345678901234567890e", -1},
	}
	for _, tt := range tests {
		if got := bencSkip([]byte(tt.in)); got != tt.want {
			t.Errorf("bencSkip(%q) = %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestBTScrambled(t *testing.T) {
	t.Parallel()
	random := make([]byte, 64)
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = byte(x >> 24)
	}
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"random", random, true},
		{"too few bytes to tell", random[:8], true},
		{"text", []byte(strings.Repeat("Hello world, ", 8)), false},
		{"zeros", make([]byte, 64), false},
		{"longer than a key exchange", append(make([]byte, btBytes), random...), false},
	}
	for _, tt := range tests {
		if got := btScrambled(tt.in); got != tt.want {
			t.Errorf("%s: btScrambled = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestUTPHeader(t *testing.T) {
	t.Parallel()
	head := "\x21\x00\x03\xe8\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x00\x00\x01\x00\x02"
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"state", head, true},
		{"short", head[:19], false},
		{"type 5", "\x51" + head[1:], false},
		{"state with data", head + "x", false},
		{"data without data", "\x01" + head[1:], false},
		{"data", "\x01" + head[1:] + "x", true},
		{"selective ack", "\x21\x01" + head[2:] + "\x00\x04\x01\x00\x00\x00", true},
		{"selective ack of 3 bytes", "\x21\x01" + head[2:] + "\x00\x03\x01\x00\x00", false},
		{"extension cut", "\x21\x01" + head[2:] + "\x00\x04\x01", false},
		{"extension missing", "\x21\x01" + head[2:], false},
	}
	for _, tt := range tests {
		if _, _, ok := utpHeader([]byte(tt.in)); ok != tt.ok {
			t.Errorf("%s: utpHeader = %v, want %v", tt.name, ok, tt.ok)
		}
	}
}
