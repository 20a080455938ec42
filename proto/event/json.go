package event

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// Names turns the numbers of a flow payload into the words of its JSON form. A nil
// function leaves the key's value empty.
type Names struct {
	Interface func(index uint16) string // name of an interface table index
	Tunnel    func(link uint8) string   // name of a link kind (pkt.LinkName)
	Role      func(index uint16) string // role of an interface: "lan", "wan" or ""
}

// timeLayout keeps all nine digits: times of equal length sort as text.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// AppendJSON appends flow f as one JSON object without a line end to dst;
// docs/formats/flow-json.md describes it. Bytes that are not UTF-8 become U+FFFD, so the result
// is valid JSON whatever the wire carried. It does not allocate when dst has room.
func AppendJSON(dst []byte, f Flow, n *Names) []byte {
	w := jsonWriter{b: append(dst, '{')}
	w.addr("client_ip", f.ClientAddr())
	w.uint("client_port", uint64(f.ClientPort()))
	w.addr("server_ip", f.ServerAddr())
	w.uint("server_port", uint64(f.ServerPort()))
	w.uint("ip_protocol", uint64(f.IPProto()))
	w.uint("vlan", uint64(f.VLAN()))
	w.text("interface", name(n.Interface, f.In()))
	if f.Out() != f.In() {
		w.text("interface_out", name(n.Interface, f.Out()))
	}
	w.time("first_seen", f.First())
	w.time("last_seen", f.Last())
	w.uint("client_packets", f.ClientPackets())
	w.uint("server_packets", f.ServerPackets())
	w.uint("client_bytes", f.ClientBytes())
	w.uint("server_bytes", f.ServerBytes())
	w.mac("client_mac", f.ClientMAC())
	w.mac("server_mac", f.ServerMAC())
	w.places(f, n)
	if f.Mark() != 0 {
		w.uint("mark", uint64(f.Mark()))
	}
	if t := name(n.Tunnel, f.Link()); t != "" {
		w.text("tunnel", t)
	}
	w.bytes("protocol", f.Protocol())
	w.bytes("application", f.Application())
	w.bytes("category", f.Category())
	w.bytes("hostname", f.Host())
	w.uint("confidence", uint64(f.Confidence()))
	w.text("source", f.Source().String())
	w.bytes("evidence", f.Evidence())
	w.text("end_reason", f.EndReason().String())
	w.flag("midstream", f.Flags()&FlagMidstream != 0)
	w.flag("reinspected", f.Flags()&FlagReinspected != 0)
	w.flag("accounted", f.Flags()&FlagAccounted != 0)
	w.objects(f.Attrs())
	w.key("flow_id")
	w.b = append(w.b, '"')
	w.b = AppendFlowID(w.b, f.ID())
	w.b = append(w.b, '"')
	w.uint("worker", uint64(f.Worker()))
	return append(w.b, '}')
}

// AppendFlowID appends the 16 hexadecimal digits that people know a flow by.
func AppendFlowID(dst []byte, id uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[id>>shift&15])
	}
	return dst
}

const hexDigits = "0123456789abcdef"

func name[T uint8 | uint16](f func(T) string, v T) string {
	if f == nil {
		return ""
	}
	return f(v)
}

// jsonWriter appends members to an object that is open.
type jsonWriter struct{ b []byte }

func (w *jsonWriter) key(k string) {
	if c := w.b[len(w.b)-1]; c != '{' && c != '[' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, k...)
	w.b = append(w.b, '"', ':')
}

func (w *jsonWriter) uint(k string, v uint64) {
	w.key(k)
	w.b = strconv.AppendUint(w.b, v, 10)
}

func (w *jsonWriter) text(k, v string) {
	w.key(k)
	w.b = appendQuoted(w.b, v)
}

func (w *jsonWriter) bytes(k string, v []byte) {
	w.key(k)
	w.b = appendQuoted(w.b, v)
}

// flag writes true and leaves false out.
func (w *jsonWriter) flag(k string, v bool) {
	if v {
		w.key(k)
		w.b = append(w.b, "true"...)
	}
}

func (w *jsonWriter) addr(k string, a netip.Addr) {
	w.key(k)
	w.b = append(w.b, '"')
	w.b = a.AppendTo(w.b)
	w.b = append(w.b, '"')
}

// mac leaves an unknown address out.
func (w *jsonWriter) mac(k string, m [6]byte) {
	if m == [6]byte{} {
		return
	}
	w.key(k)
	w.b = append(w.b, '"')
	w.b = AppendMAC(w.b, m)
	w.b = append(w.b, '"')
}

