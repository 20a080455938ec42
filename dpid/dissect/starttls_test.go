package dissect

import "testing"

func TestAddress(t *testing.T) {
	tests := []struct{ in, want string }{
		{"<joe@example.com> SIZE=1", "joe@example.com"},
		{" joe@example.com BODY=8BITMIME", "joe@example.com"},
		{"<>", ""},
		{"<joe", "<joe"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := address([]byte(tt.in)); string(got) != tt.want {
			t.Errorf("address(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestIMAPString(t *testing.T) {
	tests := []struct{ in, want string }{
		{"joe secret", "joe"},
		{`"joe b" x`, "joe b"},
		{`"joe`, ""},
		{"{3}", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := imapString([]byte(tt.in)); string(got) != tt.want {
			t.Errorf("imapString(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestTLSPart(t *testing.T) {
	tests := []struct{ in, want string }{
		{"EHLO a\r\nSTARTTLS\r\n\x16\x03\x01abc", "\x16\x03\x01abc"},
		{"+OK\r\n\x15\x03\x01", "\x15\x03\x01"},
		{"STLS\r\n\x80\x2e\x01\x00", "\x80\x2e\x01\x00"},
		{"STARTTLS\r\n\x16\x03", "\x16\x03"},
		{"STARTTLS\r\n\x16", "\x16"},
		{"STARTTLS\r\n\x16\x04", ""},
		{"STARTTLS\r\n\x15\x03", ""},
		{"STARTTLS\r\n", ""},
		{"a\x16\x03\x01", ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := tlsPart([]byte(tt.in)); string(got) != tt.want {
			t.Errorf("tlsPart(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestFromUTF16(t *testing.T) {
	tests := []struct {
		in   string
		room int
		want string
	}{
		{"J\x00o\x00e\x00", 64, "Joe"},
		{"\xf6\x00", 64, "ö"},
		{"\x3d\xd8\x00\xde", 64, "😀"},
		{"\x3d\xd8", 64, "\ufffd"},
		{"J\x00o", 64, "J"},
		{"J\x00o\x00e\x00", 5, "Jo"},
	}
	for _, tt := range tests {
		if got := fromUTF16(make([]byte, tt.room), []byte(tt.in)); string(got) != tt.want {
			t.Errorf("fromUTF16(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
