package rules

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
)

// clause is a part of a rule, as nft writes it and as the kernel takes it. Both are
// made in one place, so that what is printed is what is installed.
type clause struct {
	text  string
	exprs []expr.Any
}

// reg is the one register that our rules use: 4 of 16 bytes, in nf_tables.h.
const reg = 1

// Where a 32-bit word in host order is loaded from and stored to.
type word struct {
	text        string
	load, store expr.Any
}

var (
	ctMark   = word{"ct mark", &expr.Ct{Key: expr.CtKeyMARK, Register: reg}, &expr.Ct{Key: expr.CtKeyMARK, Register: reg, SourceRegister: true}}
	metaMark = word{"meta mark", &expr.Meta{Key: expr.MetaKeyMARK, Register: reg}, &expr.Meta{Key: expr.MetaKeyMARK, Register: reg, SourceRegister: true}}
	ctState  = word{text: "ct state", load: &expr.Ct{Key: expr.CtKeySTATE, Register: reg}}
	ctStatus = word{text: "ct status", load: &expr.Ct{Key: expr.CtKeySTATUS, Register: reg}}
)

// native is a word in host order, as marks are.
func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func masked(w word, mask uint32, op expr.CmpOp, v uint32) []expr.Any {
	return []expr.Any{w.load,
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: native(mask), Xor: native(0)},
		&expr.Cmp{Op: op, Register: reg, Data: native(v)}}
}

// has matches when all of the bits are set, lacks when none is, some when any is.
func has(w word, bits uint32) clause {
	return clause{fmt.Sprintf("%s & %#08x == %#08x", w.text, bits, bits), masked(w, bits, expr.CmpOpEq, bits)}
}

func lacks(w word, bits uint32) clause {
	return clause{fmt.Sprintf("%s & %#08x == 0", w.text, bits), masked(w, bits, expr.CmpOpEq, 0)}
}

func some(w word, bits uint32) clause {
	return clause{fmt.Sprintf("%s & %#08x != 0", w.text, bits), masked(w, bits, expr.CmpOpNeq, 0)}
}

// set sets bits, unset clears them. All others stay.
func set(w word, bits uint32) clause {
	return clause{fmt.Sprintf("%s set %s | %#08x", w.text, w.text, bits), rewrite(w, ^bits, bits)}
}

func unset(w word, bits uint32) clause {
	return clause{fmt.Sprintf("%s set %s & %#08x", w.text, w.text, ^bits), rewrite(w, ^bits, 0)}
}

func rewrite(w word, mask, xor uint32) []expr.Any {
	return []expr.Any{w.load,
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: native(mask), Xor: native(xor)}, w.store}
}

// Bits of ct state and ct status that are matched.
const (
	stateRelated    = expr.CtStateBitRELATED
	statusConfirmed = 1 << 3 // IPS_CONFIRMED: the entry's first packet has passed
)

func related() clause {
	return clause{"ct state related", masked(ctState, stateRelated, expr.CmpOpNeq, 0)}
}

func unconfirmed() clause {
	return clause{"ct status & confirmed == 0", masked(ctStatus, statusConfirmed, expr.CmpOpEq, 0)}
}

// direction matches packets of the side that began the flow (0) or that answers (1).
func direction(d byte) clause {
	return clause{"ct direction " + [...]string{"original", "reply"}[d], []expr.Any{
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: reg}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{d}}}}
}

// packets matches flows that have had more than n, this one among them.
func packets(n uint64) clause {
	return clause{fmt.Sprintf("ct packets > %d", n), []expr.Any{
		&expr.Ct{Key: expr.CtKeyPKTS, Register: reg},
		&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: 8, Size: 8},
		&expr.Cmp{Op: expr.CmpOpGt, Register: reg, Data: binary.BigEndian.AppendUint64(nil, n)}}}
}

// meta matches a value of packet metadata.
func meta(key expr.MetaKey, text string, data []byte) clause {
	return clause{text, []expr.Any{&expr.Meta{Key: key, Register: reg}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}}}
}

func iifname(name string) clause {
	return meta(expr.MetaKeyIIFNAME, `iifname "`+name+`"`, ifname(name))
}
func oifname(name string) clause {
	return meta(expr.MetaKeyOIFNAME, `oifname "`+name+`"`, ifname(name))
}

// Keys that the module has no name for, from nf_tables.h.
const (
	metaKeyIIFKind expr.MetaKey = 26
	metaKeyOIFKind expr.MetaKey = 27
)

func iifkind(k string) clause { return meta(metaKeyIIFKind, `meta iifkind "`+k+`"`, ifname(k)) }
func oifkind(k string) clause { return meta(metaKeyOIFKind, `meta oifkind "`+k+`"`, ifname(k)) }

// ifname pads a name to IFNAMSIZ.
func ifname(s string) []byte { return append([]byte(s), make([]byte, 16-len(s))...) }

// Transport protocols.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58
)

func l4proto(p byte) clause {
	name := map[byte]string{protoICMP: "icmp", protoTCP: "tcp", protoICMPv6: "ipv6-icmp"}[p]
	return meta(expr.MetaKeyL4PROTO, "meta l4proto "+name, []byte{p})
}

// tcpReset matches TCP segments with RST, neighbours the ICMPv6 messages without
// which no neighbour can be reached: types 133 to 137, RFC 4861. Both need a match
// on the protocol before them.
func tcpReset() clause {
	return clause{"tcp flags & rst == rst", []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{4}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{4}}}}
}

func neighbours() clause {
	return clause{"icmpv6 type 133-137", []expr.Any{
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: reg, FromData: []byte{133}, ToData: []byte{137}}}}
}

func counter() clause { return clause{"counter", []expr.Any{&expr.Counter{}}} }

func accept() clause { return clause{"accept", []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}} }
func drop() clause   { return clause{"drop", []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}} }

func gotoChain(name string) clause {
	return clause{"goto " + name, []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: name}}}
}

// Reject types and codes of nf_tables.h and of the ICMP registries.
const (
	rejectICMP, rejectTCPReset, rejectICMPX = 0, 1, 2

	icmpAdminProhibited, icmpv6AdminProhibited, icmpxAdminProhibited = 13, 1, 3
)

func reject(text string, typ uint32, code uint8) clause {
	return clause{"reject with " + text, []expr.Any{&expr.Reject{Type: typ, Code: code}}}
}

// rule is a line of a chain. One with queue ends in a queue statement, whose form
// depends on the kernel.
type rule struct {
	clauses []clause
	queue   *queue
	comment string
}

func (r rule) String() string {
	var words []string
	for _, c := range r.clauses {
		if c.text != "" {
			words = append(words, c.text)
		}
	}
	if r.queue != nil {
		words = append(words, r.queue.String())
	}
	if r.comment != "" {
		words = append(words, `comment "`+r.comment+`"`)
	}
	return strings.Join(words, " ")
}

// exprs is the rule as the kernel takes it.
func (r rule) exprs(w way) []expr.Any {
	var all []expr.Any
	for _, c := range r.clauses {
		all = append(all, c.exprs...)
	}
	if r.queue != nil {
		all = append(all, r.queue.expr(w))
	}
	return all
}
