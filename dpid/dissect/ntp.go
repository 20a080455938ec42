package dissect

import "encoding/binary"

func init() {
	register(Spec{
		Name: "ntp", ID: 9, Category: "network", Over: UDP, Ports: []uint16{123}, Bytes: 512,
		Detect: detectNTP, Follow: followNTP,
	})
}

const ntpLen = 48

// detectNTP looks for a packet of RFC 5905 section 7.3:
//
//	0 leap (2 bits), version (3), mode (3) | 1 stratum | 2 poll | 3 precision
//	4 root delay | 8 root dispersion | 12 reference id
//	16 reference, 24 origin, 32 receive, 40 transmit time | 48 extensions, MAC
//
// or one of the control protocol (RFC 9327, mode 6) or of its older sister (mode 7).
// The fields have no magic. On port 123 one packet in which all of them are in
// bounds is taken; elsewhere it takes an answer that returns the client's transmit
// time as its origin: 64 bits.
func detectNTP(in *Input, out *Result) Verdict {
	home := in.ClientPort == 123 || in.ServerPort == 123
	m := in.Packet
	if len(m) == 0 {
		return No
	}
	switch m[0] & 7 {
	case 6, 7:
		if !home || !ntpControl(m) {
			return No
		}
		out.Rule("control message", 80)
		out.Uint("ntp.version", uint64(m[0]>>3&7))
		out.Uint("ntp.mode", uint64(m[0]&7))
		if m[0]&7 == 6 {
			out.Uint("ntp.opcode", uint64(m[1]&31))
		} else {
			out.Uint("ntp.request", uint64(m[3]))
		}
		return Yes
	}
	if !ntpTime(m) {
		return No
	}
	if !home {
		c, s := in.Client, in.Server
		if len(c) == 0 || len(s) == 0 {
			if in.ClientCount+in.ServerCount > 4 {
				return No
			}
			return More
		}
		if !ntpTime(c) || !ntpTime(s) || c[0]&7 != 3 || s[0]&7 != 4 || string(c[40:48]) != string(s[24:32]) {
			return No
		}
		m = s
	}
	ntpTell(m, home, out)
	return Yes
}

// followNTP takes stratum and reference of the server out of its first answer.
func followNTP(in *Input, out *Result) Verdict {
	m := in.Packet
	if !ntpTime(m) {
		return No
	}
	if m[0]&7 == 3 { // asked again
		return More
	}
	ntpTellServer(m, out)
	return No
}

// ntpTime reports whether all fields of a time packet are in bounds.
func ntpTime(m []byte) bool {
	if len(m) < ntpLen || len(m)%4 != 0 || len(m) > 1500 {
		return false
	}
	version, mode, stratum := m[0]>>3&7, m[0]&7, m[1]
	if version == 0 || version > 5 || mode == 0 && version > 1 || mode > 5 || stratum > 16 {
		return false
	}
	if poll, precision := int8(m[2]), int8(m[3]); poll < -6 || poll > 17 || precision > 0 {
		return false
	}
	// Delay and dispersion are 16.16 seconds and at most 16 (MAXDISP); the delay of
	// old versions is signed. Servers that lost their clock say more, not a minute.
	delay, dispersion := int32(binary.BigEndian.Uint32(m[4:])), binary.BigEndian.Uint32(m[8:])
	if delay > 60<<16 || delay < -60<<16 || dispersion > 3600<<16 {
		return false
	}
	if mode == 4 || mode == 5 { // who answers says when
		if binary.BigEndian.Uint64(m[40:]) == 0 {
			return false
		}
	}
	return ntpTail(m[ntpLen:])
}

// ntpTail checks what follows the header: extension fields (RFC 7822), then nothing,
// a crypto-NAK or a key id and a digest.
func ntpTail(b []byte) bool {
	for range 16 {
		switch len(b) {
		case 0, 4, 20, 24, 36, 52, 68: // none, NAK, MD5 or CMAC, SHA-1, SHA-256, -384, -512
			return true
		}
		if len(b) < 16 {
			return false
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 16 || n%4 != 0 || n > len(b) {
			return false
		}
		b = b[n:]
	}
	return false
}

// ntpControl reports whether m is a control message, RFC 9327 section 2, or a
// private one of ntpd (mode 7).
func ntpControl(m []byte) bool {
	if len(m) < 8 || m[0]>>3&7 == 0 || m[0]>>3&7 > 4 {
		return false
	}
	if m[0]&7 == 7 {
		// response, more, version, mode | auth, sequence | implementation | code |
		// error (4 bits), items (12) | zero (4), item size (12)
		items, size := binary.BigEndian.Uint16(m[4:]), binary.BigEndian.Uint16(m[6:])
		if m[2] != 0 && m[2] != 2 && m[2] != 3 || m[3] > 45 || items>>12 > 7 || size>>12 != 0 {
			return false
		}
		return int(items&0xfff)*int(size) <= len(m)-8 || m[0]&0x80 == 0 && items == 0
	}
	// leap, version, mode | response, error, more, opcode | sequence | status |
	// association | offset | count | data
	if len(m) < 12 || m[0]>>6 != 0 && m[1]&0x80 == 0 {
		return false
	}
	op, count := m[1]&31, int(binary.BigEndian.Uint16(m[10:]))
	if op == 0 || op > 12 && op != 31 {
		return false
	}
	if rest := len(m) - 12 - (count+3)&^3; m[1]&0x80 == 0 && count == 0 && rest != 0 && rest != 20 && rest != 24 {
		return false
	}
	return count <= len(m)-12 && count <= 468 // the most that one fragment holds
}

func ntpTell(m []byte, home bool, out *Result) {
	confidence := uint8(90)
	if home {
		confidence = 80
	}
	out.Rule("time packet", confidence)
	out.Uint("ntp.version", uint64(m[0]>>3&7))
	out.Uint("ntp.mode", uint64(m[0]&7))
	if m[0]&7 != 3 || m[1] != 0 { // a client that serves nobody has none
		ntpTellServer(m, out)
	}
}

func ntpTellServer(m []byte, out *Result) {
	out.Uint("ntp.stratum", uint64(m[1]))
	switch ref := m[12:16]; {
	case ref[0]|ref[1]|ref[2]|ref[3] == 0:
	case m[1] <= 1: // a clock, or a kiss code, in ASCII
		for len(ref) > 0 && ref[len(ref)-1] == 0 {
			ref = ref[:len(ref)-1]
		}
		if isText(ref) {
			out.Str("ntp.refid", ref)
		}
	default: // the address of the server above, or a hash of it
		out.Hex("ntp.refid_raw", ref)
	}
}
