package filter

import (
	"math"
	"slices"
	"strconv"

	"golang.org/x/net/bpf"
)

// names are the numbers that have one: offsets, flags and types.
var names = map[string]uint32{
	"tcpflags": 13, "tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
	"icmptype": 0, "icmpcode": 1, "icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13,
	"icmp-tstampreply": 14, "icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,
	"icmp6type": 0, "icmp6code": 1, "icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3,
	"icmp6-parameterproblem": 4, "icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134,
	"icmp6-neighborsolicit": 135, "icmp6-neighboradvert": 136, "icmp6-redirect": 137,
}

// accessible are the protocols whose bytes can be asked for.
var accessible = map[string]bool{
	"ether": true, "ip": true, "ip6": true, "arp": true, "rarp": true,
	"tcp": true, "udp": true, "sctp": true, "icmp": true, "igmp": true, "icmp6": true, "pim": true, "vrrp": true,
}

// number is what an arithmetic expression makes: a constant, or code that brings it
// into the accumulator when the conditions hold.
type number struct {
	isConst bool
	value   uint32
	code    code
	needs   []*node
}

// constant is the value of a token that is a number or names one.
func (p *parser) constant(t token) (uint32, bool) {
	if !t.word {
		return 0, false
	}
	if v, ok := names[t.text]; ok {
		return v, true
	}
	v, err := strconv.ParseUint(t.text, 0, 32)
	return uint32(v), err == nil && isDigit(t.text[0])
}

// relation reads the comparison of two numbers.
func (p *parser) relation() (*node, error) {
	a, err := p.arithmetic(0, 0)
	if err != nil {
		return nil, err
	}
	rel := p.peek()
	jump, negated := uint16(0), false
	switch rel.text {
	case "=", "==":
		jump = opEqual
	case "!=":
		jump, negated = opEqual, true
	case ">":
		jump = opGreater
	case "<=":
		jump, negated = opGreater, true
	case ">=":
		jump = opGreaterEq
	case "<":
		jump, negated = opGreaterEq, true
	default:
		return nil, p.unexpected("a comparison")
	}
	p.next()
	b, err := p.arithmetic(0, 1)
	if err != nil {
		return nil, err
	}
	n := test(jump, b.value, a.load())
	if !b.isConst {
		n = test(jump|opX, 0, pair(a, b, 0))
	}
	if negated {
		n = not(n)
	}
	for _, c := range slices.Backward(slices.Concat(a.needs, b.needs)) {
		n = and(c, n)
	}
	return n, nil
}

// load is code that brings the number into the accumulator.
func (n *number) load() code {
	if n.isConst {
		return code{{Op: opLoadConst, K: n.value}}
	}
	return n.code
}

// pair brings a into the accumulator and b into X. The word slot of memory keeps a
// meanwhile; b's code leaves it alone.
func pair(a, b number, slot uint32) code {
	c := slices.Concat(a.load(), code{{Op: opStore, K: slot}}, b.load())
	return append(c, bpf.RawInstruction{Op: opToX}, bpf.RawInstruction{Op: opLoadMem, K: slot})
}

// operators by how strongly they bind, the weakest first; ALU operations.
var operators = []map[string]uint16{
	{"|": 0x40},
	{"&": 0x50},
	{"<<": 0x60, ">>": 0x70},
	{"+": 0x00, "-": aluSub},
	{"*": 0x20, "/": 0x30, "%": 0x90},
}

// arithmetic reads operators of level and stronger. Words of memory below slot are in use.
func (p *parser) arithmetic(level int, slot uint32) (number, error) {
	if level == len(operators) {
		return p.operand(slot)
	}
	a, err := p.arithmetic(level+1, slot)
	for err == nil {
		op := p.peek()
		alu, ok := operators[level][op.text]
		if !ok {
			return a, nil
		}
		if slot+1 >= memoryWords {
			return a, p.fail(op, "too deep an expression")
		}
		p.next()
		var b number
		if b, err = p.arithmetic(level+1, slot+1); err == nil {
			a, err = p.combine(op, alu, a, b, slot)
		}
	}
	return a, err
}

