package dissect

import "testing"

func TestNTPTail(t *testing.T) {
	t.Parallel()
	field := func(n int, rest ...byte) []byte { // an extension field of n bytes
		b := make([]byte, n)
		b[0], b[1], b[2], b[3] = 2, 4, byte(n>>8), byte(n)
		return append(b, rest...)
	}
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"nothing", nil, true},
		{"crypto-NAK", make([]byte, 4), true},
		{"MD5", make([]byte, 20), true},
		{"SHA-1", make([]byte, 24), true},
		{"field", field(40), true},
		{"field and MD5", field(40, make([]byte, 20)...), true},
		{"zeros", make([]byte, 40), false},
		{"field too long", field(40)[:36-8], false},
		{"odd", make([]byte, 7), false},
	}
	for _, tt := range tests {
		if got := ntpTail(tt.in); got != tt.want {
			t.Errorf("%s: ntpTail = %v, want %v", tt.name, got, tt.want)
		}
	}
}
