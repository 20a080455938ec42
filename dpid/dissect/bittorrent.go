package dissect

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

func init() {
	register(Spec{
		Name: "bittorrent", ID: 15, Category: "file-sharing", Over: TCP | UDP, Ports: []uint16{6881, 6882, 6883, 6889, 6771, 51413}, Bytes: btBytes,
		Detect: detectBitTorrent, Follow: followBitTorrent,
	})
}

const (
	btHandshake    = "\x13BitTorrent protocol" // BEP 3, then reserved (8), info-hash (20), peer id (20)
	btHandshakeLen = 68
	btConnect      = 0x41727101980 // BEP 15
	btBytes        = 2048          // see btScrambled
)

// detectBitTorrent looks over TCP for the handshake of BEP 3, 20 fixed bytes; over
// UDP for uTP (BEP 29), the DHT (BEP 5), trackers (BEP 15) and the search for peers
// in the local network (BEP 14).
func detectBitTorrent(in *Input, out *Result) Verdict {
	if in.IPProto == 6 {
		return btStream(in, out)
	}
	m := in.Packet
	if btDHT(m, out) || btSearch(m, out) {
		return Yes
	}
	if v := btTracker(in, out); v != No {
		return v
	}
	return btUTP(in, out)
}

// followBitTorrent looks for the info-hash, which uTP and the DHT show later. uTP
// has it at the start of its data or, encrypted, not at all.
func followBitTorrent(in *Input, out *Result) Verdict {
	m := in.Packet
	if in.IPProto == 6 {
		return No
	}
	if h, payload, ok := utpHeader(m); ok {
		if h.typ == utpData {
			btTellHandshake(payload, out)
			return No
		}
		return More
	}
	if btDHT(m, out) && !out.has("bittorrent.info_hash") {
		return More
	}
	if len(m) == 16 { // the tracker's answer to the connection
		return More
	}
	btAnnounce(m, out)
	return No
}

// btStream looks at a connection: either side's handshake will do. Where the start
// was not seen, messages of the peer protocol are recognised by their sizes.
func btStream(in *Input, out *Result) Verdict {
	v := More
	for _, b := range [...][]byte{in.Client, in.Server} {
		if len(b) == 0 {
			continue
		}
		at := 0
		if !mayPrefix(b, btHandshake) {
			at = bytes.Index(b, []byte(btHandshake))
		}
		switch {
		case at >= 0 && len(b)-at >= len(btHandshake):
			out.Rule("handshake", 100)
			btTellHandshake(b[at:], out)
			if len(b)-at >= btHandshakeLen || len(b) >= btBytes {
				return Yes
			}
			return YesMore
		case in.Midstream && btMessages(b, out) == Yes:
			return Yes
		case at == 0, btScrambled(b):
		case in.Midstream && btMessages(b, out) == More:
		default:
			v = No
		}
	}
	return v
}

// btScrambled reports whether b may be the start of message stream encryption: a
// public key of 96 bytes and up to 512 of padding, all of it random, up to 526 more
// encrypted, and then, when both sides agree on plain text, the handshake. Of the 32
// bytes that are looked at, a random few have the top bit; text has none.
func btScrambled(b []byte) bool {
	if len(b) >= btBytes {
		return false
	}
	high, ones := 0, 0
	for _, c := range b[:min(len(b), 32)] {
		high += int(c >> 7)
		ones += bits.OnesCount8(c)
	}
	return len(b) < 32 || high >= 4 && high <= 28 && ones >= 92 && ones <= 164
}

// btTellHandshake reports what the handshake at the start of b tells.
func btTellHandshake(b []byte, out *Result) {
	if len(b) < 48 || string(b[:len(btHandshake)]) != btHandshake {
		return
	}
	out.Hex("bittorrent.info_hash", b[28:48])
	if len(b) >= btHandshakeLen {
		btTellPeer(b[48:68], out)
	}
}

// btTellPeer reports the client's name and version in a peer id, BEP 20.
func btTellPeer(id []byte, out *Result) {
	if id[0] == '-' && id[7] == '-' && isDigitsOrLetters(id[1:7]) {
		out.Str("bittorrent.client", id[1:7])
	}
}

func isDigitsOrLetters(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (upper(c) < 'A' || upper(c) > 'Z') {
			return false
		}
	}
	return true
}

// btMessages looks for a request or a piece of a block of 16 KiB at the start of b,
// or behind other messages of the peer protocol: 9 bytes are fixed, and the offset
// is a multiple of the size.
func btMessages(b []byte, out *Result) Verdict {
	for range 32 {
		if len(b) < 17 {
			return More
		}
		n, id := binary.BigEndian.Uint32(b), b[4]
		begin := binary.BigEndian.Uint32(b[9:])
		switch {
		case n == 13 && (id == 6 || id == 8) && begin%0x4000 == 0 && binary.BigEndian.Uint32(b[13:]) == 0x4000,
			n == 9+0x4000 && id == 7 && begin%0x4000 == 0 && b[5] == 0:
			out.Rule("peer messages", 90)
			return Yes
		case n == 0: // keep-alive
			n = 0
		case n == 1 && id <= 3, n == 5 && id == 4: // choke and interest, have
		default:
			return No
		}
		b = b[4+n:]
	}
	return No
}

// btSearch looks for the announcement of BEP 14: a start line of its own.
func btSearch(m []byte, out *Result) bool {
	line, rest, ok := cutLine(m)
	if !ok || string(line) != "BT-SEARCH * HTTP/1.1" {
		return false
	}
	out.Rule("local search", 100)
	for range 16 {
		if line, rest, ok = cutLine(rest); !ok {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if value = trim(value); isFold(name, "INFOHASH") && len(value) == 40 {
			var hash [20]byte
			for i := range hash {
				hi, ok1 := unhex(value[2*i])
				lo, ok2 := unhex(value[2*i+1])
				if !ok1 || !ok2 {
					return true
				}
				hash[i] = hi<<4 | lo
			}
			out.Hex("bittorrent.info_hash", hash[:])
			break
		}
	}
	return true
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) (v byte, ok bool) {
	switch c = upper(c); {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// btTracker looks for a connection to a tracker, BEP 15: the request begins with
// eight fixed bytes and action 0.
func btTracker(in *Input, out *Result) Verdict {
	m := in.Packet
	if len(m) >= 16 && binary.BigEndian.Uint64(m) == btConnect && binary.BigEndian.Uint32(m[8:]) == 0 {
		out.Rule("tracker connect", 100)
		return Yes
	}
	if btAnnounce(m, out) {
		out.Rule("tracker announce", 95)
		return Yes
	}
	return No
}

// btAnnounce looks for an announcement: connection (8), action 1 (4), transaction
// (4), info-hash (20), peer id (20), downloaded, left, uploaded (8 each), event (4),
// address (4), key (4), wanted (4), port (2). Action, event, the sizes below 2^48 and
// a peer id of BEP 20 are more than 100 bits.
func btAnnounce(m []byte, out *Result) bool {
	if len(m) < 98 || binary.BigEndian.Uint32(m[8:]) != 1 || binary.BigEndian.Uint32(m[80:]) > 3 {
		return false
	}
	for _, at := range [...]int{56, 64, 72} {
		if m[at]|m[at+1] != 0 {
			return false
		}
	}
	if m[36] != '-' || m[43] != '-' || !isDigitsOrLetters(m[37:43]) {
		return false
	}
	out.Hex("bittorrent.info_hash", m[16:36])
	btTellPeer(m[36:56], out)
	return true
}
