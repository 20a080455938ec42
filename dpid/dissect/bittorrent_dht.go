package dissect

// btDHT looks for a message of the mainline DHT, BEP 5: a dictionary with a
// transaction t, a type y of q, r or e, and what belongs to that type. A message
// that is cut still begins with the id of its sender: 12 fixed bytes.
func btDHT(m []byte, out *Result) bool {
	if len(m) < 12 || m[0] != 'd' {
		return false
	}
	var d btDict
	if !d.read(m[1:]) {
		if s := string(m[:12]); s != "d1:ad2:id20:" && s != "d1:rd2:id20:" {
			return false
		}
	}
	if d.whole && (len(d.y) != 1 || len(d.t) == 0 || d.y[0] == 'q' && len(d.q) == 0) {
		return false
	}
	if d.whole && d.y[0] != 'q' && d.y[0] != 'r' && d.y[0] != 'e' {
		return false
	}
	out.Rule("DHT message", 95)
	if isText(d.q) && len(d.q) > 0 {
		out.Str("bittorrent.dht_query", d.q)
	}
	if len(d.hash) == 20 {
		out.Hex("bittorrent.info_hash", d.hash)
	}
	if len(d.v) >= 2 && isDigitsOrLetters(d.v[:2]) {
		out.Str("bittorrent.dht_client", d.v[:2])
	}
	return true
}

// btDict is what a message of the DHT holds.
type btDict struct {
	y, t, q, v []byte
	hash       []byte // info_hash of a query
	whole      bool
}

// read takes the entries of a dictionary from b, behind its 'd', to its end. It
// reports false when b is cut or wrong; what was read until then stays.
func (d *btDict) read(b []byte) bool {
	for len(b) > 0 && b[0] != 'e' {
		key, rest, ok := bencString(b)
		if !ok || len(key) > 20 || len(rest) == 0 {
			return false
		}
		var value []byte
		switch c := rest[0]; {
		case c >= '0' && c <= '9':
			if value, b, ok = bencString(rest); !ok {
				return false
			}
		default:
			n := bencSkip(rest)
			if n < 0 {
				return false
			}
			if c == 'd' && string(key) == "a" {
				d.arguments(rest[1:n])
			}
			b = rest[n:]
		}
		switch string(key) {
		case "y":
			d.y = value
		case "t":
			d.t = value
		case "q":
			d.q = value
		case "v":
			d.v = value
		}
	}
	d.whole = len(b) > 0
	return d.whole
}

// arguments looks for the info-hash among the arguments of a query.
func (d *btDict) arguments(b []byte) {
	for len(b) > 0 && b[0] != 'e' {
		key, rest, ok := bencString(b)
		n := bencSkip(rest)
		if !ok || n < 0 {
			return
		}
		if string(key) == "info_hash" {
			d.hash, _, _ = bencString(rest)
			return
		}
		b = rest[n:]
	}
}

// bencString splits a string "4:spam" off b.
func bencString(b []byte) (s, rest []byte, ok bool) {
	n, digits := number(b, 5)
	if digits == 0 || digits >= len(b) || b[digits] != ':' || int(n) > len(b)-digits-1 {
		return nil, nil, false
	}
	b = b[digits+1:]
	return b[:n:n], b[n:], true
}

// bencSkip returns the size of the value at the start of b, -1 when it is cut or
// wrong. Lists and dictionaries may lie in each other 16 deep.
func bencSkip(b []byte) int {
	off := 0
	for depth := 0; off < len(b); {
		switch c := b[off]; {
		case c == 'd' || c == 'l':
			if depth++; depth > 16 {
				return -1
			}
			off++
		case c == 'e':
			if depth--; depth < 0 {
				return -1
			}
			off++
		case c == 'i':
			end := off + 1
			for end < len(b) && end-off < 24 && (b[end] == '-' || b[end] >= '0' && b[end] <= '9') {
				end++
			}
			if end >= len(b) || b[end] != 'e' || end == off+1 {
				return -1
			}
			off = end + 1
		default:
			_, rest, ok := bencString(b[off:])
			if !ok {
				return -1
			}
			off = len(b) - len(rest)
		}
		if depth == 0 {
			return off
		}
	}
	return -1
}
