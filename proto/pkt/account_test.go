package pkt

import (
	"encoding/hex"
	"testing"
)

// TestGoldenAccount holds an account against its bytes.
func TestGoldenAccount(t *testing.T) {
	a := Account{
		PacketsA: 0x0102, PacketsB: 0x1112, BytesA: 0x2122, BytesB: 0x3132, ID: 0x41424344, Mark: 0x51525354,
		Flags: AccountCounted | AccountNAT, Zone: 0x6162, PortA: 0x7172, PortB: 0x8182,
	}
	a.A[15], a.B[0] = 0x91, 0xa1
	b := make([]byte, AccountSize)
	a.Encode(b)
	const zeros = "000000000000"
	const want = "0201" + zeros + "1211" + zeros + "2221" + zeros + "3231" + zeros + "44434241" + "54535251" + "1100" + "6261" + "7271" + "8281" +
		"000000000000000000000000000000" + "91" + "a1" + "000000000000000000000000000000"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("account = %s, want %s", got, want)
	}
	var back Account
	if !back.Decode(append(b, 1, 2, 3)) || back != a {
		t.Errorf("read back %+v, want %+v", back, a)
	}
	if back.Decode(b[:AccountSize-1]) {
		t.Error("a cut account was read")
	}
}