// combine applies an operator.
func (p *parser) combine(op token, alu uint16, a, b number, slot uint32) (number, error) {
	if b.isConst && b.value == 0 && (op.text == "/" || op.text == "%") {
		return a, p.fail(op, "division by zero")
	}
	if b.isConst && b.value > 31 && (op.text == "<<" || op.text == ">>") {
		return a, p.fail(op, "shift by more than 31")
	}
	if a.isConst && b.isConst {
		return number{isConst: true, value: fold(op.text, a.value, b.value)}, nil
	}
	n := number{needs: slices.Concat(a.needs, b.needs)}
	if b.isConst {
		n.code = append(slices.Clone(a.load()), bpf.RawInstruction{Op: opALU | alu, K: b.value})
	} else {
		n.code = append(pair(a, b, slot), bpf.RawInstruction{Op: opALU | opX | alu})
	}
	return n, nil
}

func fold(op string, a, b uint32) uint32 {
	switch op {
	case "|":
		return a | b
	case "&":
		return a & b
	case "<<":
		return a << b
	case ">>":
		return a >> b
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	}
	return a % b
}

// operand reads a number, the length, bytes of the frame, or what is in parentheses.
func (p *parser) operand(slot uint32) (number, error) {
	if p.depth++; p.depth > maxDepth {
		return number{}, p.fail(p.peek(), "more than %d parentheses in one another", maxDepth)
	}
	defer func() { p.depth-- }()
	t := p.peek()
	if v, ok := p.constant(t); ok {
		p.next()
		return number{isConst: true, value: v}, nil
	}
	switch {
	case p.accept("len"):
		return number{code: code{{Op: opLoadLen}}}, nil
	case p.accept("-"):
		n, err := p.operand(slot)
		if n.isConst {
			n.value = -n.value
		} else {
			n.code = append(slices.Clone(n.code), bpf.RawInstruction{Op: opToX},
				bpf.RawInstruction{Op: opLoadConst}, bpf.RawInstruction{Op: opALU | opX | aluSub})
		}
		return n, err
	case p.accept("("):
		n, err := p.arithmetic(0, slot)
		if err == nil && !p.accept(")") {
			err = p.unexpected(`")"`)
		}
		return n, err
	case accessible[t.text] && p.at(1) == "[":
		return p.access(slot)
	}
	return number{}, p.unexpected("a number, len, or bytes such as tcp[13]")
}

// access reads "proto[offset:size]".
func (p *parser) access(slot uint32) (number, error) {
	proto := p.next()
	p.next()
	at := p.peek()
	off, err := p.arithmetic(0, slot)
	if err != nil {
		return number{}, err
	}
	if !off.isConst || off.value > math.MaxUint16 {
		return number{}, p.fail(at, "an offset must be a constant from 0 to 65535")
	}
	size := uint16(sizeByte)
	if p.accept(":") {
		s := p.next()
		switch v, _ := p.constant(s); v {
		case 1:
		case 2:
			size = sizeHalf
		case 4:
			size = sizeWord
		default:
			return number{}, p.fail(s, "a size must be 1, 2 or 4 bytes")
		}
	}
	if !p.accept("]") {
		return number{}, p.unexpected(`"]"`)
	}
	return p.bytes(proto, off.value, size)
}

// bytes asks for bytes behind the start of a protocol's header.
func (p *parser) bytes(proto token, off uint32, size uint16) (number, error) {
	l3 := p.l3()
	typ, isEther := etherProtos[proto.text]
	switch {
	case proto.text == "ether" && p.link != LinkEthernet:
		return number{}, p.fail(proto, "there is no Ethernet header on raw IP")
	case proto.text == "ether":
		return number{code: load(size, off)}, nil
	case isEther:
		return number{code: load(size, l3+off), needs: []*node{p.etherType(typ)}}, nil
	case proto.text == "icmp6":
		next := test(opEqual, ipProtos["icmp6"], load(sizeByte, l3+6))
		return number{code: load(size, l3+40+off), needs: []*node{p.etherType(etherIPv6), next}}, nil
	}
	return number{
		code:  code{{Op: opHeaderX, K: l3}, {Op: opLoadX | size, K: l3 + off}},
		needs: []*node{p.over4(ipProtos[proto.text]), p.first()},
	}, nil
}
