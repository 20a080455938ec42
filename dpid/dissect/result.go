package dissect

import (
	"encoding/binary"

	"weir/proto/event"
	"weir/proto/ids"
)

// maxAnswers is how many addresses of one DNS message are kept as hints.
const maxAnswers = 32

// maxExpected is how many announced flows one call may report.
const maxExpected = 4

// Answer is an address that a name resolved to.
type Answer struct {
	Addr [16]byte // IPv4 as ::ffff:a.b.c.d
	TTL  uint32   // seconds
}

// Expectation is a flow that another flow announced: an FTP data connection.
type Expectation struct {
	Addr  [16]byte // where it will be accepted; IPv4 as ::ffff:a.b.c.d
	Port  uint16
	Proto ids.Protocol // what it will be
}

// Result takes what a dissector finds out. It is reused from flow to flow: Reset
// empties it, nothing in it points into a packet.
type Result struct {
	rule       string
	confidence uint8
	hostFrom   event.Source
	hostLen    uint8
	ja4Len     uint8
	answers    int
	nattrs     int
	keys       uint64 // which keys may be in attrs
	host       [255]byte
	nameLen    uint8
	ja4        [64]byte
	name       [255]byte
	answer     [maxAnswers]Answer
	expected   [maxExpected]Expectation
	nexpected  int
	unfinished bool
	renames    bool
	attrs      [event.MaxAttrs]byte
	prints     printMemo // of hellos of any flow: Reset leaves it
}

// Reset empties r.
func (r *Result) Reset() {
	r.rule, r.confidence, r.hostFrom = "", 0, event.SourceNone
	r.hostLen, r.ja4Len, r.nameLen, r.answers, r.nattrs = 0, 0, 0, 0, 0
	r.nexpected, r.keys, r.unfinished = 0, 0, false
	r.renames = false
}

// Renames says that the host takes the place of one that was told before: another
// request on the same connection is for another server.
func (r *Result) Renames() { r.renames = true }

// IsRenamed reports whether Renames was said.
func (r *Result) IsRenamed() bool { return r.renames }

// Unfinished says, with More or YesMore, that what was seen is part of a flight that
// can name the flow: of a ClientHello, of the head of a request. Nobody can judge the
// flow before its end, so inline its packets wait. It is said from the flight's first
// byte on, and not one byte longer than the flight is.
func (r *Result) Unfinished() { r.unfinished = true }

// IsUnfinished reports whether Unfinished was said.
func (r *Result) IsUnfinished() bool { return r.unfinished }

// Rule says in a few constant words what decided, for the evidence: "ClientHello".
// confidence is 1 to 100: 100 for bytes that nothing else sends.
func (r *Result) Rule(rule string, confidence uint8) { r.rule, r.confidence = rule, confidence }

// Evidence returns what Rule was told.
func (r *Result) Evidence() (rule string, confidence uint8) { return r.rule, r.confidence }

// SetHost keeps the name of the server (SNI, Host, certificate, query name) in
// lower case, without a port or a trailing dot. A name of more than 255 bytes or
// with bytes that no host name has (controls, space) is ignored. The first wins.
func (r *Result) SetHost(name []byte) { r.setHost(name, ' '+1) }

// SetName is SetHost for names that people give: services of multicast DNS, hosts of
// NetBIOS. They may hold spaces.
func (r *Result) SetName(name []byte) { r.setHost(name, ' ') }

