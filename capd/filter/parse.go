package filter

import (
	"fmt"
	"strings"
)

// parser makes conditions of tokens.
type parser struct {
	expr   string
	toks   []token
	i      int
	depth  int
	link   uint32
	live   bool
	beside bool // the outer VLAN tag is not in the frame

	vlans bool   // the word vlan came
	shift uint32 // bytes of tags that the words vlan skipped so far
	q     *quals // of the last primitive: "port 80 or 443"
}

// quals say what a value stands for.
type quals struct{ proto, dir, kind string }

func (p *parser) peek() token { return p.toks[p.i] }

// at returns the text n tokens ahead.
func (p *parser) at(n int) string { return p.toks[min(p.i+n, len(p.toks)-1)].text }

func (p *parser) next() token {
	t := p.toks[p.i]
	if p.i < len(p.toks)-1 {
		p.i++
	}
	return t
}

// accept takes the token if it is one of these.
func (p *parser) accept(texts ...string) bool {
	for _, s := range texts {
		if p.peek().text == s {
			p.next()
			return true
		}
	}
	return false
}

func (p *parser) fail(t token, format string, args ...any) error {
	return &Error{p.expr, t.pos, fmt.Sprintf(format, args...)}
}

// unexpected is an error about the next token.
func (p *parser) unexpected(want string) error {
	t := p.peek()
	if t.text == "" {
		return p.fail(t, "expected %s", want)
	}
	return p.fail(t, "expected %s, not %q", want, t.text)
}

// program reads the whole expression.
func (p *parser) program() (*node, error) {
	if p.peek().text == "" {
		return always(true), nil
	}
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if p.peek().text != "" {
		return nil, p.unexpected("and, or, or the end")
	}
	return n, nil
}

// expression reads terms. And and or bind alike, from left to right.
func (p *parser) expression() (*node, error) {
	a, err := p.term()
	for err == nil {
		join := and
		switch {
		case p.accept("and", "&&"):
		case p.accept("or", "||"):
			join = or
		default:
			return a, nil
		}
		var b *node
		if b, err = p.term(); err == nil {
			a = join(a, b)
		}
	}
	return nil, err
}

func (p *parser) term() (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(p.peek(), "more than %d parentheses and nots in one another", maxDepth)
	}
	defer func() { p.depth-- }()
	if p.accept("not", "!") {
		n, err := p.term()
		if err != nil {
			return nil, err
		}
		return not(n), nil
	}
	if p.relates() {
		was, depth := p.i, p.depth
		n, err := p.relation()
		if err == nil || p.toks[was].text != "(" {
			p.q = nil
			return n, err
		}
		p.i, p.depth = was, depth // conditions in parentheses
	}
	if p.peek().text == "(" {
		n, err := p.group()
		p.q = nil
		return n, err
	}
	return p.primitive()
}

// group reads an expression in parentheses.
func (p *parser) group() (*node, error) {
	p.next()
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, p.unexpected(`")"`)
	}
	return n, nil
}

// relates reports whether a comparison of numbers may begin here.
func (p *parser) relates() bool {
	t := p.peek()
	switch {
	case t.text == "(", t.text == "-", t.text == "len":
		return true
	case accessible[t.text] && p.at(1) == "[":
		return true
	}
	_, isNumber := p.constant(t)
	return isNumber && p.at(1) != "" && strings.Contains("==!=<=>=+-*/%&|<<>>", p.at(1)) && p.at(1) != "||" && p.at(1) != "&&"
}
