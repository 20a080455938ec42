// Package filter compiles expressions of tcpdump (pcap-filter(7)) to classic BPF, which
// the kernel runs before a frame is captured. It resolves no names of hosts, networks
// and ports, and runs nothing itself.
//
// It knows a part of the language: what it does not know it refuses. Invariant: a
// program that it makes takes the same frames as the one that libpcap makes of the
// same expression; tests hold it against programs that tcpdump wrote. One difference
// is meant: in "1 + ip[0] = 70" the frame must be IPv4. libpcap 1.10 checks that on
// the left of an operator only.
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// Link types, https://www.tcpdump.org/linktypes.html.
const (
	LinkEthernet = 1
	LinkRaw      = 101 // an IP header comes first
)

const (
	maxLength = 8192 // bytes of an expression
	maxDepth  = 100  // of parentheses and nots
	maxCode   = 4096 // BPF_MAXINSNS of linux/bpf_common.h
)

// Error says what is wrong with an expression, and where.
type Error struct {
	Expr string
	Pos  int // byte in Expr, from 0
	Msg  string
}

func (e *Error) Error() string {
	if e.Pos >= len(e.Expr) {
		return fmt.Sprintf("filter %q: at the end: %s", e.Expr, e.Msg)
	}
	return fmt.Sprintf("filter %q: column %d: %s", e.Expr, e.Pos+1, e.Msg)
}

// Compile returns the program that takes what expr describes, up to snap bytes of
// each frame. An empty expression takes all. Its error is an *Error.
//
// The program is for a packet socket. There the kernel takes the outer VLAN tag out
// of the frame: without the word vlan an expression sees frames as they are without
// that tag, as with tcpdump -i.
func Compile(expr string, link uint32, snap int) ([]bpf.RawInstruction, error) {
	return compile(expr, link, snap, true)
}

// compile is Compile, for frames of a packet socket (live) or of a file.
func compile(expr string, link uint32, snap int, live bool) ([]bpf.RawInstruction, error) {
	if link != LinkEthernet && link != LinkRaw {
		return nil, &Error{expr, 0, fmt.Sprintf("link type %d has no filters, only Ethernet (1) and raw IP (101)", link)}
	}
	if len(expr) > maxLength {
		return nil, &Error{expr[:40] + "...", 0, fmt.Sprintf("%d bytes long, limit %d", len(expr), maxLength)}
	}
	if snap < 1 || int64(snap) > 1<<31-1 {
		return nil, &Error{expr, 0, fmt.Sprintf("%d bytes of each frame: must be 1 to %d", snap, 1<<31-1)}
	}
	toks, err := lex(expr)
	if err != nil {
		return nil, err
	}
	p := &parser{expr: expr, toks: toks, link: link, live: live}
	root, err := p.program()
	if err != nil {
		return nil, err
	}
	if p.vlans && live {
		// The tag may be in the frame, as in what this host sends, or beside it.
		m := &parser{expr: expr, toks: toks, link: link, live: live, beside: true}
		tagged, err := m.program()
		if err != nil {
			return nil, err
		}
		there := test(opEqual, 1, load(sizeByte, adVLANPresent))
		root = or(and(there, tagged), and(not(there), root))
	}
	code := assemble(root, uint32(snap))
	if len(code) > maxCode {
		return nil, &Error{expr, 0, fmt.Sprintf("makes %d instructions, the kernel takes %d", len(code), maxCode)}
	}
	return code, nil
}
