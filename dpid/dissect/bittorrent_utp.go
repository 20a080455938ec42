package dissect

import "encoding/binary"

// utpFields is the header of uTP, BEP 29:
//
//	0 type (4 bits), version 1 (4 bits) | 1 extension | 2 connection
//	4 time | 8 time difference | 12 window | 16 sequence | 18 acknowledged
type utpFields struct {
	typ, ext  uint8
	conn      uint16
	time      uint32
	diff, wnd uint32
	seq, ack  uint16
}

// Types of uTP packets.
const (
	utpData = iota
	utpFin
	utpState
	utpReset
	utpSyn
)

// utpHeader reads the header and its extensions and returns what follows.
func utpHeader(m []byte) (h utpFields, payload []byte, ok bool) {
	if len(m) < 20 || m[0]&15 != 1 || m[0]>>4 > utpSyn || m[1] > 4 {
		return h, nil, false
	}
	h = utpFields{
		typ: m[0] >> 4, ext: m[1], conn: binary.BigEndian.Uint16(m[2:]), time: binary.BigEndian.Uint32(m[4:]),
		diff: binary.BigEndian.Uint32(m[8:]), wnd: binary.BigEndian.Uint32(m[12:]),
		seq: binary.BigEndian.Uint16(m[16:]), ack: binary.BigEndian.Uint16(m[18:]),
	}
	if h.wnd > 1<<26 { // bytes; nobody has that much to give
		return h, nil, false
	}
	b := m[20:]
	for ext := h.ext; ext != 0; { // next extension, length, data
		if len(b) < 2 || b[0] > 4 || int(b[1]) > len(b)-2 || ext == 1 && b[1]%4 != 0 {
			return h, nil, false
		}
		ext, b = b[0], b[2+int(b[1]):]
	}
	if h.typ != utpData && h.typ != utpSyn && len(b) > 0 || h.typ == utpData && len(b) == 0 {
		return h, nil, false
	}
	return h, b, true
}

// btUTP looks for uTP. Two packets prove it: of different directions by ids that
// differ by one at most and numbers that meet, of the same by the same id and
// numbers that follow each other. A SYN that is as BEP 29 has it, with nothing
// measured and nothing acknowledged yet, is 64 fixed bits and enough.
func btUTP(in *Input, out *Result) Verdict {
	h, payload, ok := utpHeader(in.Packet)
	if !ok {
		return No
	}
	out.Rule("uTP", 90)
	if h.typ == utpSyn && h.diff == 0 && h.ack == 0 && h.wnd != 0 && len(payload) == 0 {
		return Yes
	}
	if len(payload) >= len(btHandshake) && string(payload[:len(btHandshake)]) == btHandshake {
		btTellHandshake(payload, out)
		return Yes
	}
	same, other, count := in.Client, in.Server, in.ClientCount
	if in.FromServer {
		same, other, count = in.Server, in.Client, in.ServerCount
	}
	if o, _, ok := utpHeader(other); ok {
		if d := int16(h.conn - o.conn); d >= -1 && d <= 1 && utpNear(h.ack, o.seq) {
			return Yes
		}
		return No
	}
	if count >= 2 {
		if s, _, ok := utpHeader(same); ok && s.conn == h.conn && h.time-s.time-1 < 60e6 && utpNear(h.seq, s.seq) && utpNear(h.ack, s.ack) {
			return Yes
		}
		return No
	}
	if len(other) > 0 {
		return No
	}
	return More
}

// utpNear reports whether a and b are numbers of one window.
func utpNear(a, b uint16) bool { return a-b+256 < 512 }