// setHost keeps a name whose bytes are all at least least.
func (r *Result) setHost(name []byte, least byte) {
	if r.hostLen != 0 {
		return
	}
	for len(name) > 0 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	if len(name) == 0 || len(name) > len(r.host) {
		return
	}
	for i, c := range name {
		if c < least || c == 0x7f {
			return
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		r.host[i] = c
	}
	r.hostLen, r.hostFrom = uint8(len(name)), event.SourceName
}

// Host returns the name of the server, empty when none was found.
func (r *Result) Host() []byte { return r.host[:r.hostLen] }

// SetJA4 keeps the fingerprint for the catalogue's look-up, besides the attribute.
func (r *Result) SetJA4(s []byte) { r.ja4Len = uint8(copy(r.ja4[:], s)) }

// JA4 returns the fingerprint, empty when there is none.
func (r *Result) JA4() []byte { return r.ja4[:r.ja4Len] }

// Resolved says that name has address a for ttl seconds, as a name server told the
// flow's client. All answers of one call belong to one name: the name asked for.
func (r *Result) Resolved(name []byte, a [16]byte, ttl uint32) {
	if r.answers == maxAnswers || len(name) > len(r.name) {
		return
	}
	if r.answers == 0 {
		r.nameLen = uint8(copy(r.name[:], name))
	}
	r.answer[r.answers] = Answer{Addr: a, TTL: ttl}
	r.answers++
}

// Answers returns the name that was resolved and its addresses.
func (r *Result) Answers() (name []byte, answers []Answer) {
	return r.name[:r.nameLen], r.answer[:r.answers]
}

// Expect says that a flow to addr and port is about to come and is of proto. The
// same announcement counts once; of more than a few the first are kept.
func (r *Result) Expect(addr [16]byte, port uint16, proto ids.Protocol) {
	e := Expectation{Addr: addr, Port: port, Proto: proto}
	for _, old := range r.Expected() {
		if old == e {
			return
		}
	}
	if r.nexpected < maxExpected && port != 0 {
		r.expected[r.nexpected] = e
		r.nexpected++
	}
}

// Expected returns the announced flows. The slice dies with the next Reset.
func (r *Result) Expected() []Expectation { return r.expected[:r.nexpected] }

// Str adds a text attribute. key is "protocol.name", as in "tls.alpn"; the empty
// value is not stored. Values longer than 512 bytes are cut.
func (r *Result) Str(key string, value []byte) { r.add(event.AttrString, key, value) }

// StrList adds one of several text values of key.
func (r *Result) StrList(key string, value []byte) {
	r.add(event.AttrString|event.AttrList, key, value)
}

// Hex adds raw bytes that are shown as hexadecimal.
func (r *Result) Hex(key string, value []byte) { r.add(event.AttrHex, key, value) }

// AddrList adds one of several addresses of key, each 4 or 16 bytes.
func (r *Result) AddrList(key string, value []byte) { r.add(event.AttrAddr|event.AttrList, key, value) }

// Addr adds an address of 4 or 16 bytes.
func (r *Result) Addr(key string, value []byte) { r.add(event.AttrAddr, key, value) }

// Uint adds a number.
func (r *Result) Uint(key string, value uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	r.add(event.AttrUint, key, b[:])
}

// UintList adds one of several numbers of key.
func (r *Result) UintList(key string, value uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], value)
	r.add(event.AttrUint|event.AttrList, key, b[:])
}

// Bool adds a truth value.
func (r *Result) Bool(key string, value bool) {
	b := [1]byte{}
	if value {
		b[0] = 1
	}
	r.add(event.AttrBool, key, b[:])
}

// Attrs returns the attributes as event.NextAttr reads them.
func (r *Result) Attrs() []byte { return r.attrs[:r.nattrs] }

// add appends an attribute. A key that is no list has one value, the first.
func (r *Result) add(kind event.AttrKind, key string, value []byte) {
	if len(value) == 0 {
		return
	}
	// A filter of the keys so far saves most walks along the list.
	bit := uint64(1) << ((uint(len(key))*5 ^ uint(key[len(key)-1])*3 ^ uint(key[len(key)/2])) & 63)
	if kind&event.AttrList == 0 && r.keys&bit != 0 && r.has(key) {
		return
	}
	r.keys |= bit
	value = value[:min(len(value), 512)]
	r.nattrs = len(event.AppendAttr(r.attrs[:r.nattrs], kind, key, value))
}

func (r *Result) has(key string) bool {
	for b := r.Attrs(); ; {
		a, rest, ok := event.NextAttr(b)
		if !ok {
			return false
		}
		if string(a.Key) == key {
			return true
		}
		b = rest
	}
}
