package dissect

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// messageKeys are the attributes of one of the protocols with DNS messages.
type messageKeys struct {
	query, typ, class, opcode, rcode   string
	answers, cname, targets, alpn, ech string
	truncated, edns, subnet            string
}

// dnsTell reports what m, whose header and question are good, says.
func dnsTell(m []byte, h dnsHeader, k *messageKeys, out *Result) {
	dnsTellQuestion(m, h, k, out)
	if h.response() {
		out.Rule("response", 95)
		dnsTellResponse(m, h, k, out)
		return
	}
	out.Rule("query", 95)
	dnsTellEDNS(m, h, k, out)
}

// dnsTellQuestion reports the name asked for: the name of the server that the
// client is about to use. Without a question it is that of the first record.
func dnsTellQuestion(m []byte, h dnsHeader, k *messageKeys, out *Result) {
	var buf [dnsMaxName]byte
	if op := h.opcode(); op != dnsOpQuery {
		out.Uint(k.opcode, uint64(op))
	}
	q := dnsQuestion{name: dnsHeaderLen}
	var next int
	switch {
	case h.qd > 0:
		q, next = dnsReadQuestion(m, dnsHeaderLen)
	case h.an > 0:
		var r dnsRecord
		r, next = dnsReadRecord(m, dnsHeaderLen)
		q.typ, q.class = r.typ, r.class
	default:
		return
	}
	if next < 0 {
		return
	}
	name, ok := dnsText(&buf, m, q.name)
	if !ok {
		return
	}
	out.SetName(name)
	if len(name) == 0 {
		name = append(name, '.')
	}
	out.Str(k.query, name)
	out.Str(k.typ, dnsAppendType(buf[:0], q.typ))
	if c := q.class &^ 0x8000; c != 1 {
		out.Uint(k.class, uint64(c))
	}
}

// dnsTellResponse reports the code and the answers of a response.
func dnsTellResponse(m []byte, h dnsHeader, k *messageKeys, out *Result) {
	var buf [dnsMaxName]byte
	rcode := int(h.flags&dnsRcode) | dnsTellEDNS(m, h, k, out)<<4
	out.Str(k.rcode, dnsAppendRcode(buf[:0], rcode))
	if h.flags&dnsTC != 0 {
		out.Bool(k.truncated, true)
	}
	dnsResolve(m, h, out)
	off := dnsAnswers(m, h)
	for range min(h.an, dnsMaxLook) {
		if off < 0 {
			return
		}
		var r dnsRecord
		if r, off = dnsReadRecord(m, off); off >= 0 && r.class&^0x8000 == 1 {
			dnsTellRecord(m, r, k, out)
		}
	}
}

// dnsTellRecord reports the data of a record of a few types.
func dnsTellRecord(m []byte, r dnsRecord, k *messageKeys, out *Result) {
	var buf [dnsMaxName]byte
	skip, key := 0, k.targets
	switch r.typ {
	case dnsA:
		if r.end-r.data == 4 {
			out.AddrList(k.answers, m[r.data:r.end])
		}
		return
	case dnsAAAA:
		if r.end-r.data == 16 {
			out.AddrList(k.answers, m[r.data:r.end])
		}
		return
	case dnsSVCB, dnsHTTPS:
		dnsTellService(m[r.data:r.end], k, out)
		return
	case dnsCNAME:
		key = k.cname
	case dnsNS, dnsPTR:
	case dnsMX:
		skip = 2
	case dnsSRV:
		skip = 6
	default:
		return
	}
	if end := dnsSkipName(m[:r.end], r.data+skip); end != r.end {
		return
	}
	if name, ok := dnsText(&buf, m[:r.end], r.data+skip); ok {
		out.StrList(key, name)
	}
}

// svcParam splits the first parameter off the data of an SVCB record, RFC 9460
// section 2.2.
func svcParam(b []byte) (key uint16, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(b), b[4 : 4+n : 4+n], b[4+n:], true
}

// svcParams returns the parameters of SVCB data b: those behind priority and target.
func svcParams(b []byte) []byte {
	off := 2
	for off < len(b) && b[off] != 0 && b[off] < 64 {
		off += 1 + int(b[off])
	}
	if off >= len(b) || b[off] != 0 {
		return nil
	}
	return b[off+1:]
}

// dnsTellService reports what a service binding promises.
func dnsTellService(b []byte, k *messageKeys, out *Result) {
	for b = svcParams(b); ; {
		key, value, rest, ok := svcParam(b)
		if !ok {
			return
		}
		switch b = rest; key {
		case 1: // alpn: length and name, again and again
			for len(value) > 0 && int(value[0]) < len(value) {
				out.StrList(k.alpn, value[1:1+value[0]])
				value = value[1+value[0]:]
			}
		case 4:
			for ; len(value) >= 4; value = value[4:] {
				out.AddrList(k.answers, value[:4])
			}
		case 5:
			out.Bool(k.ech, true)
		case 6:
			for ; len(value) >= 16; value = value[16:] {
				out.AddrList(k.answers, value[:16])
			}
		}
	}
}

