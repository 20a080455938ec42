package dissect

import "testing"

func TestBERNext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in          string
		cut         bool
		value, rest string
		ok          bool
	}{
		{in: "\x04\x02ab\x05", value: "ab", rest: "\x05", ok: true},
		{in: "\x04\x81\x02ab", value: "ab", ok: true},
		{in: "\x04\x84\x00\x00\x00\x02ab", value: "ab", ok: true},
		{in: "\x04\x85\x00\x00\x00\x00\x02ab"},
		{in: "\x04\x80ab"},
		{in: "\x04\x03ab"},
		{in: "\x04\x03ab", cut: true, value: "ab", ok: true},
		{in: "\x04\x84\xff\xff\xff\xffab", cut: true},
		{in: "\x04\x82\x01"},
		{in: "\x04"},
		{in: ""},
	}
	for _, tt := range tests {
		_, value, rest, ok := berNext([]byte(tt.in), tt.cut)
		if string(value) != tt.value || string(rest) != tt.rest || ok != tt.ok {
			t.Errorf("berNext(%q, %v) = %q, %q, %v, want %q, %q, %v", tt.in, tt.cut, value, rest, ok, tt.value, tt.rest, tt.ok)
		}
	}
}

func TestBERUint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want uint64
		ok   bool
	}{
		{"\x02\x01\x05", 5, true}, {"\x02\x02\x01\x00", 256, true}, {"\x02\x01\xff", 0, false}, {"\x02\x00", 0, false},
		{"\x04\x01\x05", 0, false}, {"\x02\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01", 0, false},
	}
	for _, tt := range tests {
		if got, _, ok := berUint([]byte(tt.in)); got != tt.want || ok != tt.ok {
			t.Errorf("berUint(%q) = %d, %v, want %d, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestBERAppendOID(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want string
		ok   bool
	}{
		{"\x2b\x06\x01", "1.3.6.1", true}, {"\x88\x37\x03", "2.999.3", true}, {"\x2b\x82\x37", "1.3.311", true},
		{"\x2b\x82", "1.3", false}, {"\x2b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "1.3", false},
	}
	for _, tt := range tests {
		if got, ok := berAppendOID(nil, []byte(tt.in)); string(got) != tt.want || ok != tt.ok {
			t.Errorf("berAppendOID(%q) = %q, %v, want %q, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}
