package dissect

import "testing"

// TestSTUNCarries holds the names of what may follow STUN against the registry.
func TestSTUNCarries(t *testing.T) {
	t.Parallel()
	if _, ok := ByName("dtls"); !ok {
		t.Error("dtls is not registered, STUN would keep its flows")
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