// dnsTellEDNS reports the OPT record of RFC 6891 and the client subnet of RFC 7871
// in it, and returns the upper bits of the response code.
func dnsTellEDNS(m []byte, h dnsHeader, k *messageKeys, out *Result) (rcode int) {
	if h.ar == 0 || h.an+h.ns > 2*dnsMaxLook {
		return 0
	}
	off := dnsAnswers(m, h)
	for i := range h.an + h.ns + min(h.ar, dnsMaxLook) {
		if off < 0 {
			return 0
		}
		var r dnsRecord
		if r, off = dnsReadRecord(m, off); off < 0 || i < h.an+h.ns || r.typ != dnsOPT {
			continue
		}
		out.Uint(k.edns, uint64(r.class))
		for b := m[r.data:r.end]; ; {
			code, value, rest, ok := svcParam(b) // options have the same form
			if !ok {
				return int(r.ttl >> 24)
			}
			if b = rest; code == 8 {
				dnsTellSubnet(value, k, out)
			}
		}
	}
	return 0
}

// dnsTellSubnet reports a client subnet: family (2), prefix length, scope, address.
func dnsTellSubnet(b []byte, k *messageKeys, out *Result) {
	if len(b) < 4 {
		return
	}
	family, bits, addr := binary.BigEndian.Uint16(b), b[2], b[4:]
	var full [16]byte
	size := 4
	switch {
	case family == 2 && bits <= 128:
		size = 16
	case family != 1 || bits > 32:
		return
	}
	if len(addr) > size {
		return
	}
	copy(full[:], addr)
	var buf [64]byte
	out.Str(k.subnet, strconv.AppendUint(append(appendAddr(buf[:0], full[:size]), '/'), uint64(bits), 10))
}

// dnsResolve reports the addresses of the name asked for, to name flows to them.
// Records of other names are not believed: only the chain of CNAMEs counts.
func dnsResolve(m []byte, h dnsHeader, out *Result) {
	if h.qd != 1 || h.an == 0 || h.flags&dnsRcode != 0 || h.opcode() != dnsOpQuery {
		return
	}
	q, first := dnsReadQuestion(m, dnsHeaderLen)
	var buf [dnsMaxName]byte
	name, ok := dnsText(&buf, m, q.name)
	if first < 0 || !ok || q.class&^0x8000 != 1 || q.typ != dnsA && q.typ != dnsAAAA && q.typ != dnsSVCB && q.typ != dnsHTTPS && q.typ != 255 {
		return
	}
	at, ttl := q.name, ^uint32(0)
	// Servers write the chain in order, as a rule: one pass finds the end of it. More
	// than a second would let a message made for that cost more than it is worth.
	for range 2 {
		was := at
		off := first
		for range min(h.an, dnsMaxLook) {
			var r dnsRecord
			if r, off = dnsReadRecord(m, off); off < 0 {
				break
			}
			if r.typ == dnsCNAME && dnsSameName(m, r.name, at) {
				at, ttl = r.data, min(ttl, r.ttl)
			}
		}
		if at == was {
			break
		}
	}
	off := first
	for range min(h.an, dnsMaxLook) {
		var r dnsRecord
		if r, off = dnsReadRecord(m, off); off < 0 {
			return
		}
		if r.class&^0x8000 == 1 && dnsHasAddr(r.typ) && dnsSameName(m, r.name, at) {
			dnsResolved(m, r, name, min(ttl, r.ttl), out)
		}
	}
}

func dnsHasAddr(typ uint16) bool {
	return typ == dnsA || typ == dnsAAAA || typ == dnsSVCB || typ == dnsHTTPS
}

// dnsResolved reports the addresses in one record.
func dnsResolved(m []byte, r dnsRecord, name []byte, ttl uint32, out *Result) {
	data := m[r.data:r.end]
	switch r.typ {
	case dnsA, dnsAAAA:
		resolvedAddr(data, name, ttl, out)
		return
	}
	if len(data) < 2 || data[0]|data[1] == 0 { // priority 0 is an alias, RFC 9460 section 2.4.2
		return
	}
	for b := svcParams(data); ; {
		key, value, rest, ok := svcParam(b)
		if !ok {
			return
		}
		b = rest
		size := 0
		switch key {
		case 4:
			size = 4
		case 6:
			size = 16
		}
		for ; size > 0 && len(value) >= size; value = value[size:] {
			resolvedAddr(value[:size], name, ttl, out)
		}
	}
}

// resolvedAddr reports one address of 4 or 16 bytes.
func resolvedAddr(addr, name []byte, ttl uint32, out *Result) {
	var a [16]byte
	switch len(addr) {
	case 4:
		a[10], a[11] = 0xff, 0xff
		copy(a[12:], addr)
	case 16:
		copy(a[:], addr)
	default:
		return
	}
	out.Resolved(name, a, ttl)
}

// appendAddr appends an address of 4 or 16 bytes as text.
func appendAddr(dst, addr []byte) []byte {
	a, _ := netip.AddrFromSlice(addr)
	return a.AppendTo(dst)
}