// AppendMAC appends an Ethernet address as six pairs of digits with colons.
func AppendMAC(dst []byte, m [6]byte) []byte {
	for i, c := range m {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

func (w *jsonWriter) time(k string, ns uint64) {
	w.key(k)
	w.b = append(w.b, '"')
	w.b = time.Unix(int64(ns/1e9), int64(ns%1e9)).UTC().AppendFormat(w.b, timeLayout)
	w.b = append(w.b, '"')
}

// objects writes one object per protocol. The attributes of one protocol need not
// stand together, nor the values of a list: the first of each fetches the others.
func (w *jsonWriter) objects(attrs []byte) {
	for rest := attrs; ; {
		a, next, ok := NextAttr(rest)
		if !ok {
			return
		}
		object, _ := splitKey(a.Key)
		if !seen(attrs, rest, func(b Attr) bool { o, _ := splitKey(b.Key); return string(o) == string(object) }) {
			w.bytesKey(object)
			w.b = append(w.b, '{')
			w.members(attrs, object)
			w.b = append(w.b, '}')
		}
		rest = next
	}
}

func (w *jsonWriter) members(attrs, object []byte) {
	for rest := attrs; ; {
		a, next, ok := NextAttr(rest)
		if !ok {
			return
		}
		o, member := splitKey(a.Key)
		if string(o) == string(object) && !seen(attrs, rest, a.sameKey) {
			w.bytesKey(member)
			w.values(a, next)
		}
		rest = next
	}
}

// values writes a and, when it is of a list, the values of its key in rest.
func (w *jsonWriter) values(a Attr, rest []byte) {
	if !a.List {
		w.b = a.appendJSON(w.b)
		return
	}
	w.b = append(w.b, '[')
	w.b = a.appendJSON(w.b)
	for {
		b, next, ok := NextAttr(rest)
		if !ok {
			break
		}
		if a.sameKey(b) {
			w.b = append(w.b, ',')
			w.b = b.appendJSON(w.b)
		}
		rest = next
	}
	w.b = append(w.b, ']')
}

func (w *jsonWriter) bytesKey(k []byte) {
	if c := w.b[len(w.b)-1]; c != '{' {
		w.b = append(w.b, ',')
	}
	w.b = appendQuoted(w.b, k)
	w.b = append(w.b, ':')
}

// seen reports whether an attribute of attrs before rest, a tail of it, is like it.
func seen(attrs, rest []byte, like func(Attr) bool) bool {
	for len(attrs) > len(rest) {
		a, next, ok := NextAttr(attrs)
		if !ok {
			return false
		}
		if like(a) {
			return true
		}
		attrs = next
	}
	return false
}

// sameKey reports whether a and b have the same place in the JSON form.
func (a Attr) sameKey(b Attr) bool {
	ao, am := splitKey(a.Key)
	bo, bm := splitKey(b.Key)
	return string(ao) == string(bo) && string(am) == string(bm)
}

// splitKey splits "object.name". A key without a point belongs to object "flow";
// so does one whose object would hide a key of the flow itself.
func splitKey(key []byte) (object, member []byte) {
	for i, c := range key {
		if c == '.' && i > 0 {
			if reserved(key[:i]) {
				break
			}
			return key[:i], key[i+1:]
		}
	}
	return []byte("flow"), key
}

// reserved reports whether AppendJSON uses key itself.
func reserved(key []byte) bool {
	switch string(key) {
	case "client_ip", "client_port", "server_ip", "server_port", "ip_protocol", "vlan",
		"interface", "interface_out", "first_seen", "last_seen",
		"client_packets", "server_packets", "client_bytes", "server_bytes",
		"client_mac", "server_mac", "interface_role", "client_place", "server_place", "direction", "origin",
		"local_ip", "local_port", "local_mac", "other_ip", "other_port", "other_mac", "mark", "tunnel", "protocol", "application", "category",
		"hostname", "confidence", "source", "evidence", "end_reason",
		"midstream", "reinspected", "accounted", "flow_id", "worker":
		return true
	}
	return false
}

func (a Attr) appendJSON(dst []byte) []byte {
	switch a.Kind {
	case AttrUint:
		return strconv.AppendUint(dst, a.Uint(), 10)
	case AttrBool:
		return strconv.AppendBool(dst, a.Bool())
	case AttrHex, AttrAddr:
		dst = append(dst, '"')
		dst = a.AppendText(dst)
		return append(dst, '"')
	}
	return appendQuoted(dst, a.Value)
}

// Bool returns the value of an AttrBool.
func (a Attr) Bool() bool { return len(a.Value) > 0 && a.Value[0] != 0 }

// AppendText appends the value as people read it; text from the wire as it is.
func (a Attr) AppendText(dst []byte) []byte {
	switch a.Kind {
	case AttrUint:
		return strconv.AppendUint(dst, a.Uint(), 10)
	case AttrBool:
		return strconv.AppendBool(dst, a.Bool())
	case AttrHex:
		return hex.AppendEncode(dst, a.Value)
	case AttrAddr:
		if addr, ok := netip.AddrFromSlice(a.Value); ok {
			return addr.AppendTo(dst)
		}
		return hex.AppendEncode(dst, a.Value)
	}
	return append(dst, a.Value...)
}

// appendQuoted appends s as a JSON string.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = decodeRune(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	case c >= utf8.RuneSelf:
		return append(dst, "\ufffd"...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// decodeRune decodes the first rune without converting, and so without copying, s.
func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s[:min(len(s), utf8.UTFMax)])
	return utf8.DecodeRune(b[:n])
}
