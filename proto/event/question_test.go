package event

import (
	"encoding/hex"
	"testing"
)

// TestQuestion holds the question against its bytes, and sees to it that none is
// found where none stands.
func TestQuestion(t *testing.T) {
	want := Question{HashLo: 0x0102030405060708, HashHi: 0x1112131415161718, ID: 0x21222324, Queue: 0x3132, Generation: 0x4142, Thread: 0x5152}
	b := make([]byte, FixedSize+QuestionSize)
	want.Encode(b[FixedSize:])
	const golden = "0807060504030201" + "1817161514131211" + "24232221" + "3231" + "4241" + "5251" + "000000000000"
	if got := hex.EncodeToString(b[FixedSize:]); got != golden {
		t.Errorf("question = %s, want %s", got, golden)
	}
	tests := []struct {
		name  string
		flags byte
		cut   int
		ok    bool
	}{
		{name: "asked", flags: FlagQuestion, ok: true},
		{name: "not asked", flags: FlagFinal},
		{name: "cut", flags: FlagQuestion, cut: 1},
	}
	for _, tt := range tests {
		b[14] = tt.flags
		p := b[:len(b)-tt.cut]
		f, err := ParseFlow(p)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := ParseQuestion(p, f)
		if ok != tt.ok || ok && got != want {
			t.Errorf("%s: ParseQuestion = %+v, %v, want %v", tt.name, got, ok, tt.ok)
		}
	}
}
