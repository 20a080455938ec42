package dissect

import (
	"encoding/hex"
	"testing"
)

// TestSTUNCarries opens a flow with STUN and goes on with DTLS: the flow is told as
// the one at once and as the other later. What nobody takes over stays STUN.
func TestSTUNCarries(t *testing.T) {
	t.Parallel()
	request, err := hex.DecodeString("000100002112a442" + "b7e7a701bc34d686fa87dfae")
	if err != nil {
		t.Fatal(err)
	}
	body := append(append([]byte{0xfe, 0xfd}, make([]byte, 32)...), 0, 0, 0, 2, 0xc0, 0x2b, 1, 0)
	size := byte(len(body))
	hello := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + size, 1, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, size}, body...)
	tests := []struct {
		name  string
		third []byte
		want  string
	}{
		{"DTLS", hello, "dtls"},
		{"STUN", request, "stun"},
		{"noise", []byte("media that nobody knows"), "stun"},
	}
	for _, tt := range tests {
		s := sample{over: UDP, ipProto: 17, cport: 50000, sport: 50001, packets: []packet{{data: request}, {data: request}, {data: tt.third}}}
		var trial Trial
		trial.Init(UDP, 17, s.cport, s.sport)
		in, out := newInput(), new(Result)
		_, at := s.play(&trial, in, out, new(Result), nil)
		if got := trial.Chosen(); at != 1 || got == nil || got.Name != tt.want {
			t.Errorf("STUN, STUN, %s: %v after packet %d, want %s, known since packet 1", tt.name, got, at, tt.want)
		}
	}
}

func TestSTUNAppendType(t *testing.T) {
	t.Parallel()
	for typ, want := range map[uint16]string{
		0x0001: "binding request", 0x0011: "binding indication", 0x0101: "binding success", 0x0111: "binding error",
		0x0003: "allocate request", 0x0113: "allocate error", 0x0016: "send indication", 0x0109: "channel-bind success",
		0x3eef: "method 4095 request",
	} {
		if got := string(stunAppendType(nil, typ)); got != want {
			t.Errorf("stunAppendType(%#04x) = %q, want %q", typ, got, want)
		}
	}
}

func TestSTUNNotes(t *testing.T) {
	t.Parallel()
	notes := make(stunNotes, stunNotesLen)
	if !notes.empty() {
		t.Error("empty() = false at the start")
	}
	notes.add(stunNoteRealm, []byte("one"))
	notes.add(stunNoteRealm, []byte("two"))
	notes.add(stunNoteSoftware, make([]byte, 129)) // more than a note holds
	for kind := byte(20); kind < 40; kind++ {      // more than fit
		notes.add(kind, make([]byte, 100))
	}
	if got, ok := notes.get(stunNoteRealm); string(got) != "one" || !ok {
		t.Errorf("get(realm) = %q, %v, want the first", got, ok)
	}
	if _, ok := notes.get(stunNoteSoftware); ok {
		t.Error("get(software) found what is too long")
	}
	if _, ok := notes.get(39); ok {
		t.Error("get(39) found what does not fit")
	}
}
