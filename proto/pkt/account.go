package pkt

import "encoding/binary"

// AccountSize is the length in bytes of what stands behind the prefix of a record of
// KindAccount: what conntrack knows about the flow with the descriptor's hash.
//
//	 0 u64 packets of A    32 u32 connection id      44 u16 port of A in the other view
//	 8 u64 packets of B    36 u32 connection mark    46 u16 port of B
//	16 u64 bytes of A      40 u16 Account flags      48 [16] address of A in the other view
//	24 u64 bytes of B      42 u16 conntrack zone     64 [16] address of B
//
// A and B are the endpoints of the flow's key. Packets and bytes are totals since the
// flow began, never differences: a record that is lost is made good by the next. Bytes are
// those of frames as the source of packets hands them over. The other view is how the far
// side of an address translation sees A and B. Part of the format, do not change.
const AccountSize = 80

// Account flags.
const (
	AccountCounted = 1 << 0 // packets and bytes are there
	AccountOver    = 1 << 1 // the connection has left conntrack
	AccountFIN     = 1 << 2 // TCP: both sides closed
	AccountRST     = 1 << 3 // TCP: a reset
	AccountNAT     = 1 << 4 // the other view is there
)

// Account is what conntrack knows about a flow.
type Account struct {
	PacketsA, PacketsB uint64
	BytesA, BytesB     uint64
	ID, Mark           uint32
	Flags, Zone        uint16
	PortA, PortB       uint16
	A, B               [16]byte // IPv4 as ::ffff:a.b.c.d
}

// Encode lays a out in b. Precondition: len(b) >= AccountSize.
func (a *Account) Encode(b []byte) {
	b = b[:AccountSize:AccountSize]
	le := binary.LittleEndian
	le.PutUint64(b[0:], a.PacketsA)
	le.PutUint64(b[8:], a.PacketsB)
	le.PutUint64(b[16:], a.BytesA)
	le.PutUint64(b[24:], a.BytesB)
	le.PutUint32(b[32:], a.ID)
	le.PutUint32(b[36:], a.Mark)
	le.PutUint16(b[40:], a.Flags)
	le.PutUint16(b[42:], a.Zone)
	le.PutUint16(b[44:], a.PortA)
	le.PutUint16(b[46:], a.PortB)
	copy(b[48:64], a.A[:])
	copy(b[64:80], a.B[:])
}

// Decode reads a from b, the payload of a record behind its prefix. It reports false
// when b is too short; bytes behind AccountSize are a later version's.
func (a *Account) Decode(b []byte) bool {
	if len(b) < AccountSize {
		return false
	}
	b = b[:AccountSize:AccountSize]
	le := binary.LittleEndian
	a.PacketsA, a.PacketsB = le.Uint64(b[0:]), le.Uint64(b[8:])
	a.BytesA, a.BytesB = le.Uint64(b[16:]), le.Uint64(b[24:])
	a.ID, a.Mark = le.Uint32(b[32:]), le.Uint32(b[36:])
	a.Flags, a.Zone = le.Uint16(b[40:]), le.Uint16(b[42:])
	a.PortA, a.PortB = le.Uint16(b[44:]), le.Uint16(b[46:])
	a.A, a.B = [16]byte(b[48:64]), [16]byte(b[64:80])
	return true
}
