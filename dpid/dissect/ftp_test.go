package dissect

import "testing"

func TestHostPort(t *testing.T) {
	tests := []struct {
		in   string
		want uint16
	}{
		{"192,0,2,1,8,1", 2049},
		{"Entering Passive Mode (192,0,2,1,200,10).", 51210},
		{"=192,0,2,1,0,21", 21},
		{"192,0,2,1,8", 0},
		{"192,0,2,1,8,", 0},
		{"192,0,2,1,8,256", 0},
		{"192.0.2.1.8.1", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if got := hostPort([]byte(tt.in)); got != tt.want {
			t.Errorf("hostPort(%q) = %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestExtendedPort(t *testing.T) {
	tests := []struct {
		in   string
		want uint16
	}{
		{"|||6446|)", 6446},
		{"|1|132.235.1.2|6275|", 6275},
		{"|2|1080::8:800:200C:417A|5282|", 5282},
		{"!!!21!", 21},
		{"|||65536|", 0},
		{"|||6446", 0},
		{"|", 0},
		{"", 0},
	}
	for _, tt := range tests {
		if got := extendedPort([]byte(tt.in)); got != tt.want {
			t.Errorf("extendedPort(%q) = %d, want %d", tt.in, got, tt.want)
		}
	}
}
